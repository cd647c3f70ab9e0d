"""Results: attributes, tables, files, plots; and all of it the same as the program's."""

from __future__ import annotations

import copy
import csv
import inspect
import json
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import mftma
from mftma import _mftma

from conftest import clouds


def program(*arguments, **how):
    return subprocess.run(
        [sys.executable, "-m", "mftma", *map(str, arguments)], capture_output=True, text=True, **how
    )


@pytest.fixture(scope="module")
def found():
    return mftma.analyze(*clouds(), spectrum=0.9)


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ({}, []),
        ({"n_t": 77, "kappa": 0.1, "seed": 5}, ["--n-t", 77, "--kappa", 0.1, "--seed", 5]),
        ({"rank": 1}, ["--rank", 1]),
        ({"max_rank": 2}, ["--max-rank", 2]),
        ({"convention": "reference", "restarts": 2}, ["--convention", "reference", "--restarts", 2]),
        ({"points": 7, "classes": 9, "seed": 2}, ["--points", 7, "--classes", 9, "--seed", 2]),
        ({"only_classes": [1, 3, 10]}, ["--only-classes", "1,3,10"]),
        ({"leave_out": ["0"], "resamples": 50}, ["--leave-out", "0", "--resamples", 50]),
        ({"projection": 30, "spectrum": 0.8}, ["--projection", 30, "--spectrum", 0.8]),
        ({"target_error": 0.05, "max_n_t": 900, "threads": 1}, ["--target-error", 0.05, "--max-n-t", 900]),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4"])
