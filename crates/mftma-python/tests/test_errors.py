"""What is wrong, and what to do: `ValueError` and `TypeError`, never a panic."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mftma


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda x, y: ((x, y[:-1]), {}), ValueError, "179 labels for 180 points\n  try: one label per point"),
        (lambda x, y: ((x.T, y), {}), ValueError, "layout='features-by-points'"),
        (lambda x, y: ((x,), {}), ValueError, "labels are missing"),
        (lambda x, y: ((x[:, 0], y), {}), ValueError, "has shape \\(180,\\); points x features were expected"),
        (lambda x, y: ((x, np.eye(12)[y]), {}), ValueError, "one-hot labels labels.argmax"),
        (lambda x, y: ((x, y + 0.5), {}), ValueError, "label 0 is .*, not a whole number"),
        (lambda x, y: ((x, 0 * y), {}), ValueError, "only one class \\(0\\)"),
        (lambda x, y: ((x + 1j, y), {}), TypeError, "complex numbers"),
        (lambda x, y: ((x.astype(str), y), {}), TypeError, "holds text"),
        (lambda x, y: ((x.astype(object), y), {}), TypeError, "holds Python objects"),
        (lambda x, y: (("acts.npy", y), {}), TypeError, "try: numpy.load"),
        (lambda x, y: ((None, y), {}), TypeError, "an array was expected"),
        (lambda x, y: (([[1.0], [1.0, 2.0]], [0, 1]), {}), ValueError, "rows differ in length"),
        (lambda x, y: (([x, x[:, 1:]],), {}), ValueError, "x\\[1\\] has 59 features, but x\\[0\\] has 60"),
        (lambda x, y: (([x, x[0]],), {}), ValueError, "x\\[1\\] has shape \\(60,\\)"),
        (lambda x, y: (([],), {}), ValueError, "empty list"),
        (lambda x, y: (({}, y), {}), ValueError, "x holds no layer"),
        (lambda x, y: ((x, y), {"layout": "sideways"}), ValueError, "layout is 'sideways'"),
        (lambda x, y: ((x, y), {"n_t": 0}), ValueError, "n_t is 0, but must be at least 1"),
        (lambda x, y: ((x, y), {"n_t": -1}), ValueError, "n_t is -1, but must be a whole number from 0 up"),
        (lambda x, y: ((x, y), {"n_t": 2.5}), TypeError, "n_t is 2.5, but must be a whole number"),
        (lambda x, y: ((x, y), {"seed": 2**64}), ValueError, "seed is .*, but must be below 2\\*\\*64"),
        (lambda x, y: ((x, y), {"kappa": float("nan")}), ValueError, "kappa is nan, but must be finite"),
        (lambda x, y: ((x, y), {"kappa": "wide"}), TypeError, "kappa is \"wide\", but must be a number"),
        (lambda x, y: ((x, y), {"convention": "theirs"}), ValueError, "but must be `ours` or `reference`"),
        (lambda x, y: ((x, y), {"spectrum": 2.0}), ValueError, "spectrum is 2, but must be between 0 and 1"),
        (lambda x, y: ((x, y), {"only_classes": ["x"]}), ValueError, "no class \"x\".*\n.*only_classes with names"),
        (lambda x, y: ((x, y), {"classes": 13}), ValueError, "classes 13, but there are 12"),
        (lambda x, y: ((x, y), {"threads": 5000}), ValueError, "threads is 5000"),
        (lambda x, y: ((x, y), {"progress": 3}), TypeError, "progress is 3"),
        (lambda x, y: ((x[:, :0], y), {}), ValueError, "0 features"),
        (lambda x, y: ((x[:0], y[:0]), {}), ValueError, "x holds no points"),
        (lambda x, y: ((x, y), {"layout": None}), ValueError, "layout is None"),
        (lambda x, y: ((0 * x + 1, y), {}), ValueError, "the centres of all manifolds coincide"),
    ],
)
def test_message(data, change, error, text):
    arguments, named = change(*data)
    with pytest.raises(error, match=f"(?s){text}"):
        mftma.analyze(*arguments, **named)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("call", [mftma.analyze, mftma.simulate_capacity, mftma.joint_capacity])
def test_what_is_not_finite_is_placed(data, value, call):
    x, labels = data
    x[17, 5] = x[90, 2] = value
    counts = "2 NaN and 0 infinite" if np.isnan(value) else "0 NaN and 2 infinite"
    with pytest.raises(ValueError, match=f"{counts} values .*the first is .* at point 17, feature 5\n  try: "):
        call(x, labels)


def test_a_callback_stops_the_work(data):
    class Enough(Exception):
        pass

    def stop(progress):
        raise Enough

    with pytest.raises(Enough):
        mftma.analyze(*data, n_t=1_000_000, progress=stop)


def test_few_classes_are_told(data):
    with pytest.warns(mftma.GeometryWarning, match="only 12 manifolds") as told:
        found = mftma.analyze(*data)
    assert told[0].filename == __file__
    assert "only 12 manifolds" in repr(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mftma.analyze(np.random.default_rng(0).normal(size=(40, 5, 200)))


def test_similarity(data):
    x, _ = data
    with pytest.raises(ValueError, match="180 points on one side, 10 on the other"):
        mftma.cka(x, x[:10])
    with pytest.raises(ValueError, match="variance is 0"):
        mftma.svcca(x, x, variance=0)
    with pytest.raises(ValueError, match="layer 'b' has 10 points"):
        mftma.compare({"a": x}, {"b": x[:10]})
    with pytest.raises(ValueError, match="epsilon is 1"):
        mftma.match_neurons(x, x, epsilon=1.0)


def test_data():
    with pytest.raises(ValueError, match="permuted fraction is 2"):
        mftma.permute_labels([0, 1], 2.0)
    with pytest.raises(ValueError, match="scheme is \"shuffle\""):
        mftma.permute_labels([0, 1], 0.5, scheme="shuffle")
    with pytest.raises(ValueError, match="numpy.unique"):
        mftma.permute_labels([0.5, 1], 0.5)
    with pytest.raises(ValueError, match="0 to 65535"):
        mftma.permute_labels([-1, 1], 0.5)
    permutation = mftma.permute_labels(np.arange(20) % 2, 0.5)
    with pytest.raises(ValueError, match="test_labels"):
        mftma.draw_manifolds("test", permutation, manifolds=2, examples=2)
    with pytest.raises(ValueError, match="too few"):
        mftma.draw_manifolds("unpermuted", permutation, manifolds=2, examples=20)


def test_settings_of_the_other_calls(data):
    """Python's own conversion would raise an OverflowError."""
    x, y = data
    permutation = mftma.permute_labels(y, 0.5)
    for name, call in {
        "n_t": lambda n: mftma.joint_capacity(x, y, n_t=n),
        "positive": lambda n: mftma.simulate_capacity(x, y, positive=n),
        "threads": lambda n: mftma.cka(x, x, threads=n),
        "points": lambda n: mftma.compare({"a": x}, points=n),
        "seed": lambda n: mftma.permute_labels(y, 0.5, seed=n),
        "manifolds": lambda n: mftma.draw_manifolds("permuted", permutation, manifolds=n, examples=2),
    }.items():
        with pytest.raises(ValueError, match=f"{name} is -1, but must be a whole number from 0 up"):
            call(-1)
        with pytest.raises(ValueError, match=f"{name} is .*, but must be below"):
            call(2**64)
        with pytest.raises(TypeError, match=f"{name} is 2.5, but must be a whole number"):
            call(2.5)
    with pytest.raises(TypeError, match="kappa is \"wide\""):
        mftma.joint_capacity(x, y, kappa="wide")
    with pytest.raises(ValueError, match="dichotomies is 'some', but must be one of 'random'"):
        mftma.joint_capacity(x, y, dichotomies="some")


def test_files(tmp_path):
    path = tmp_path / "other.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="no result of mftma"):
        mftma.load(path)


def test_rank_and_max_rank_exclude_each_other():
    with pytest.raises(ValueError, match="max_rank alone for a cap"):
        mftma.analyze(np.eye(4), [0, 0, 1, 1], rank=1, max_rank=2)


def test_values_too_large_to_square_are_measured(data):
    x, y = data
    found, plain = mftma.analyze(x * 2.0**700, y), mftma.analyze(x, y)
    assert found.capacity == plain.capacity


def test_warnings_are_sentences_that_name_the_class(data):
    x, y = data
    x = x.copy()
    x[np.flatnonzero(y == y[0])[0]] *= 1e4
    found = [text for text in mftma.analyze(x, y).warnings if "outlier" in text]
    assert len(found) == 1 and f'class "{y[0]}": its point 0' in found[0], found
