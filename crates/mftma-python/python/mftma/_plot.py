"""Plots, by Matplotlib, which is imported only here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ._results import Geometry, Layers
    from ._similarity import Comparison


def _subplots(*arguments: Any, **named: Any) -> tuple[Figure, Any]:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plot needs matplotlib\n  try: pip install 'mftma[matplotlib]'") from error
    return pyplot.subplots(*arguments, **named)  # type: ignore[no-any-return,unused-ignore]


def _bounds(measure: Any) -> tuple[float, float]:
    if measure.interval is not None:
        return measure - measure.interval.lower, measure.interval.upper - measure
    error = measure.standard_error or 0.0
    return error, error


def layers(found: Layers) -> Figure:
    """Four panels over layers."""
    figure, axes = _subplots(2, 2, figsize=(9, 6), sharex=True, layout="constrained")
    places = np.arange(len(found))
    joint = [(at, g.joint) for at, g in zip(places, found.values()) if g.joint is not None]
    mean_field = [(at, g) for at, g in zip(places, found.values()) if g._mean_field]
    kinds: list[tuple[str, list[tuple[Any, Any]]]] = [("joint", joint), ("mean-field", mean_field)]
    for axis, (name, title) in zip(
        axes.flat, [("capacity", "capacity α"), ("radius", "radius R"), ("dimension", "dimension D")]
    ):
        for label, layers_of_kind in kinds:
            measures = [getattr(g, name) for _, g in layers_of_kind]
            if measures:
                errors = np.abs(np.array([_bounds(measure) for measure in measures]).T)
                at = [at for at, _ in layers_of_kind]
                axis.errorbar(at, [float(m) for m in measures], yerr=errors, marker="o", capsize=2, label=label)
        axis.set_ylabel(title)
    axes.flat[0].legend(frameon=False)
    last = axes.flat[3]
    last.plot([at for at, _ in mean_field], [g.centre_correlation for _, g in mean_field], marker="o", color="C1")
    last.set_ylabel("centre correlation ρ")
    for axis in axes[1]:
        axis.set_xticks(places, list(found), rotation=90 if len(found) > 4 else 0)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def classes(found: Geometry) -> Figure:
    """Three panels: every class as a dot with its standard error, in rising order, and the mean as a line."""
    shown: Any = found if found._mean_field else found.joint
    figure, axes = _subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    for axis, (name, title) in zip(
        axes, [("capacity", "capacity α"), ("radius", "radius R"), ("dimension", "dimension D")]
    ):
        values, errors = shown.manifolds[name], shown.manifolds[f"{name}_standard_error"]
        order = np.argsort(values, kind="stable")
        axis.errorbar(
            np.arange(len(values)), values[order], yerr=np.nan_to_num(errors[order]), fmt=".", capsize=0
        )
        axis.axhline(float(getattr(shown, name)), color="0.6", zorder=0)
        axis.set_ylabel(title)
        axis.set_xlabel("class")
        if len(values) <= 20:
            axis.set_xticks(np.arange(len(values)), [found.classes[i] for i in order], rotation=90)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def comparison(found: Comparison) -> Figure:
    """CKA, SVCCA and PWCCA between all layers."""
    figure, axes = _subplots(1, 3, figsize=(12, 4), layout="constrained")
    for axis, name in zip(axes, ["cka", "svcca", "pwcca"]):
        image = axis.imshow(getattr(found, name), vmin=0, vmax=1)
        axis.set_title(name.upper())
        axis.set_xticks(range(len(found.layers_b)), found.layers_b, rotation=90)
        axis.set_yticks(range(len(found.layers_a)), found.layers_a)
    figure.colorbar(image, ax=axes)
    return figure
