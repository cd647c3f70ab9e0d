"""From whatever holds numbers to the arrays that the engine reads where they lie."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: Anything that holds numbers: NumPy arrays, PyTorch tensors, objects with ``__array__`` or DLPack, nested lists.
ArrayLike = Any

LAYOUTS = ("points-by-features", "features-by-points", "classes-by-points-by-features")

# Types that NumPy knows only through the package ml_dtypes, all of which float32 holds exactly.
_SMALL = re.compile(r"bfloat16|float[468]_\w+|u?int[24]")


class Prepared(NamedTuple):
    """What the extension takes."""

    #: Arrays (points, features) of float32 or float64, one below the other.
    parts: list[npt.NDArray[Any]]
    #: The distinct labels.
    names: list[str]
    #: The label of every point as an index into ``names``.
    codes: npt.NDArray[np.int64]


def as_array(x: ArrayLike, what: str = "x") -> npt.NDArray[Any]:
    """Any array as one of NumPy, without a copy where it lies in this machine's memory.

    PyTorch tensors are recognised without importing PyTorch: where it was never imported there are none.
    """
    if isinstance(x, np.ndarray):
        return x
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _from_torch(x, torch)
    try:
        if hasattr(x, "__array__"):
            return np.asarray(x)
        if hasattr(x, "__dlpack__"):
            return np.from_dlpack(x)
    except (TypeError, RuntimeError, BufferError) as error:
        raise TypeError(
            f"{what} is a {type(x).__module__}.{type(x).__qualname__} that NumPy cannot read ({error})\n"
            "  try: move it to this machine's memory first: x.cpu(), x.get(), jax.device_get(x)"
        ) from error
    if isinstance(x, (str, bytes)) or not isinstance(x, (Sequence, Mapping)):
        raise TypeError(
            f"{what} is a {type(x).__qualname__}, but an array was expected"
            + ("\n  try: numpy.load(x), or the program: mftma analyze FILE" if isinstance(x, (str, bytes)) else "")
        )
    if isinstance(x, Mapping):
        raise TypeError(f"{what} is a dictionary, but an array was expected\n  try: one of its values")
    try:
        return np.asarray([as_array(row, what) if _is_array(row) else row for row in x])
    except ValueError as error:
        raise ValueError(
            f"{what} is a list whose rows differ in length\n"
            "  try: a list with one array (points x features) per class, without labels; or rows of equal length"
        ) from error


def _is_array(x: object) -> bool:
    return not isinstance(x, np.ndarray) and (hasattr(x, "__array__") or hasattr(x, "__dlpack__"))


def _from_torch(x: Any, torch: Any) -> npt.NDArray[Any]:
    x = x.detach()
    if x.layout != torch.strided:
        x = x.to_dense()
    if x.device.type != "cpu":
        x = x.cpu()
    if x.dtype == torch.bfloat16 or "float8" in str(x.dtype):
        x = x.float()
    array: npt.NDArray[Any] = x.resolve_conj().resolve_neg().numpy()
    return array


def as_float(a: npt.NDArray[Any], what: str = "x") -> npt.NDArray[Any]:
    """Numbers as float32, where that holds all values of their type, else float64; a copy only where needed."""
    kind, size = a.dtype.kind, a.dtype.itemsize
    if _SMALL.fullmatch(a.dtype.name):
        return a.astype(np.float32)
    if kind == "f":
        wanted = np.dtype(np.float32 if size <= 4 else np.float64)
    elif kind in "biu":
        wanted = np.dtype(np.float32 if size <= 2 else np.float64)
    elif kind == "c":
        raise TypeError(
            f"{what} holds complex numbers ({a.dtype})\n"
            "  try: numpy.abs(x), or numpy.concatenate([x.real, x.imag], axis=1)"
        )
    else:
        raise TypeError(
            f"{what} holds {'Python objects' if kind == 'O' else 'text' if kind in 'SU' else a.dtype}, not numbers\n"
            "  try: x.astype(float); arrays of unequal length as a list, one array (points x features) per class"
        )
    if a.dtype != wanted or not a.dtype.isnative:
        a = a.astype(wanted)
    whole = all(stride >= 0 and stride % a.itemsize == 0 for stride in a.strides)
    return a if a.flags.aligned and whole else a.copy(order="C")


def _layout(layout: str) -> str:
    name = str(layout).replace("_", "-")
    if name not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}, but must be one of {', '.join(map(repr, LAYOUTS))}")
    return name


def matrix(x: ArrayLike, layout: str = "points-by-features", what: str = "x") -> npt.NDArray[Any]:
    """One array as (points, features), all axes but that of the points flattened."""
    a = as_array(x, what)
    if a.ndim < 2:
        raise ValueError(
            f"{what} has shape {a.shape}; points x features were expected\n"
            "  try: x.reshape(len(x), -1) for points of one feature, x[None] for a single point"
        )
    if _layout(layout) == "features-by-points":
        a = a.T if a.ndim == 2 else np.moveaxis(a, -1, 0)
    if a.ndim > 2:
        a = a.reshape(a.shape[0], -1)
    return as_float(a, what)



def prepare(x: ArrayLike, labels: ArrayLike | None, layout: str) -> Prepared:
    """Points and labels, or classes by themselves."""
    layout = _layout(layout)
    if labels is not None:
        if layout == "classes-by-points-by-features":
            raise ValueError(
                "labels were given, but the layout tells the class of every point\n  try: leave out labels or layout"
            )
        points = matrix(x, layout)
        names, codes = encode(labels, len(points))
        return Prepared([points], names, codes)
    if isinstance(x, (list, tuple)):
        return _by_class(list(x), layout)
    a = as_array(x)
    if a.ndim < 3 or layout == "features-by-points":
        raise ValueError(
            f"labels are missing, and x of shape {a.shape} does not tell the classes\n"
            "  try: mftma.analyze(x, labels) with one label per point; or a list with one array per class; or an array of "
            "classes x points x features"
        )
    p, m = a.shape[:2]
    names = [str(i) for i in range(p)]
    points = as_float(a.reshape(p * m, -1))
    return Prepared([points], names, np.repeat(np.arange(p, dtype=np.int64), m))


def _by_class(classes: list[ArrayLike], layout: str) -> Prepared:
    parts = []
    for index, one in enumerate(classes):
        a = as_array(one, f"x[{index}]")
        if a.ndim < 2:
            raise ValueError(
                f"x is a list without labels, so it must hold one array of points x features per class, but x[{index}] has "
                f"shape {a.shape}\n  try: mftma.analyze(x, labels) with one label per point"
            )
        parts.append(matrix(a, "points-by-features" if layout.startswith("classes") else layout, f"x[{index}]"))
    if not parts:
        raise ValueError("x is an empty list\n  try: a list with one array of points x features per class")
    features = parts[0].shape[1]
    for index, part in enumerate(parts):
        if part.shape[1] != features:
            raise ValueError(
                f"x[{index}] has {part.shape[1]} features, but x[0] has {features}: all points must have the same features\n"
                "  try: layout='features-by-points' where classes differ in their number of columns"
            )
    sizes = [len(part) for part in parts]
    codes = np.repeat(np.arange(len(parts), dtype=np.int64), sizes)
    return Prepared(parts, [str(i) for i in range(len(parts))], codes)


def encode(labels: ArrayLike, n: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of the distinct labels, and every point's label as an index into them. Names are the program's."""
    a = as_array(labels, "labels")
    if a.ndim != 1:
        flat = a.squeeze()
        if flat.ndim != 1 or (flat.shape[0] != n and n != 1):
            raise ValueError(
                f"labels have shape {a.shape}; one label per point was expected\n"
                "  try: for one-hot labels labels.argmax(axis=1)"
            )
        a = flat
    if n == 0:
        raise ValueError("x holds no points\n  try: check the selection that made it")
    if len(a) != n:
        raise ValueError(
            f"{len(a)} labels for {n} points\n  try: one label per point, in the same order; if x is features x points, "
            "layout='features-by-points'"
        )
    kind = a.dtype.kind
    if kind == "f" or a.dtype.name == "bfloat16":
        a = a.astype(np.float64)
        odd = np.flatnonzero(~((a == np.trunc(a)) & (np.abs(a) < 9e15)))
        if odd.size:
            raise ValueError(
                f"label {odd[0]} is {a[odd[0]]}, not a whole number\n"
                "  try: the class index of every point: labels.astype('int64'), or text"
            )
        a = a.astype(np.int64)
    elif kind == "b":
        a = a.astype(np.uint8)
    elif kind == "S":
        a = np.char.decode(a, "utf-8", "replace")
    elif kind == "O":
        a = np.asarray([str(label) for label in a], dtype=np.str_)
    elif kind not in "iuU":
        raise TypeError(f"labels are {a.dtype}; whole numbers or text were expected\n  try: labels.astype(str)")
    names, codes = np.unique(a, return_inverse=True)
    return [str(name) for name in names], codes.reshape(-1).astype(np.int64)


def plain(value: Any) -> Any:
    """NumPy's scalars and arrays as Python's, for settings."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


#: Settings that are called otherwise in the extension.
_KEYWORDS = {"margin": "kappa", "repetitions": "dichotomies"}


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the extension takes them: Python's own types, and no number that JSON cannot hold."""
    taken = {name: plain(value) for name, value in given.items()}
    for name, value in taken.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{_KEYWORDS.get(name, name.replace('-', '_'))} is {value}, but must be finite")
        if isinstance(value, int) and value >= 2**64:
            raise ValueError(f"{name.replace('-', '_')} is {value}, but must be below 2**64")
    return taken


def count(value: Any, name: str) -> int:
    """A whole number from 0 up."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}, but must be a whole number")
    if not 0 <= value < 2**64:
        raise ValueError(f"{name} is {value}, but must be {'below 2**64' if value > 0 else 'a whole number from 0 up'}")
    return value


def names_of(value: Any) -> list[str]:
    """Names of classes, which may be given as numbers, one or several."""
    if value is None:
        return []
    if isinstance(value, (str, int, np.integer)):
        value = [value]
    return [str(plain(item)) for item in value]