def test_equal_to_the_program(tmp_path, settings, flags, dtype):
    x, labels = clouds(dtype=np.float64)
    x = (10 * x).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", labels)
    out = program("analyze", "x.npy", "--labels", "y.npy", *flags, "--format", "json", "-o", "x.json", cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    theirs = json.loads((tmp_path / "x.json").read_text())
    ours = mftma.analyze(x, labels, **settings)
    assert ours.to_dict() == theirs["layers"][0]["geometry"]
    assert list(ours.classes) == [one["name"] for one in theirs["classes"]]
    recorded = {k: v for k, v in ours.settings.items() if k != "threads"}
    assert recorded == {k: v for k, v in theirs["settings"].items() if k != "threads"}
    assert mftma.Layers.load(tmp_path / "x.json")["x"] == ours


def test_wide_layers_in_several_blocks_equal_the_program(tmp_path):
    """Just more than the 128 MiB that are taken at a time, in an order that is not that of the labels."""
    rng = np.random.default_rng(0)
    x = np.tile(rng.normal(size=(240, 1000)).astype("f4"), 140)
    labels = np.arange(240) % 24
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", labels)
    out = program("analyze", "x.npy", "--labels", "y.npy", "--n-t", 2, "-o", "x.json", "--format", "json", cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    assert mftma.Layers.load(tmp_path / "x.json")["x"] == mftma.analyze(x, labels, n_t=2)


def test_simulated_and_compared_equal_the_program(tmp_path):
    x, labels = clouds()
    np.savez(tmp_path / "x.npz", first=x, second=np.maximum(x, 0))
    np.save(tmp_path / "y.npy", labels)
    out = program("capacity", "--simulate", "x.npz", "--labels", "y.npy", "--seed", 4, "--format", "json", cwd=tmp_path)
    theirs = json.loads(out.stdout)["layers"][0]
    ours = mftma.simulate_capacity(x, labels, seed=4)
    assert ours.capacity == theirs["simulated_capacity"]
    assert ours.dimensions == theirs["dimensions"]
    out = program("compare", "x.npz", "x.npz", "--points", 50, "--format", "csv", cwd=tmp_path)
    theirs = list(csv.DictReader(out.stdout.splitlines()))
    ours = mftma.compare({"first": x, "second": np.maximum(x, 0)}, points=50)
    for name in ("cka", "svcca", "pwcca"):
        assert getattr(ours, name).ravel().tolist() == [float(row[name]) for row in theirs]


def test_defaults_are_the_programs():
    defaults = _mftma.default_settings()
    for name, parameter in inspect.signature(mftma.analyze).parameters.items():
        if name in ("x", "labels", "progress", "t_vecs", "directions", "layers"):
            continue
        default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        assert defaults[name.replace("_", "-")] == default, name
    # The joint measures are a call of their own; bins of a time axis are slices.
    joint = {"measures", "dichotomies", "classes-per-draw", "centring", "inactive", "joint-kappa"}
    assert set(defaults) - {"inflate-limit", "time-axis"} - joint <= {
        name.replace("_", "-") for name in inspect.signature(mftma.analyze).parameters
    }


def test_program_exit_codes(tmp_path):
    assert program("--version").stdout.startswith("mftma ")
    assert program("analyze", "--nonsense").returncode == 2
    assert program("info", tmp_path / "none.npy").returncode == 3


def test_attributes(found):
    x, labels = clouds()
    assert found.capacity == pytest.approx(1 / np.mean(1 / found.capacities))
    assert found.radius == pytest.approx(found.radii.mean())
    assert found.dimension == pytest.approx(found.dimensions.mean())
    assert found.capacity.interval.lower < found.capacity < found.capacity.interval.upper
    assert 0 < found.capacity.standard_error < 0.1 * found.capacity
    means = np.stack([x[labels == c].mean(0) for c in range(12)])
    means -= means.mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = np.abs(means @ means.T)[~np.eye(12, dtype=bool)]
    assert found.centre_correlation == found.center_correlation == pytest.approx(cosines.mean())
    assert found.features == 60 and found.points_per_class == (15,) * 12
    assert [trial.rank for trial in found.rank_trials] == list(range(len(found.rank_trials)))
    assert 1 < found.spectrum.participation_ratio < 60
    assert found.manifolds.points.tolist() == [15] * 12
    assert (found.manifolds.solved + found.manifolds.interior).tolist() == found.manifolds.vectors.tolist()
    assert "capacity" in dir(found.manifolds)
    with pytest.raises(AttributeError, match="no column 'area'"):
        found.manifolds.area  # noqa: B018
    assert found.settings["n-t"] == 200 and found.algorithm_version == mftma.ALGORITHM_VERSION


def test_spectrum_of_all_points(found):
    x, _ = clouds()
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    assert found.spectrum.participation_ratio == pytest.approx(values.sum() ** 2 / (values**2).sum())
    directions = 1 + np.searchsorted(np.cumsum(values) / values.sum(), 0.9)
    assert found.spectrum.explained_variance_dimension == directions


def test_text(found):
    assert repr(found).splitlines()[0] == "Geometry of 12 classes of 15 points in 60 features"
    assert "<table>" in found._repr_html_()
    layers = mftma.Layers({"a<b": found})
    assert "a<b" in repr(layers) and "a&lt;b" in layers._repr_html_()


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (mftma.Measure(0.041234, 0.000123), "0.04123 ± 0.00012"),
        (mftma.Measure(36.17, 0.04), "36.17 ± 0.04"),
        (mftma.Measure(1234.5, 20), "1234 ± 20"),
        (mftma.Measure(2.0, 0.0), "2 ± 0"),
        (mftma.Measure(0.5), "0.5"),
        (mftma.Measure(float("inf"), float("nan")), "inf"),
    ],
)
def test_measure(measure, text):
    assert repr(measure) == str(measure) == f"{measure}" == text
    assert f"{measure:.1f}" == f"{float(measure):.1f}"
    again = pickle.loads(pickle.dumps(measure))
    assert again == measure and again.standard_error == measure.standard_error or np.isnan(measure.standard_error)


def test_files(tmp_path, found):
    found.save(tmp_path / "one.json")
    again = mftma.load(tmp_path / "one.json")
    assert again == found and again.settings == found.settings and again.classes == found.classes
    assert again.warnings == found.warnings
    layers = mftma.Layers({"a": found, "b": found})
    layers.save(tmp_path / "two.json")
    assert mftma.load(tmp_path / "two.json") == layers
    joint = mftma.joint_capacity(*clouds(), n_t=50)
    joint.save(tmp_path / "joint.json")
    assert mftma.JointCapacity.load(tmp_path / "joint.json") == joint
    with pytest.raises(ValueError, match="holds a JointCapacity, not a Geometry"):
        mftma.Geometry.load(tmp_path / "joint.json")
    assert sorted(os.listdir(tmp_path)) == ["joint.json", "one.json", "two.json"]
    with pytest.raises(FileNotFoundError):
        found.save(tmp_path / "none" / "one.json")


def test_copies(found):
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert again == found and again.capacity == found.capacity
    assert found != mftma.analyze(*clouds(), seed=1)


