"""The geometry of neural manifolds: capacity, radius, dimension and correlation of the classes in a layer.

>>> import mftma, numpy as np
>>> x, labels = np.random.default_rng(0).normal(size=(800, 300)), np.repeat(np.arange(40), 20)
>>> geometry = mftma.analyze(x, labels)

One call per question: :func:`analyze` (mean-field geometry), :func:`simulate_capacity`, :func:`joint_capacity` (GLUE),
:func:`cka`, :func:`svcca`, :func:`pwcca`, :func:`compare`, :func:`match_neurons`, :func:`permute_labels`,
:func:`draw_manifolds`. :mod:`mftma.torch` takes activations from PyTorch models. The modules
:mod:`mftma.manifold_analysis_correlation`, :mod:`mftma.manifold_analysis`, :mod:`mftma.alldata_dimension_analysis` and
:mod:`mftma.utils` have the interface of the 2019 package.
"""

from __future__ import annotations

from ._analysis import analyze, joint_capacity, simulate_capacity
from ._data import ExampleGroup, LabelPermutation, draw_manifolds, permute_labels
from ._mftma import ALGORITHM_VERSION, __version__
from ._progress import Progress
from ._results import (
    Alignment,
    Geometry,
    GeometryWarning,
    Interval,
    JointCapacity,
    Layers,
    Measure,
    RankTrial,
    SimulatedCapacity,
    Spectrum,
    load,
)
from ._similarity import (
    CanonicalCorrelations,
    Comparison,
    Matching,
    SimpleMatch,
    canonical_correlations,
    cka,
    compare,
    match_neurons,
    pwcca,
    svcca,
)

__all__ = [
    "ALGORITHM_VERSION",
    "Alignment",
    "CanonicalCorrelations",
    "Comparison",
    "ExampleGroup",
    "Geometry",
    "GeometryWarning",
    "Interval",
    "JointCapacity",
    "LabelPermutation",
    "Layers",
    "Matching",
    "Measure",
    "Progress",
    "RankTrial",
    "SimpleMatch",
    "SimulatedCapacity",
    "Spectrum",
    "__version__",
    "analyze",
    "canonical_correlations",
    "cka",
    "compare",
    "draw_manifolds",
    "joint_capacity",
    "load",
    "match_neurons",
    "permute_labels",
    "pwcca",
    "simulate_capacity",
    "svcca",
]
