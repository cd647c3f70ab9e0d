"""What the modules with the interface of the 2019 package share: its arrays are features × points."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ._analysis import _geometry
from ._inputs import ArrayLike
from ._progress import Reporter
from ._results import Geometry, GeometryWarning


def analysis(
    x: Sequence[ArrayLike],
    kappa: float,
    n_t: int,
    t_vecs: Sequence[ArrayLike] | None,
    restarts: int,
    rank: int | None = None,
) -> Geometry:
    """The geometry by the reference's conventions; its seed comes from NumPy's global state, as there."""
    given = {
        "kappa": float(kappa),
        "n-t": int(n_t),
        "restarts": int(restarts),
        "convention": "reference",
        "rank": rank,
        "resamples": 0,
        "measures": "mean-field",
        "seed": int(np.random.randint(2**31)),
    }
    with warnings.catch_warnings():
        # The 2019 package had none, and scripts may treat them as errors.
        warnings.simplefilter("ignore", GeometryWarning)
        with Reporter(None) as reporter:
            return _geometry(list(x), None, "features-by-points", given, reporter, t_vecs)