def test_pandas(found):
    pytest.importorskip("pandas")
    assert found.to_pandas().shape[0] == 12
    assert found.to_pandas(per="layer")["capacity"][0] == found.capacity
    layers = mftma.Layers({"a": found, "b": found})
    assert layers.to_pandas()["layer"].tolist() == ["a", "b"]
    assert layers.to_pandas(per="class").shape[0] == 24
    with pytest.raises(ValueError, match="per is 'point'"):
        found.to_pandas(per="point")


def test_xarray(found):
    pytest.importorskip("xarray")
    layers = mftma.Layers({"a": found, "b": found}).to_xarray()
    assert layers.capacity.sel(layer="b", **{"class": "3"}) == found.capacities[3]


def test_plots(found):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    figures = [found.plot(), mftma.Layers({"a": found, "b": found}).plot()]
    figures.append(mftma.compare({"a": clouds()[0]}).plot())
    for figure in figures:
        figure.canvas.draw()
        matplotlib.pyplot.close(figure)


def test_joint():
    x, labels = clouds()
    found = mftma.joint_capacity(x, labels, n_t=100, keep_draws=True)
    alpha = found.utility * (1 + found.radius**-2) / found.dimension
    assert found.capacity == pytest.approx(alpha, rel=1e-12)
    assert found.capacity == pytest.approx(1 / np.mean(1 / found.manifolds.capacity), rel=1e-9)
    assert len(found.draws) == found.vectors == 100
    assert found.kkt_residual < 1e-8
    one = mftma.joint_capacity(x, labels, dichotomies=[1, -1] * 6, n_t=40)
    rest = mftma.joint_capacity(x, labels, dichotomies="one-against-rest", n_t=40)
    assert one.capacity != rest.capacity
    centred = mftma.joint_capacity(x - x.mean(0), labels, n_t=50)
    assert centred.capacity == pytest.approx(
        mftma.joint_capacity(x, labels, n_t=50, centring="by-point").capacity, rel=1e-9
    )
    adaptive = mftma.joint_capacity(x, labels, target_error=0.05, max_n_t=3200)
    assert adaptive.capacity.standard_error / adaptive.capacity <= 0.05 or adaptive.vectors == 3200
    assert found.to_pandas().shape[0] == 12


