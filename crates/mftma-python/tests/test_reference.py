"""The interface of the 2019 package, and its values."""

from __future__ import annotations

import numpy as np
import pytest

import mftma
from mftma.alldata_dimension_analysis import alldata_dimension_analysis
from mftma.manifold_analysis import manifold_analysis
from mftma.manifold_analysis_correlation import manifold_analysis_corr
from mftma.utils.make_manifold_data import make_manifold_data


def test_the_example_of_its_readme():
    """The values that its README states, to the digits it states; R and D within what 200 vectors leave."""
    np.random.seed(0)
    X = [np.random.randn(5000, 50) for i in range(100)]
    kappa, n_t = 0, 200
    capacity_all, radius_all, dimension_all, center_correlation, K = manifold_analysis_corr(X, kappa, n_t)
    assert round(1 / np.mean(1 / capacity_all), 2) == 0.04
    assert np.mean(radius_all) == pytest.approx(1.47, abs=0.01)
    assert np.mean(dimension_all) == pytest.approx(36.17, abs=0.15)
    assert round(center_correlation, 2) == 0.01
    assert K == 1


def test_its_dimension_of_all_data():
    """Against eigenvalues of the covariance, taken in another way."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(30, 20)) * np.arange(1, 31)[:, None] for _ in range(8)]
    ratio, directions, features = alldata_dimension_analysis(X, perc=0.9)
    values = np.linalg.svd(np.cov(np.concatenate(X, axis=1)))[1]
    assert ratio == pytest.approx(values.sum() ** 2 / (values**2).sum())
    assert directions == 1 + np.searchsorted(np.cumsum(values) / values.sum(), 0.9)
    assert features == 30
    # One manifold alone, and ones of unequal sizes, empty too.
    joined = np.concatenate(X, axis=1)
    for other in ([joined], [joined[:, :1], joined[:, :0], joined[:, 1:]]):
        assert alldata_dimension_analysis(other, perc=0.9) == (pytest.approx(ratio), directions, 30)
    with pytest.raises(ValueError, match="fewer than two points"):
        alldata_dimension_analysis([np.ones((5, 1))])
    with pytest.raises(ValueError, match="no variance"):
        alldata_dimension_analysis([np.ones((5, 2)), np.ones((5, 2))])
    with pytest.raises(ValueError, match="NaN"):
        alldata_dimension_analysis([np.full((5, 2), np.nan), np.ones((5, 2))])


def test_golden_values(golden):
    """Given the reference's own subspace and Gaussian vectors everything else is determined: 1e-8."""
    for path in sorted(golden.glob("b*.npz")):
        values = np.load(path)
        p = values["a_M"].shape[1]
        names = {kind: sorted(n for n in values.files if n.startswith(kind) and n[2:].isdigit()) for kind in ("X_", "t_")}
        X = [values[name] for name in names["X_"]]
        t = [values[name] for name in names["t_"]]
        assert len(X) == len(t) == p
        found = mftma.analyze(
            X, layout="features-by-points", convention="reference", kappa=float(values["kappa"]), t_vecs=t,
            directions=values["V11_seed0"], resamples=0,
        )  # fmt: skip
        for name, of in (("a_M", found.capacities), ("R_M", found.radii), ("D_M", found.dimensions)):
            assert of == pytest.approx(values[name][0], rel=1e-8), (path.name, name)
        assert found.centre_correlation == pytest.approx(np.ravel(values["res_coeff0"])[0], rel=1e-8)


def test_golden_values_through_its_interface(golden):
    """Where its own seeds agree (b1, b5), its function with its vectors: K, and means within twice its spread."""
    for name, tolerance in (("b1_P10_N50_rank2", 1e-6), ("b5_P20_N500_rank2_decay", 1e-6)):
        values = np.load(golden / f"{name}.npz")
        X = [values[n] for n in sorted(values.files) if n.startswith("X_")]
        t = [values[n] for n in sorted(values.files) if n.startswith("t_") and n[2:].isdigit()]
        a, r, d, r0, K = manifold_analysis_corr(X, float(values["kappa"]), t[0].shape[1], t_vecs=t)
        assert int(np.ravel(values["KK"])[0]) == K
        for ours, theirs in ((a, "a_M"), (r, "R_M"), (d, "D_M")):
            assert np.mean(ours) == pytest.approx(values[theirs][0].mean(), rel=tolerance)


def test_single_manifolds_without_correlation():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(40, 12)) + 3 * rng.normal(size=(40, 1)) for _ in range(10)]
    a, r, d = manifold_analysis(X, 0.1, 500)
    ours = mftma.analyze(X, layout="features-by-points", convention="reference", kappa=0.1, n_t=500)
    assert a.shape == r.shape == d.shape == (10,)
    # Centres far apart share little, so that removing their directions changes little.
    assert 1 / np.mean(1 / a) == pytest.approx(float(ours.capacity), rel=0.5)


def test_what_the_reference_crashes_on():
    """A sphere around the origin of radius above its centre's norm, fewer than eight manifolds, unequal sizes."""
    rng = np.random.default_rng(0)
    X = []
    for i in range(4):
        points = rng.normal(size=(30, 20 + i))
        X.append(5 * points / np.linalg.norm(points, axis=0) + np.eye(30)[:, i : i + 1])
    a, r, d, r0, K = manifold_analysis_corr(X, 0, 100)
    assert np.isfinite([*a, *r, *d, r0]).all() and 0 < K < 4


def test_seed_is_numpys():
    X = [np.random.default_rng(i).normal(size=(50, 10)) for i in range(10)]
    answers = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        answers.append(manifold_analysis_corr(X, 0, 50)[0].tolist())
    assert answers[0] == answers[1] != answers[2]


def test_make_manifold_data():
    data = [(np.full((2, 3), 10 * c + i), c) for i in range(9) for c in range(6)]
    drawn = make_manifold_data(data, 3, 4, max_class=6, seed=1)
    assert [d.shape for d in drawn] == [(4, 2, 3)] * 3
    for d in drawn:
        assert len(set((d[:, 0, 0] // 10).tolist())) == 1 and len(set(d[:, 0, 0].tolist())) == 4
    assert all((a == b).all() for a, b in zip(drawn, make_manifold_data(data, 3, 4, max_class=6, seed=1)))
    assert len(make_manifold_data(iter(data), 2, 3)) == 2
    with pytest.raises(ValueError, match="class 0 has 9 examples, but examples_per_class is 10"):
        make_manifold_data(data, 1, 10)
    with pytest.raises(ValueError, match="max_class only 2"):
        make_manifold_data(data, 3, 1, max_class=2)
