"""The interface of the 2019 package's module of this name: no shared directions are removed."""

from __future__ import annotations

from collections.abc import Sequence

from ._inputs import ArrayLike
from ._reference import analysis
from ._results import Floats

__all__ = ["manifold_analysis"]


def manifold_analysis(
    XtotT: Sequence[ArrayLike], kappa: float, n_t: int, t_vecs: Sequence[ArrayLike] | None = None
) -> tuple[Floats, Floats, Floats]:
    """Capacity, radius and dimension of each manifold, with the centres as they are.

    Arguments are those of :func:`mftma.manifold_analysis_correlation.manifold_analysis_corr`.

    >>> import numpy as np
    >>> from mftma.manifold_analysis import manifold_analysis
    >>> a, r, d = manifold_analysis([np.random.randn(50, 10) for _ in range(12)], 0, 100)
    >>> a.shape
    (12,)
    """
    found = analysis(XtotT, kappa, n_t, t_vecs, 1, rank=0)
    return found.capacities, found.radii, found.dimensions
