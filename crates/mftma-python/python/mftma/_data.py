"""Permuted labels and example groups, as studies of memorization need them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import _mftma
from ._inputs import ArrayLike, as_array, count


def _whole(labels: ArrayLike, what: str) -> npt.NDArray[np.uint16]:
    a = as_array(labels, what)
    if a.ndim != 1 or a.dtype.kind not in "iub":
        raise ValueError(
            f"{what} have shape {a.shape} and type {a.dtype}; one whole number per example was expected\n"
            "  try: names, labels = numpy.unique(labels, return_inverse=True)"
        )
    if a.size and (a.min() < 0 or a.max() > 65_535):
        raise ValueError(f"{what} run from {a.min()} to {a.max()}, but must be within 0 to 65535")
    return a.astype(np.uint16)


class LabelPermutation:
    """Labels of which a fraction was made noise. Made by :func:`permute_labels`."""

    def __init__(self, inner: _mftma.LabelPermutation, classes: int) -> None:
        self._inner = inner
        self._classes = classes

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """For each example, whether it was chosen, even where it drew its own label back."""
        return self._inner.mask

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The labels to train on."""
        return self._inner.assigned_labels.astype(np.int64)

    @property
    def true_labels(self) -> npt.NDArray[np.int64]:
        """The labels that belong to the examples."""
        return self._inner.true_labels.astype(np.int64)

    @property
    def effective_noise_rate(self) -> float:
        """Share of all examples whose label is wrong."""
        return self._inner.effective_noise_rate

    @property
    def checksum(self) -> str:
        """BLAKE3 of everything that determines the permutation; the same as that of the Rust crate ``mftma-data``."""
        return self._inner.checksum

    def __len__(self) -> int:
        return len(self._inner.mask)

    def __repr__(self) -> str:
        return (
            f"LabelPermutation of {len(self)} examples, {int(self.mask.sum())} chosen, "
            f"{100 * self.effective_noise_rate:.3g} % wrong"
        )


def permute_labels(
    labels: ArrayLike, fraction: float, *, seed: int = 0, scheme: str = "permute", classes: int | None = None
) -> LabelPermutation:
    """Make the labels of a fraction of the examples noise, and remember which.

    Parameters
    ----------
    labels
        Whole numbers from 0.
    fraction
        Share of the examples that are chosen, in [0, 1].
    scheme
        ``"permute"``: the chosen examples' labels are permuted among themselves; ``"uniform"``: each draws a label from all
        classes; ``"derange"``: permuted so that none keeps its own.
    classes
        How many classes there are; by default one more than the largest label.

    Examples
    --------
    >>> import mftma, numpy as np
    >>> permutation = mftma.permute_labels(np.arange(1000) % 10, 0.5, scheme="derange")
    >>> permutation.effective_noise_rate
    0.5
    """
    a = _whole(labels, "labels")
    many = (int(a.max()) + 1 if a.size else 0) if classes is None else count(classes, "classes")
    return LabelPermutation(_mftma.LabelPermutation(a, many, fraction, scheme, count(seed, "seed")), many)


class ExampleGroup(NamedTuple):
    """The examples of the manifolds of one group."""

    #: ``"unpermuted"``, ``"permuted"``, ``"restored"`` or ``"test"``.
    group: str
    #: The class of each manifold.
    classes: npt.NDArray[np.int64]
    #: For each manifold the indices of its examples.
    indices: tuple[npt.NDArray[np.int64], ...]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """All examples, manifold by manifold: ``mftma.analyze(acts[group.rows], group.labels)``."""
        return np.concatenate(self.indices)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of each of :attr:`rows` in the analysis."""
        return np.repeat(self.classes, [len(i) for i in self.indices])


def draw_manifolds(
    group: str,
    permutation: LabelPermutation,
    *,
    manifolds: int,
    examples: int,
    test_labels: ArrayLike | None = None,
    seed: int = 0,
    shortage: str = "refuse",
) -> ExampleGroup:
    """Draw ``examples`` examples for each of ``manifolds`` manifolds of one group.

    Permuted and restored are the same images, grouped by the label trained on and by the true one; all groups of a seed share
    their classes.

    Parameters
    ----------
    group
        ``"unpermuted"``, ``"permuted"``, ``"restored"`` or ``"test"`` (which needs ``test_labels``).
    shortage
        Where a class has too few examples, ``"refuse"`` or ``"take"`` what there is.

    Examples
    --------
    >>> import mftma, numpy as np
    >>> permutation = mftma.permute_labels(np.arange(5000) % 10, 0.5)
    >>> permuted, restored = (
    ...     mftma.draw_manifolds(g, permutation, manifolds=10, examples=20) for g in ("permuted", "restored")
    ... )
    >>> set(permuted.rows) == set(restored.rows)
    True
    """
    if group == "test" and test_labels is None:
        raise ValueError("the group 'test' needs test_labels")
    tests = np.zeros(0, np.uint16) if test_labels is None else _whole(test_labels, "test_labels")
    classes, indices = _mftma.draw_manifolds(
        group, permutation._inner, tests, count(manifolds, "manifolds"), count(examples, "examples"),
        count(seed, "seed"), shortage,
    )
    return ExampleGroup(group, np.array(classes, dtype=np.int64), tuple(indices))
