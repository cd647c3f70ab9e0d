"""What is found, as objects with attributes, arrays per class, tables, plots and files."""

from __future__ import annotations

import html
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union

import numpy as np
import numpy.typing as npt

from . import _mftma

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

PathLike = Union[str, "os.PathLike[str]"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PROGRAM = f"mftma {_mftma.__version__}"


class GeometryWarning(UserWarning):
    """Something that a reader of a result should know, and that does not keep it from standing."""


class Interval(NamedTuple):
    """A two-sided interval."""

    lower: float
    upper: float


class Measure(float):
    """A number with its standard error over Gaussian vectors and, for means over classes, an interval over classes.

    It is a ``float`` and computes as one.

    >>> m = Measure(0.25, 0.01, (0.2, 0.3))
    >>> m
    0.25 ± 0.01
    >>> 2 * m, m.standard_error, m.interval.lower
    (0.5, 0.01, 0.2)
    """

    #: Standard error over Gaussian vectors; ``None`` where one vector, or given vectors, leave it unknown.
    standard_error: float | None
    #: Interval over classes, where it was asked for.
    interval: Interval | None

    def __new__(
        cls,
        value: float,
        standard_error: float | None = None,
        interval: tuple[float, float] | None = None,
    ) -> Measure:
        """Make one of its parts."""
        self = super().__new__(cls, value)
        self.standard_error = standard_error
        self.interval = None if interval is None else Interval(*interval)
        return self

    def __getnewargs__(self) -> Any:
        """For copies and pickles."""
        return (float(self), self.standard_error, self.interval)

    def __repr__(self) -> str:
        """Value and error, to the digits that the error leaves."""
        if self.standard_error is None or not math.isfinite(self.standard_error):
            return f"{float(self):.6g}"
        if self.standard_error <= 0:
            return f"{float(self):.6g} ± 0"
        digits = min(max(1 - math.floor(math.log10(self.standard_error)), 0), 12)
        error = f"{self.standard_error:.{digits}f}"
        value = f"{float(self):.{digits}f}"
        while "." in error and error.endswith("0") and value.endswith("0"):
            error, value = error[:-1], value[:-1]
        return f"{value} ± {error}"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """With a format, the number alone."""
        return format(float(self), spec) if spec else repr(self)


class RankTrial(NamedTuple):
    """What removing K shared directions of the centres gave."""

    rank: int
    residual_correlation: float
    cost: float
    smallest_centre_norm: float


class Spectrum(NamedTuple):
    """The variance spectrum of all points about their mean."""

    participation_ratio: float
    explained_variance_dimension: int
    variance_share: float
    reference_participation_ratio: float
    reference_explained_variance_dimension: int


def _measure(raw: Mapping[str, Any]) -> Measure:
    interval = raw.get("interval")
    return Measure(
        raw["value"],
        raw.get("standard_error"),
        None if interval is None else (interval["lower"], interval["upper"]),
    )


class _Columns(Mapping[str, npt.NDArray[Any]]):
    """Arrays with one entry per class, as attributes and as items."""

    def __init__(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        self._columns = dict(columns)

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._columns[name]
        except KeyError:
            raise AttributeError(f"no column {name!r}; there are {', '.join(self._columns)}") from None

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._columns]

    def __repr__(self) -> str:
        count = len(next(iter(self._columns.values()), ()))
        return f"<{count} classes: {', '.join(self._columns)}>"


def _columns(rows: list[Mapping[str, Any]], estimates: tuple[str, ...]) -> _Columns:
    """Per-class arrays of a list of records, their estimates split into value and standard error."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in rows[0] if rows else ():
        if name == "manifold":
            continue
        values = [row[name] for row in rows]
        if name in estimates:
            columns[name] = np.array([v["value"] for v in values], dtype=np.float64)
            errors = [v["standard_error"] for v in values]
            columns[f"{name}_standard_error"] = np.array(
                [np.nan if e is None else e for e in errors], dtype=np.float64
            )
        elif isinstance(values[0], Mapping):
            for part in values[0]:
                columns[part] = np.array([v[part] for v in values])
        else:
            columns[name] = np.array(values)
    return _Columns(columns)


T = TypeVar("T", bound="_Result")


class _Result:
    """What results have in common: a dictionary that holds all of it, and files."""

    _kind = ""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = dict(raw)
        self._found: Mapping[str, Any] = self._raw["geometry"]

    #: Names of the classes, in the order of all per-class arrays.
    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of all per-class arrays."""
        return tuple(self._raw["classes"])

    @property
    def points_per_class(self) -> tuple[int, ...]:
        """How many points of each class were used."""
        return tuple(self._raw["points_per_class"])

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting, under the names of the program's flags."""
        return dict(self._raw["settings"])

    @property
    def algorithm_version(self) -> int | None:
        """Version of the algorithms: results of one version and the same settings are the same to the bit."""
        version: int | None = self._found.get("algorithm_version")
        return version

    def to_dict(self) -> dict[str, Any]:
        """All of the result as dictionaries, lists and numbers, as the program's JSON has it."""
        copy: dict[str, Any] = json.loads(json.dumps(self._found))
        return copy

    def _document(self) -> dict[str, Any]:
        names = zip(self._raw["classes"], self._raw["points_per_class"])
        return {
            "program": _PROGRAM,
            "command": self._kind,
            "settings": self._raw["settings"],
            "notes": self._raw["notes"],
            "classes": [{"name": name, "points": points} for name, points in names],
            "layers": [self._layer("x")],
        }

    def _layer(self, name: str) -> dict[str, Any]:
        return {"layer": name, "geometry": self._found}

    def save(self, path: PathLike) -> None:
        """Write the result as JSON, whole or not at all; :func:`mftma.load` reads it."""
        _write(path, self._document())

    @classmethod
    def load(cls: type[T], path: PathLike) -> T:
        """Read what :meth:`save` wrote."""
        found = load(path)
        if not isinstance(found, cls):
            raise ValueError(f"{path} holds a {type(found).__name__}, not a {cls.__name__}\n  try: mftma.load(path)")
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and _same(self._found, other._found)

    __hash__ = None  # type: ignore[assignment]

    def _lines(self) -> list[tuple[str, str]]:
        return []

    def _title(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        lines = self._lines()
        width = max((len(name) for name, _ in lines), default=0)
        return "\n".join([self._title(), *(f"  {name:<{width}}  {value}" for name, value in lines)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._lines()
        )
        return f"<table><caption>{html.escape(self._title())}</caption>{rows}</table>"

    def _counts(self) -> str:
        sizes = self.points_per_class
        least, most = (min(sizes), max(sizes)) if sizes else (0, 0)
        points = f"{least}" if least == most else f"{least} to {most}"
        return f"{len(sizes)} classes of {points} points"


def _same(a: Any, b: Any) -> bool:
    # JSON holds none in place of what is not finite.
    a, b = (None if isinstance(x, float) and not math.isfinite(x) else x for x in (a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


class _NotMeasured(Mapping[str, Any]):
    """Stands for measures that were not asked for, or cannot be taken: says so where one is looked up."""

    def __init__(self, notes: tuple[str, ...]) -> None:
        self._notes = notes

    def __getitem__(self, name: str) -> Any:
        why = "".join(f"\n  note: {note}" for note in self._notes)
        raise ValueError(
            f"{name}: the mean-field measures were not taken{why}\n  try: .joint for the joint measures, or measures='both' in analyze"
        )

    def get(self, name: str, default: Any = None) -> Any:
        return default

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Geometry(_Result):
    """Joint capacity, and mean-field capacity, radius, dimension and centre correlation, of the classes in one layer.

    What stands here are the mean-field measures; ``joint`` holds the joint ones.
    """

    _kind = "analyze"

    def __init__(self, raw: Mapping[str, Any]) -> None:
        super().__init__(raw)
        if self._raw["geometry"] is None:
            self._found = _NotMeasured(tuple(self._raw["notes"]))

    @cached_property
    def joint(self) -> JointCapacity | None:
        """The joint capacity, with effective radius, dimension and utility; ``None`` where it was not measured."""
        joint = self._raw.get("joint")
        return None if joint is None else JointCapacity({**self._raw, "geometry": joint, "notes": []})

    def to_dict(self) -> dict[str, Any]:
        """The mean-field measures as dictionaries, lists and numbers, as the program's JSON has them; ``joint.to_dict()`` has the joint."""
        return super().to_dict() if self._mean_field else {}

    def _layer(self, name: str) -> dict[str, Any]:
        return {"layer": name, "geometry": self._raw["geometry"], "joint": self._raw.get("joint")}

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, Geometry) and self.joint == other.joint

    __hash__ = None

    @cached_property
    def capacity(self) -> Measure:
        """α_M, the harmonic mean over classes: how many classes per feature a linear readout can still tell apart."""
        return _measure(self._found["capacity"])

    @cached_property
    def radius(self) -> Measure:
        """R_M, the mean over classes, relative to the distance of the class centres from their mean."""
        return _measure(self._found["radius"])

    @cached_property
    def dimension(self) -> Measure:
        """D_M, the mean over classes."""
        return _measure(self._found["dimension"])

    @property
    def centre_correlation(self) -> float:
        """ρ: the mean absolute cosine between class centres, before shared directions are removed."""
        return float(self._found["centre_correlation"])

    center_correlation = centre_correlation

    @property
    def centre_correlation_interval(self) -> Interval | None:
        """Interval of ρ over classes, where it was asked for."""
        raw = self._found["centre_correlation_interval"]
        return None if raw is None else Interval(raw["lower"], raw["upper"])

    @property
    def residual_centre_correlation(self) -> float:
        """The same after shared directions are removed."""
        return float(self._found["residual_centre_correlation"])

    @property
    def rank(self) -> int:
        """K, how many directions shared by all centres were removed."""
        return int(self._found["rank"])

    @property
    def rank_trials(self) -> tuple[RankTrial, ...]:
        """What each K that was tried gave."""
        return tuple(
            RankTrial(*(trial[name] for name in RankTrial._fields)) for trial in self._found["rank_trials"]
        )

    @property
    def features(self) -> int:
        """N."""
        joint = self._raw.get("joint")
        return int(joint["features"] if joint is not None else self._found["features"])

    @property
    def _mean_field(self) -> bool:
        return self._raw["geometry"] is not None

    @property
    def spectrum(self) -> Spectrum | None:
        """Participation ratio and explained-variance dimension, where they were asked for."""
        raw = self._found.get("spectrum")
        return None if raw is None else Spectrum(*(raw[name] for name in Spectrum._fields))

    @cached_property
    def manifolds(self) -> _Columns:
        """Everything that is known of each class, as arrays: ``geometry.manifolds.capacity``, ``.radius_standard_error``, …"""
        return _columns(self._found["manifolds"], ("capacity", "radius", "dimension"))

    @property
    def capacities(self) -> Floats:
        """α of each class."""
        return self.manifolds["capacity"]

    @property
    def radii(self) -> Floats:
        """R of each class."""
        return self.manifolds["radius"]

    @property
    def dimensions(self) -> Floats:
        """D of each class."""
        return self.manifolds["dimension"]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader should know."""
        names = [str(name) for name in self.classes]
        found = (_mftma.describe_warning(warning, names) for warning in self._found.get("warnings") or ())
        return (*self._raw["notes"], *found)

    def to_pandas(self, per: str = "class") -> pd.DataFrame:
        """One row per class, or with ``per="layer"`` one row in all; columns are named as in the program's CSV."""
        pd = _need("pandas", "to_pandas")
        if per == "layer":
            return pd.DataFrame([self._row()])
        _check_per(per)
        columns: dict[str, Any] = {"class": list(self.classes)}
        if self.joint is not None:
            names = [name + end for name in _JOINT for end in ("", "_standard_error")]
            columns.update((f"joint_{name}", self.joint.manifolds[name]) for name in names)
        if self._mean_field:
            columns.update(self.manifolds)
        return pd.DataFrame(columns)

    def _row(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "features": self.features,
            "classes": len(self.classes),
            "points": sum(self.points_per_class),
        }
        measures: list[tuple[str, Measure]] = []
        if self.joint is not None:
            measures.extend((f"joint_{name}", getattr(self.joint, name)) for name in _JOINT)
        if self._mean_field:
            measures.extend((name, getattr(self, name)) for name in ("capacity", "radius", "dimension"))
        for name, measure in measures:
            row[name] = float(measure)
            row[f"{name}_standard_error"] = measure.standard_error
            row[f"{name}_lower"], row[f"{name}_upper"] = measure.interval or (None, None)
        if not self._mean_field:
            return row
        row["centre_correlation"] = self.centre_correlation
        row["residual_centre_correlation"] = self.residual_centre_correlation
        row["rank"] = self.rank
        if self.spectrum is not None:
            row["participation_ratio"] = self.spectrum.participation_ratio
            row["explained_variance_dimension"] = self.spectrum.explained_variance_dimension
        return row

    def plot(self) -> Figure:
        """Capacity, radius and dimension of every class, and their means."""
        from ._plot import classes

        return classes(self)

    def _lines(self) -> list[tuple[str, str]]:
        def line(measure: Measure) -> str:
            if measure.interval is None:
                return repr(measure)
            lower, upper = measure.interval
            return f"{measure!r}  [{lower:.4g}, {upper:.4g}] over classes"

        lines: list[tuple[str, str]] = []
        if self.joint is not None:
            lines += [
                ("joint capacity α", line(self.joint.capacity)),
                ("joint radius R", line(self.joint.radius)),
                ("joint dimension D", line(self.joint.dimension)),
                ("utility Ψ", line(self.joint.utility)),
            ]
        if self._mean_field:
            lines += [
                ("capacity α_M", line(self.capacity)),
                ("radius R_M", line(self.radius)),
                ("dimension D_M", line(self.dimension)),
                ("centre correlation ρ", f"{self.centre_correlation:.4g}"),
                ("removed directions K", str(self.rank)),
            ]
        if self.spectrum is not None:
            share = f"{100 * self.spectrum.variance_share:g} %"
            lines.append(("participation ratio", f"{self.spectrum.participation_ratio:.6g}"))
            lines.append((f"directions of {share}", str(self.spectrum.explained_variance_dimension)))
        return [*lines, *(("note", warning) for warning in self.warnings)]

    def _title(self) -> str:
        return f"Geometry of {self._counts()} in {self.features} features"


class Layers(Mapping[str, Geometry]):
    """The geometry of several layers: a dictionary of :class:`Geometry` by layer, in the order of the input."""

    def __init__(self, layers: Mapping[str, Geometry]) -> None:
        self._layers = dict(layers)

    def __getitem__(self, name: str) -> Geometry:
        try:
            return self._layers[name]
        except KeyError:
            raise KeyError(f"no layer {name!r}; there are {', '.join(map(repr, self._layers))}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layers) and self._layers == other._layers and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """:meth:`Geometry.to_dict` of each layer."""
        return {name: geometry.to_dict() for name, geometry in self.items()}

    def to_pandas(self, per: str = "layer") -> pd.DataFrame:
        """One row per layer, or with ``per="class"`` one per layer and class."""
        pd = _need("pandas", "to_pandas")
        _check_per(per)
        if per == "layer":
            return pd.DataFrame([{"layer": name, **g._row()} for name, g in self.items()])
        tables = []
        for name, geometry in self.items():
            table = geometry.to_pandas()
            table.insert(0, "layer", name)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def to_xarray(self) -> xr.Dataset:
        """Capacity, radius and dimension over (layer, class); the layers must have the same classes."""
        xr = _need("xarray", "to_xarray")
        first = next(iter(self.values()))
        if any(geometry.classes != first.classes for geometry in self.values()):
            raise ValueError("the layers have different classes\n  try: to_pandas(per='class')")
        names = ("capacity", "radius", "dimension")
        data = {
            name: (("layer", "class"), np.stack([geometry.manifolds[name] for geometry in self.values()]))
            for name in names
        }
        return xr.Dataset(data, coords={"layer": list(self), "class": list(first.classes)})

    def plot(self) -> Figure:
        """Capacity, radius, dimension and centre correlation over layers, with their intervals."""
        from ._plot import layers

        return layers(self)

    def save(self, path: PathLike) -> None:
        """Write all layers as JSON, whole or not at all; :func:`mftma.load` reads it."""
        first = next(iter(self.values()), None)
        if first is None:
            raise ValueError("there is no layer to save")
        document = first._document()
        document["layers"] = [
            geometry._layer(name) for name, geometry in self.items()
        ]
        _write(path, document)

    @classmethod
    def load(cls, path: PathLike) -> Layers:
        """Read what :meth:`save`, or the program's ``--format json``, wrote."""
        found = load(path)
        if isinstance(found, Geometry):
            return Layers({"x": found})
        if not isinstance(found, Layers):
            raise ValueError(f"{path} holds a {type(found).__name__}, not layers\n  try: mftma.load(path)")
        return found

    def _table(self) -> list[list[str]]:
        joint = any(g.joint is not None for g in self.values())
        mean_field = any(g._mean_field for g in self.values())
        heads = ["joint α"] if joint else []
        heads += ["capacity α_M", "radius R_M", "dimension D_M", "ρ", "K"] if mean_field else []
        rows = [["layer", "features", *heads]]
        for name, g in self.items():
            cells = [name, str(g.features)]
            if joint:
                cells.append("-" if g.joint is None else repr(g.joint.capacity))
            if g._mean_field:
                cells += [repr(g.capacity), repr(g.radius), repr(g.dimension), f"{g.centre_correlation:.4f}", str(g.rank)]
            elif mean_field:
                cells += ["-"] * 5
            rows.append(cells)
        return rows

    def __repr__(self) -> str:
        rows = self._table()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
        )

    def _repr_html_(self) -> str:
        head, *rows = self._table()

        def line(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        return f"<table><thead>{line(head, 'th')}</thead><tbody>{''.join(line(r, 'td') for r in rows)}</tbody></table>"


class SimulatedCapacity(_Result):
    """Capacity found by simulation: classes per feature at which half of random labellings are separable."""

    _kind = "capacity"

    @property
    def capacity(self) -> float | None:
        """α_sim = P/n*; ``None`` where all features separate fewer than half of the labellings."""
        value: float | None = self._found["capacity"]
        return value

    @property
    def interval(self) -> Interval:
        """Its interval at the confidence asked for."""
        return Interval(*self._found["interval"])

    @property
    def dimensions(self) -> float | None:
        """n*, random features at which half of the labellings are separable."""
        value: float | None = self._found["dimensions"]
        return value

    @property
    def thresholds(self) -> Floats:
        """For each labelling the least number of random features that separate it; NaN where all do not."""
        return np.array([np.nan if n is None else n for n in self._found["thresholds"]], dtype=np.float64)

    def _lines(self) -> list[tuple[str, str]]:
        lower, upper = self.interval
        share = int(np.isfinite(self.thresholds).sum())
        return [
            ("capacity α", "none" if self.capacity is None else f"{self.capacity:.4g}  [{lower:.4g}, {upper:.4g}]"),
            ("features n*", "none" if self.dimensions is None else f"{self.dimensions:.4g}"),
            ("separable", f"{share} of {len(self.thresholds)} labellings with all features"),
            *(("note", note) for note in self._raw["notes"]),
        ]

    def _title(self) -> str:
        return f"Simulated capacity of {self._counts()}"


class Alignment(NamedTuple):
    """Mean over pairs of classes, as absolute inner product and as signed cosine."""

    absolute: float
    cosine: float


class JointCapacity(_Result):
    """Joint capacity of correlated manifolds and the effective geometry of their anchor points (GLUE)."""

    _kind = "joint"

    @cached_property
    def capacity(self) -> Measure:
        """α = P/⟨F⟩ of all classes together."""
        return _measure(self._found["capacity"])

    @cached_property
    def dimension(self) -> Measure:
        """Effective dimension D."""
        return _measure(self._found["dimension"])

    @cached_property
    def radius(self) -> Measure:
        """Effective radius R."""
        return _measure(self._found["radius"])

    @cached_property
    def utility(self) -> Measure:
        """Utility Ψ, for which α = Ψ(1 + R⁻²)/D."""
        return _measure(self._found["utility"])

    @property
    def centre_alignment(self) -> Alignment:
        """Alignment of the classes' centres."""
        return Alignment(**self._found["alignments"]["centres"])

    @property
    def axis_alignment(self) -> Alignment:
        """Alignment of the classes' axes."""
        return Alignment(**self._found["alignments"]["axes"])

    @property
    def centre_axis_alignment(self) -> Alignment:
        """Alignment of centres with other classes' axes."""
        return Alignment(**self._found["alignments"]["centre_axes"])

    @property
    def active(self) -> float:
        """Share of classes that carry a dual, over draws."""
        return float(self._found["active"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader should know; of the joint measures of an analysis, its own ``warnings`` say it."""
        return tuple(self._raw["notes"])

    @property
    def classes_per_draw(self) -> int:
        """Classes that took part in each draw."""
        return int(self._found["manifolds_per_draw"])

    @property
    def separable(self) -> float:
        """Share of the draws that some vector separates; below 1 the capacity is rather too large."""
        return float(self._found["separable"])

    @property
    def vectors(self) -> int:
        """Gaussian vectors drawn."""
        return int(self._found["vectors"])

    @property
    def kkt_residual(self) -> float:
        """Largest violation of an optimality condition."""
        return float(self._found["kkt_residual"])

    @property
    def draws(self) -> tuple[dict[str, Any], ...]:
        """Every draw, where they were kept."""
        return tuple(self._found["draws"])

    @cached_property
    def manifolds(self) -> _Columns:
        """Each class's share, as arrays."""
        return _columns(self._found["manifolds"], ("capacity", "dimension", "radius", "utility"))

    def to_pandas(self) -> pd.DataFrame:
        """One row per class."""
        pd = _need("pandas", "to_pandas")
        return pd.DataFrame({"class": list(self.classes), **self.manifolds})

    def _lines(self) -> list[tuple[str, str]]:
        return [
            ("capacity α", repr(self.capacity)),
            ("dimension D", repr(self.dimension)),
            ("radius R", repr(self.radius)),
            ("utility Ψ", repr(self.utility)),
            ("centre alignment", f"{self.centre_alignment.cosine:.4g} (cosine)"),
            ("axis alignment", f"{self.axis_alignment.cosine:.4g} (cosine)"),
            ("centre–axis alignment", f"{self.centre_axis_alignment.cosine:.4g} (cosine)"),
            *(("note", note) for note in self._raw["notes"]),
        ]

    def _title(self) -> str:
        return f"Joint capacity of {self._counts()} in {self._found['features']} features"


#: Joint measures of a layer, and of its classes.
_JOINT = ("capacity", "radius", "dimension", "utility")

_KINDS: dict[str, type[_Result]] = {
    kind._kind: kind for kind in (Geometry, SimulatedCapacity, JointCapacity)
}


def load(path: PathLike) -> Geometry | Layers | SimulatedCapacity | JointCapacity:
    """Read a result that ``save`` wrote, or that ``mftma analyze --format json`` did."""
    text = Path(path).read_text(encoding="utf-8")
    try:
        document = json.loads(text)
        kind = _KINDS[document["command"]]
        classes = [entry["name"] for entry in document["classes"]]
        points = [entry["points"] for entry in document["classes"]]
        found = {
            layer["layer"]: kind(
                {
                    "geometry": layer["geometry"],
                    "joint": layer.get("joint"),
                    "settings": document["settings"],
                    "classes": classes,
                    "points_per_class": points,
                    "notes": [] if document.get("complete") is not None else document["notes"],
                }
            )
            for layer in document["layers"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: no result of mftma ({type(error).__name__}: {error})\n"
            "  try: a file that .save(path) or `mftma analyze --format json --output` wrote"
        ) from None
    if list(found) == ["x"]:
        return found["x"]  # type: ignore[return-value]
    return Layers(found)  # type: ignore[arg-type]


def _write(path: PathLike, document: Mapping[str, Any]) -> None:
    """A file under a temporary name, then renamed."""
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _need(module: str, what: str) -> Any:
    """An optional module."""
    try:
        return __import__(module)
    except ImportError as error:
        raise ImportError(f"{what} needs {module}\n  try: pip install 'mftma[{module}]'") from error


def _check_per(per: str) -> None:
    if per not in ("class", "layer"):
        raise ValueError(f"per is {per!r}, but must be 'class' or 'layer'")
