"""The interface of the 2019 package's module of this name: the linear dimension of all points together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._inputs import ArrayLike, as_float, as_array

__all__ = ["alldata_dimension_analysis"]


def alldata_dimension_analysis(
    XtotT: Sequence[ArrayLike], perc: float = 0.90
) -> tuple[float, int, int]:
    """Participation ratio, directions that hold the share ``perc`` of the variance, and the number of features.

    ``XtotT`` holds one array (features, points) per manifold. The 2019 package drops the last eigenvalue and counts one direction
    too few; here both are right.

    >>> import numpy as np
    >>> from mftma.alldata_dimension_analysis import alldata_dimension_analysis
    >>> ratio, directions, features = alldata_dimension_analysis([np.eye(4), -np.eye(4)])
    >>> round(ratio, 9), directions, features
    (4.0, 4, 4)
    """
    if not 0 < perc <= 1:
        raise ValueError(f"perc is {perc}, but must be above 0 and at most 1")
    parts = [as_float(as_array(x, f"XtotT[{i}]"), f"XtotT[{i}]") for i, x in enumerate(XtotT)]
    points = np.concatenate(parts, axis=1).astype(np.float64)
    features, count = points.shape
    if not np.isfinite(points).all():
        raise ValueError("XtotT holds NaN or infinite values\n  try: drop such points")
    points -= points.mean(axis=1, keepdims=True)
    # The smaller of the two Gram matrices has all eigenvalues that are not nought.
    gram = points @ points.T if features <= count else points.T @ points
    values = np.clip(np.linalg.eigvalsh(gram)[::-1], 0, None)
    if not values[0] > 0:
        raise ValueError("all points are the same: there is no variance")
    shares = np.cumsum(values) / values.sum()
    directions = int(np.searchsorted(shares, perc - 1e-12) + 1)
    return float(values.sum() ** 2 / (values**2).sum()), min(directions, len(values)), features
