"""The private extension module."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "ALGORITHM_VERSION",
    "LabelPermutation",
    "Neurons",
    "Representation",
    "__version__",
    "addresses",
    "analyze",
    "compared_points",
    "default_settings",
    "describe_warning",
    "draw_manifolds",
    "joint_capacity",
    "maximum_match",
    "project",
    "run_program",
    "simple_matches",
    "simulate_capacity",
    "variance_spectrum",
    "verify",
]

__version__: str
ALGORITHM_VERSION: int

_Array = npt.NDArray[Any]
_Progress = Callable[[str, int, int], object] | None

def run_program(arguments: Sequence[str]) -> int: ...
def addresses(parts: Sequence[_Array]) -> list[int]: ...
def default_settings() -> dict[str, Any]: ...
def describe_warning(warning: dict[str, Any], classes: Sequence[str]) -> str: ...
def analyze(
    parts: Sequence[_Array],
    names: Sequence[str],
    codes: npt.NDArray[np.int64],
    given: dict[str, Any],
    progress: _Progress = None,
    vectors: Sequence[_Array] | None = None,
    directions: _Array | None = None,
) -> dict[str, Any]: ...
def simulate_capacity(
    parts: Sequence[_Array],
    names: Sequence[str],
    codes: npt.NDArray[np.int64],
    choice: dict[str, Any],
    given: dict[str, Any],
    positive: int | None = None,
    progress: _Progress = None,
) -> dict[str, Any]: ...
def joint_capacity(
    parts: Sequence[_Array],
    names: Sequence[str],
    codes: npt.NDArray[np.int64],
    choice: dict[str, Any],
    given: dict[str, Any],
    n_t: int,
    target_error: float | None = None,
    labellings: Sequence[Sequence[int]] | None = None,
    vectors: _Array | None = None,
    progress: _Progress = None,
) -> dict[str, Any]: ...
def project(parts: Sequence[_Array], features: int, seed: int, threads: int = 0) -> npt.NDArray[np.float64]: ...
def variance_spectrum(parts: Sequence[_Array], share: float, threads: int = 0) -> tuple[float, int] | None: ...
def compared_points(n: int, most: int, seed: int) -> list[int]: ...
@final
class Representation:
    def __new__(
        cls, parts: Sequence[_Array], rows: Sequence[int] | None = None, threads: int = 0
    ) -> Representation: ...
    @property
    def points(self) -> int: ...
    @property
    def features(self) -> int: ...
    def cka(self, other: Representation) -> float: ...
    def correlations(self, other: Representation, variance: float) -> dict[str, Any]: ...

@final
class Neurons:
    def __new__(cls, parts: Sequence[_Array], threads: int = 0) -> Neurons: ...

def maximum_match(first: Neurons, second: Neurons, epsilon: float) -> dict[str, Any]: ...
def simple_matches(first: Neurons, second: Neurons, epsilon: float) -> list[dict[str, Any]]: ...
def verify(first: Neurons, second: Neurons, found: Mapping[str, Any]) -> bool: ...
@final
class LabelPermutation:
    def __new__(
        cls, labels: npt.NDArray[np.uint16], classes: int, fraction: float, scheme: str, seed: int
    ) -> LabelPermutation: ...
    @property
    def mask(self) -> npt.NDArray[np.bool_]: ...
    @property
    def true_labels(self) -> npt.NDArray[np.uint16]: ...
    @property
    def assigned_labels(self) -> npt.NDArray[np.uint16]: ...
    @property
    def effective_noise_rate(self) -> float: ...
    @property
    def checksum(self) -> str: ...

def draw_manifolds(
    group: str,
    permutation: LabelPermutation,
    test_labels: npt.NDArray[np.uint16],
    manifolds: int,
    examples: int,
    seed: int,
    shortage: str,
) -> tuple[list[int], list[npt.NDArray[np.int64]]]: ...
