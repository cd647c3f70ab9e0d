"""Inputs of every kind give the same geometry."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import mftma
from mftma import _mftma
from mftma._inputs import encode, matrix, prepare

from conftest import clouds


@pytest.fixture
def small(data):
    """Whole numbers, which every type holds."""
    x, labels = data
    return np.rint(4 * x), labels


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "i2", "i4", "i8", ">f4", ">f8", ">i2", "longdouble"])
def test_every_type_of_number(small, dtype):
    x, labels = small
    a = mftma.analyze(x.astype(dtype), labels, n_t=50)
    exact = x.astype("f4") if np.dtype(dtype).kind in "fi" and np.dtype(dtype).itemsize in (1, 2) or "f4" in dtype else x
    assert a == mftma.analyze(exact, labels, n_t=50)
    assert abs(a.capacity - mftma.analyze(x, labels, n_t=50).capacity) < 1e-12


def test_unsigned_and_bool(data):
    x, labels = data
    assert mftma.analyze(x > 0, labels) == mftma.analyze((x > 0).astype("f4"), labels)
    u = np.rint(10 * np.abs(x)).astype("u1")
    assert mftma.analyze(u, labels) == mftma.analyze(u.astype("u2"), labels)


def test_bfloat16_and_float8(small):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, labels = small
    wanted = mftma.analyze(x.astype("f4"), labels, n_t=50)
    assert mftma.analyze(x.astype(ml_dtypes.bfloat16), labels, n_t=50) == wanted
    few = np.clip(np.rint(x / 4), -8, 8)
    assert mftma.analyze(few.astype(ml_dtypes.float8_e4m3fn), labels) == mftma.analyze(few.astype("f4"), labels)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_orders_strides_and_maps(tmp_path, dtype):
    x, labels = clouds(dtype=dtype)
    wanted = mftma.analyze(x, labels)
    padded = np.zeros((2 * len(x), x.shape[1] + 5), dtype)
    padded[::2, 3:-2] = x
    numpy_file = tmp_path / "x.npy"
    np.save(numpy_file, x)
    for same in (
        np.asfortranarray(x),
        padded[::2, 3:-2],
        x[::-1][::-1],
        np.ascontiguousarray(x[::-1])[::-1],
        np.ascontiguousarray(x[:, ::-1])[:, ::-1],
        np.load(numpy_file, mmap_mode="r"),
        np.lib.stride_tricks.as_strided(x, x.shape, x.strides),
        x.tolist() if dtype == "f8" else [row for row in x],
        [memoryview(row) for row in x],
    ):
        assert mftma.analyze(same, labels) == wanted
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(dtype).reshape(x.shape)
    assert not unaligned.flags.aligned
    assert mftma.analyze(unaligned, labels) == wanted
    assert mftma.analyze(x.T, labels, layout="features-by-points") == wanted
    assert mftma.analyze(x.reshape(len(x), 3, -1, 2), labels) == wanted


def test_array_protocols(data):
    x, labels = data

    class Array:
        def __array__(self, dtype=None, copy=None):
            return x

    class DLPack:
        def __dlpack__(self, **how):
            return x.__dlpack__(**how)

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    wanted = mftma.analyze(x, labels)
    assert mftma.analyze(Array(), labels) == wanted
    assert mftma.analyze(DLPack(), labels) == wanted


def test_pandas_and_xarray(data):
    pd = pytest.importorskip("pandas")
    xr = pytest.importorskip("xarray")
    x, labels = data
    wanted = mftma.analyze(x, labels)
    assert mftma.analyze(pd.DataFrame(x), pd.Series(labels)) == wanted
    assert mftma.analyze(xr.DataArray(x), pd.Categorical(labels)) == wanted


def test_classes_by_themselves(data):
    x, labels = data
    wanted = mftma.analyze(x, labels)
    per_class = [x[labels == label] for label in range(12)]
    assert mftma.analyze(per_class) == wanted
    assert mftma.analyze([c.T for c in per_class], layout="features-by-points") == wanted
    assert mftma.analyze(np.stack(per_class)) == wanted
    assert mftma.analyze(np.stack(per_class), layout="classes-by-points-by-features") == wanted
    ragged = [c[: 5 + i] for i, c in enumerate(per_class)]
    a = mftma.analyze(ragged)
    assert a.points_per_class == tuple(min(5 + i, 15) for i in range(12))
    rows = np.concatenate(ragged)
    assert a == mftma.analyze(rows, np.repeat(np.arange(12), [len(c) for c in ragged]))
    mixed = [c.astype("f4") if i % 2 else c.astype("f4").astype("f8") for i, c in enumerate(per_class)]
    assert mftma.analyze(mixed) == mftma.analyze(x.astype("f4").astype("f8"), labels)


def test_layers(data):
    x, labels = data
    layers = {"first": x, "second": np.maximum(x, 0)}
    found = mftma.analyze(layers, labels)
    assert list(found) == ["first", "second"]
    assert found["second"] == mftma.analyze(layers["second"], labels)
    assert list(mftma.analyze(layers, labels, layers=["second"])) == ["second"]
    with pytest.raises(ValueError, match="no layer 'third'; there are 'first', 'second'"):
        mftma.analyze(layers, labels, layers=["third"])
    with pytest.raises(ValueError, match="layer 'second': 180 labels for 5 points"):
        mftma.analyze({"first": x, "second": x[:5]}, labels)


@pytest.mark.parametrize(
    "make",
    [
        lambda y: y.tolist(),
        lambda y: y.astype("f4"),
        lambda y: y.astype("i1"),
        lambda y: y[:, None],
        lambda y: [str(label) for label in y],
        lambda y: y.astype("S"),
        lambda y: y.astype(object),
    ],
)
def test_labels(data, make):
    x, labels = data
    assert mftma.analyze(x, make(labels)) == mftma.analyze(x, labels)
    assert mftma.analyze(x, make(labels)).classes == tuple(map(str, range(12)))


def test_order_of_classes_is_the_programs(data):
    x, labels = data
    found = mftma.analyze(x, labels - 3)
    assert found.classes == ("-1", "-2", "-3", *map(str, range(9)))
    by_name = mftma.analyze(x, [f"c{label}" for label in labels])
    assert by_name.classes == tuple(f"c{i}" for i in range(12))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_are_read_where_they_lie(dtype, order):
    x, labels = clouds(dtype=dtype)
    x = np.asarray(x, order=order)
    prepared = prepare(x, labels, "points-by-features")
    assert _mftma.addresses(prepared.parts) == [x.ctypes.data]
    per_class = [x[:10], x[10:]]
    assert _mftma.addresses(prepare(per_class, None, "points-by-features").parts) == [p.ctypes.data for p in per_class]
    cube = np.ascontiguousarray(x).reshape(12, 15, 60)
    assert _mftma.addresses(prepare(cube, None, "points-by-features").parts) == [cube.ctypes.data]


def test_a_large_array_is_not_copied():
    """Peak memory of an analysis of 256 MiB, from a process of its own."""
    code = """
import resource, numpy as np, mftma
x = np.zeros((256, 262144), np.float32)
x[:] = np.random.default_rng(0).normal(size=(256, 64)).astype(np.float32).repeat(4096, axis=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
mftma.analyze(x, np.repeat(np.arange(32), 8), n_t=10, resamples=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown < 100 * 1024, f"{grown} KiB more"


def test_torch_is_not_imported():
    code = "import mftma, sys, numpy; mftma.analyze(numpy.random.rand(8, 4, 9)); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_matrix_and_encode():
    assert matrix(np.zeros((2, 3, 4))).shape == (2, 12)
    assert matrix(np.zeros((3, 4, 2)), "features-by-points").shape == (2, 12)
    names, codes = encode(np.array([2, 10, 2]), 3)
    assert (names, codes.tolist()) == (["2", "10"], [0, 1, 0])
