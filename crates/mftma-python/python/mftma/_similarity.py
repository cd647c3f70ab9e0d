"""How alike two layers represent the same points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _mftma
from ._inputs import ArrayLike, count, matrix
from ._results import Floats, _need

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def cka(a: ArrayLike, b: ArrayLike, *, threads: int = 0) -> float:
    """Linear CKA of two representations (points × features) of the same points, in [0, 1].

    Kornblith, Norouzi, Lee & Hinton 2019, doi:10.48550/arXiv.1905.00414.

    >>> import mftma, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(30, 5))
    >>> round(mftma.cka(x, 3 * x[:, ::-1]), 12)
    1.0
    """
    first, second = _pair(a, b, threads)
    return first.cka(second)


class CanonicalCorrelations(NamedTuple):
    """Canonical correlations between two representations, and their means."""

    #: The correlations, falling.
    correlations: Floats
    #: Their plain mean.
    svcca: float
    #: Their mean weighted by how much of the first side each accounts for.
    pwcca: float
    #: Directions kept of either side.
    kept: tuple[int, int]
    #: How many correlations are 1 for want of points, whatever the data.
    forced: int


def canonical_correlations(
    a: ArrayLike, b: ArrayLike, *, variance: float = 0.99, threads: int = 0
) -> CanonicalCorrelations:
    """Canonical correlations of the leading directions of either side that hold ``variance`` of its variance."""
    first, second = _pair(a, b, threads)
    return _correlations(first, second, variance)


def svcca(a: ArrayLike, b: ArrayLike, *, variance: float = 0.99, threads: int = 0) -> float:
    """SVCCA (Raghu et al. 2017, doi:10.48550/arXiv.1706.05806) of two representations (points × features)."""
    return canonical_correlations(a, b, variance=variance, threads=threads).svcca


def pwcca(a: ArrayLike, b: ArrayLike, *, variance: float = 0.99, threads: int = 0) -> float:
    """PWCCA (Morcos et al. 2018, doi:10.48550/arXiv.1806.05759), weighted by the first side; not symmetric."""
    return canonical_correlations(a, b, variance=variance, threads=threads).pwcca


def _pair(a: ArrayLike, b: ArrayLike, threads: int) -> tuple[_mftma.Representation, _mftma.Representation]:
    x, y = matrix(a, what="a"), matrix(b, what="b")
    threads = count(threads, "threads")
    return _mftma.Representation([x], None, threads), _mftma.Representation([y], None, threads)


def _correlations(
    first: _mftma.Representation, second: _mftma.Representation, variance: float
) -> CanonicalCorrelations:
    raw = first.correlations(second, variance)
    return CanonicalCorrelations(
        np.array(raw["correlations"], dtype=np.float64),
        raw["svcca"],
        raw["pwcca"],
        tuple(raw["kept"]),
        raw["forced"],
    )


class Comparison:
    """CKA, SVCCA and PWCCA between every layer of one side and every layer of the other."""

    def __init__(
        self, layers_a: list[str], layers_b: list[str], values: dict[str, npt.NDArray[Any]], points: int
    ) -> None:
        #: Names of the layers along the first axis of every array.
        self.layers_a = layers_a
        #: Names of the layers along the second.
        self.layers_b = layers_b
        #: Points compared.
        self.points = points
        #: Linear CKA.
        self.cka: Floats = values["cka"]
        #: SVCCA.
        self.svcca: Floats = values["svcca"]
        #: PWCCA, weighted by the first side.
        self.pwcca: Floats = values["pwcca"]
        #: Correlations that are 1 for want of points.
        self.forced: npt.NDArray[np.int64] = values["forced"]

    def to_pandas(self) -> pd.DataFrame:
        """One row per pair of layers."""
        pd = _need("pandas", "to_pandas")
        rows = [
            {
                "layer_a": a,
                "layer_b": b,
                **{name: getattr(self, name)[i, j] for name in ("cka", "svcca", "pwcca", "forced")},
            }
            for i, a in enumerate(self.layers_a)
            for j, b in enumerate(self.layers_b)
        ]
        return pd.DataFrame(rows)

    def plot(self) -> Figure:
        """Three matrices."""
        from ._plot import comparison

        return comparison(self)

    def __repr__(self) -> str:
        lines = [f"Comparison on {self.points} points", "layer_a  layer_b  CKA  SVCCA  PWCCA"]
        for i, a in enumerate(self.layers_a):
            for j, b in enumerate(self.layers_b):
                lines.append(f"{a}  {b}  {self.cka[i, j]:.4f}  {self.svcca[i, j]:.4f}  {self.pwcca[i, j]:.4f}")
        return "\n".join(lines)


def compare(
    a: Mapping[str, ArrayLike],
    b: Mapping[str, ArrayLike] | None = None,
    *,
    variance: float = 0.99,
    points: int = 2000,
    seed: int = 0,
    threads: int = 0,
) -> Comparison:
    """Compare every layer of ``a`` with every layer of ``b`` (or of ``a`` itself) on the same points.

    What ``mftma compare`` finds. Memory grows as the square of the number of points, so at most ``points`` are drawn.

    >>> import mftma, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(50, 8))
    >>> found = mftma.compare({"first": x, "second": np.maximum(x, 0)})
    >>> found.cka.shape, round(float(found.cka[0, 0]), 12)
    ((2, 2), 1.0)
    """
    first = {name: matrix(x, what=f"layer {name!r}") for name, x in a.items()}
    second = first if b is None else {name: matrix(x, what=f"layer {name!r}") for name, x in b.items()}
    if not first or not second:
        raise ValueError("there is no layer to compare")
    sizes = {name: len(x) for name, x in [*first.items(), *second.items()]}
    n = next(iter(sizes.values()))
    for name, size in sizes.items():
        if size != n:
            raise ValueError(f"layer {name!r} has {size} points, but another has {n}: all must hold the same points")
    points, threads = count(points, "points"), count(threads, "threads")
    rows = _mftma.compared_points(n, points, count(seed, "seed")) if n > points else None

    def sides(layers: Mapping[str, npt.NDArray[Any]]) -> list[_mftma.Representation]:
        return [_mftma.Representation([x], rows, threads) for x in layers.values()]

    of_a = sides(first)
    of_b = of_a if b is None else sides(second)
    values = {name: np.zeros((len(of_a), len(of_b))) for name in ("cka", "svcca", "pwcca")}
    forced = np.zeros((len(of_a), len(of_b)), dtype=np.int64)
    for i, one in enumerate(of_a):
        for j, other in enumerate(of_b):
            values["cka"][i, j] = one.cka(other)
            found = _correlations(one, other, variance)
            values["svcca"][i, j], values["pwcca"][i, j] = found.svcca, found.pwcca
            forced[i, j] = found.forced
    return Comparison(list(first), list(second), {**values, "forced": forced}, min(n, points))


class SimpleMatch(NamedTuple):
    """A match without a smaller one around one of its neurons."""

    first: tuple[int, ...]
    second: tuple[int, ...]


class Matching:
    """Which neurons of two layers span the same space, with a certificate that can be replayed."""

    def __init__(self, a: ArrayLike, b: ArrayLike, epsilon: float, threads: int) -> None:
        threads = count(threads, "threads")
        self._a = _mftma.Neurons([matrix(a, what="a")], threads)
        self._b = _mftma.Neurons([matrix(b, what="b")], threads)
        self._raw = _mftma.maximum_match(self._a, self._b, epsilon)

    @property
    def epsilon(self) -> float:
        """The tolerance."""
        return float(self._raw["epsilon"])

    @property
    def first(self) -> tuple[int, ...]:
        """Neurons of the first layer that are in the maximum match."""
        return tuple(self._raw["first"])

    @property
    def second(self) -> tuple[int, ...]:
        """Neurons of the second layer that are in it."""
        return tuple(self._raw["second"])

    @property
    def similarity(self) -> float:
        """Share of the neurons of both layers that are in it."""
        sizes = self._raw["sizes"]
        return float((len(self.first) + len(self.second)) / (sizes[0] + sizes[1]))

    @property
    def ranks(self) -> tuple[int, int]:
        """Dimensions of the two spans; one that equals the number of points makes the match trivial."""
        one, other = self._raw["ranks"]
        return one, other

    @property
    def removed(self) -> tuple[dict[str, Any], ...]:
        """Every other neuron, with the round and the distance for which it was dropped."""
        return tuple(self._raw["removed"])

    @cached_property
    def simple_matches(self) -> tuple[SimpleMatch, ...]:
        """The simple matches that the maximum match is a union of."""
        raw = _mftma.simple_matches(self._a, self._b, self.epsilon)
        return tuple(SimpleMatch(tuple(match["first"]), tuple(match["second"])) for match in raw)

    def verify(self) -> bool:
        """Replay the certificate."""
        return _mftma.verify(self._a, self._b, self._raw)

    def __repr__(self) -> str:
        return (
            f"Matching of {len(self.first)} and {len(self.second)} neurons, similarity {self.similarity:.4f}, "
            f"ε = {self.epsilon:g}"
        )


def match_neurons(a: ArrayLike, b: ArrayLike, *, epsilon: float = 1e-6, threads: int = 0) -> Matching:
    """Maximum and simple matches of the neurons of two layers (points × neurons), at tolerance ``epsilon``.

    Wang et al. 2018, doi:10.48550/arXiv.1810.11750.

    >>> import mftma, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> found = mftma.match_neurons(x, x @ [[1, 1, 0], [1, -1, 0], [0, 0, 2]])
    >>> found.similarity, len(found.simple_matches), found.verify()
    (1.0, 2, True)
    """
    return Matching(a, b, epsilon, threads)
