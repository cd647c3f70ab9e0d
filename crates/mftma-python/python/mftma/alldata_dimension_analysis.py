"""The interface of the 2019 package's module of this name: the linear dimension of all points together."""

from __future__ import annotations

from collections.abc import Sequence

from . import _mftma
from ._inputs import ArrayLike, matrix

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
    parts = [matrix(x, "features-by-points", f"XtotT[{i}]") for i, x in enumerate(XtotT)]
    parts = [part for part in parts if len(part)]
    if sum(map(len, parts)) < 2:
        raise ValueError("XtotT holds fewer than two points\n  try: a list with one array (features, points) per manifold")
    found = _mftma.variance_spectrum(parts, perc)
    if found is None:
        raise ValueError("all points are the same: there is no variance")
    return *found, parts[0].shape[1]