def test_more_classes_than_the_features_can_separate():
    x = np.random.default_rng(5).normal(size=(30 * 10, 20))
    labels = np.repeat(np.arange(30), 10)
    with pytest.warns(mftma.GeometryWarning, match="of the 30 classes"):
        both = mftma.analyze(x, labels, n_t=50, resamples=0)
    taken = both.joint.classes_per_draw
    assert taken < 30 and both.joint.separable > 0.8
    told = next(text for text in both.warnings if "of the 30 classes" in text)
    assert f"(classes_per_draw {taken})" in told
    with pytest.warns(mftma.GeometryWarning, match="of the 30 classes"):
        alone = mftma.joint_capacity(x, labels, n_t=50, centring="by-manifold")
    assert alone.capacity == both.joint.capacity and told in alone.warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asked = mftma.joint_capacity(x, labels, n_t=50, centring="by-manifold", classes_per_draw=taken)
        left_out = mftma.analyze(x, labels, n_t=50, classes_per_draw=30)
    assert asked.capacity == alone.capacity and not any("of the 30" in text for text in asked.warnings)
    assert left_out.joint is None
    assert any("the joint measures are left out" in text and "classes_per_draw" in text for text in left_out.warnings)
    with pytest.raises(ValueError, match=r"separate 0 of 50 labellings(?s:.*)try: .*classes_per_draw.*fewer points") as refused:
        mftma.joint_capacity(x, labels, n_t=50, classes_per_draw=30)
    # What it proposes is a function with that keyword.
    remedy = str(refused.value).rpartition(", or ")[2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert eval(remedy).capacity > 0
    with pytest.raises(ValueError, match="classes_per_draw is 31"):
        mftma.joint_capacity(x, labels, n_t=50, classes_per_draw=31)


def test_golden_joint(golden):
    for path in sorted(golden.glob("glue_*.npz")):
        values = np.load(path)
        for inactive in ("zero", "active"):
            found = mftma.joint_capacity(
                values["points"],
                dichotomies=values["dichotomies"],
                vectors=values["gaussians"],
                n_t=len(values["gaussians"]),
                inactive=inactive,
                keep_draws=True,
            )
            assert found.capacity == pytest.approx(float(values[f"{inactive}_alpha"]), rel=1e-8)
            assert found.dimension == pytest.approx(float(values[f"{inactive}_D"]), rel=1e-6)
            radius = float(values[f"{inactive}_R"])
            # Points by themselves have no extent; 0/0 is 0 here.
            assert not np.isfinite(radius) or found.radius == pytest.approx(radius, rel=1e-6, abs=1e-6)


def test_similarity():
    x, _ = clouds()
    y = x @ np.linalg.qr(np.random.default_rng(1).normal(size=(60, 60)))[0]
    assert mftma.cka(x, y) == pytest.approx(1)
    k, l = (a - a.mean(0) for a in (x, np.maximum(x, 0)))
    cka = np.linalg.norm(k.T @ l) ** 2 / np.linalg.norm(k.T @ k) / np.linalg.norm(l.T @ l)
    assert mftma.cka(x, np.maximum(x, 0)) == pytest.approx(cka)
    assert mftma.svcca(x, y, variance=1.0) == pytest.approx(1)
    found = mftma.canonical_correlations(x[:, :5], x[:, 3:9], variance=1.0)
    assert found.kept == (5, 6) and len(found.correlations) == 5
    assert (found.correlations > 1 - 1e-9).sum() == 2
    assert mftma.pwcca(x[:, :5], x[:, 3:9], variance=1.0) == found.pwcca
    matching = mftma.match_neurons(x[:, :6], x[:, 3:9] * 2)
    assert matching.first == (3, 4, 5) and matching.second == (0, 1, 2) and matching.verify()
    assert len(matching.simple_matches) == 3 and matching.similarity == 0.5


def test_permuted_labels():
    y = np.arange(3000) % 10
    permutation = mftma.permute_labels(y, 0.4, seed=3)
    assert permutation.mask.sum() == 1200
    assert (permutation.labels == y)[~permutation.mask].all()
    assert np.bincount(permutation.labels).tolist() == [300] * 10
    assert permutation.effective_noise_rate == (permutation.labels != y).mean()
    assert permutation.checksum == mftma.permute_labels(y, 0.4, seed=3).checksum
    for group, of in (("unpermuted", y), ("permuted", permutation.labels), ("restored", y)):
        drawn = mftma.draw_manifolds(group, permutation, manifolds=5, examples=30, seed=1)
        assert len(drawn.rows) == 150 and (of[drawn.rows] == drawn.labels).all()
        assert (permutation.mask[drawn.rows] == (group != "unpermuted")).all()
    tests = mftma.draw_manifolds("test", permutation, manifolds=5, examples=3, test_labels=y[:200], seed=1)
    assert (y[tests.rows] == tests.labels).all()


def test_the_joint_measures_come_unasked_and_alone():
    x, labels = clouds()
    both = mftma.analyze(x, labels, n_t=50)
    alone = mftma.joint_capacity(x, labels, centring="by-manifold", n_t=50, resamples=1000)
    assert both.joint == alone
    assert both.joint.capacity.interval.lower < both.joint.capacity < both.joint.capacity.interval.upper
    assert repr(both).splitlines()[1].startswith("  joint capacity")
    mean_field = mftma.analyze(x, labels, n_t=50, measures="mean-field")
    assert mean_field.joint is None
    assert mean_field.to_dict() == both.to_dict()
    joint = mftma.analyze(x, labels, n_t=50, measures="joint")
    assert joint.joint == alone
    with pytest.raises(ValueError, match="mean-field measures were not taken"):
        joint.capacity  # noqa: B018
    assert joint.to_dict() == {} and "joint capacity" in repr(joint)


def test_a_result_keeps_its_joint_measures(tmp_path):
    x, labels = clouds()
    for measures in ("both", "joint", "mean-field"):
        found = mftma.analyze(x, labels, n_t=20, measures=measures)
        found.save(tmp_path / "one.json")
        again = mftma.load(tmp_path / "one.json")
        assert again == found
        assert again.joint == found.joint


def test_the_programs_joint_measures_are_these(tmp_path):
    x, labels = clouds()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", labels)
    out = program("analyze", "x.npy", "--labels", "y.npy", "--n-t", 50, "-o", "x.json", cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    theirs = mftma.load(tmp_path / "x.json")
    ours = mftma.analyze(x, labels, n_t=50)
    assert ours.joint == theirs.joint and ours == theirs
