"""The interface of the 2019 package's module of this name (Stephenson et al., NeurIPS 2019, arXiv 2003.01787)."""

from __future__ import annotations

from collections.abc import Sequence

from ._inputs import ArrayLike
from ._reference import analysis
from ._results import Floats

__all__ = ["manifold_analysis_corr"]


def manifold_analysis_corr(
    XtotT: Sequence[ArrayLike],
    kappa: float,
    n_t: int,
    t_vecs: Sequence[ArrayLike] | None = None,
    n_reps: int = 10,
) -> tuple[Floats, Floats, Floats, float, int]:
    """Capacity, radius and dimension of each manifold after the centres' shared directions are removed.

    Parameters
    ----------
    XtotT
        One array (features, points) per manifold.
    kappa
        Margin.
    n_t
        Gaussian vectors per manifold.
    t_vecs
        Gaussian vectors, one array (min(features, points) + 1, n_t) per manifold; drawn by default.
    n_reps
        Random restarts of the search for shared directions.

    Returns
    -------
    capacities, radii, dimensions, centre correlation, K
        The first three with one entry per manifold; average capacities harmonically: ``1 / numpy.mean(1 / capacities)``.

    Examples
    --------
    >>> import numpy as np
    >>> from mftma.manifold_analysis_correlation import manifold_analysis_corr
    >>> np.random.seed(0)
    >>> X = [np.random.randn(300, 20) for _ in range(30)]
    >>> a, r, d, r0, K = manifold_analysis_corr(X, 0, 100)
    >>> a.shape, bool(K >= 1)
    ((30,), True)
    """
    found = analysis(XtotT, kappa, n_t, t_vecs, n_reps)
    return found.capacities, found.radii, found.dimensions, found.centre_correlation, found.rank
