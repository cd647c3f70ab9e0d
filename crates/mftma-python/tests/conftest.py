"""What the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


def clouds(p: int = 12, m: int = 15, n: int = 60, seed: int = 0, dtype: type = np.float64):
    """P classes of M points in N features, shuffled, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(p), m)
    x = rng.normal(size=(p, n))[labels] + 0.8 * rng.normal(size=(p * m, n))
    order = rng.permutation(p * m)
    return x[order].astype(dtype), labels[order]


@pytest.fixture
def data():
    return clouds()


@pytest.fixture(scope="session")
def golden() -> Path:
    """Values of the 2019 package, which are too large for the repository."""
    folder = Path(os.environ.get("MFTMA_SHARED", Path(__file__).parents[4] / "shared")) / "golden"
    if not folder.is_dir():
        pytest.skip("no golden values at hand: set MFTMA_SHARED")
    return folder
