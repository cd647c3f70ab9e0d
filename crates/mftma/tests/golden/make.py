"""Makes the golden values beside this script, independently of the engine.

    python make.py            # needs numpy and scipy

Every manifold is solved one Gaussian vector at a time as a non-negative least-squares problem on the dual
(min over alpha >= 0 of |S alpha - b|, S the points with a last coordinate 1), by scipy's `nnls`; closed forms are
integrated by Gauss-Legendre quadrature. Draws come from numpy's default generator with the seeds below, so the files can be remade
byte for byte in their arrays (archives also hold the time).

`b1_P10_N50_rank2.npz` is not made here: it is the output of the authors' Python package of 2019
(schung039/neural_manifolds_replicaMFT, commit d56eda1, unmodified; five seeds) on a data set with two shared
directions, kept so that agreement with that package is tested everywhere.
"""

from pathlib import Path

import numpy as np
from scipy.optimize import nnls
from scipy.stats import chi, norm

HERE = Path(__file__).parent
VECTORS = 60


def solve(points, vectors, kappa):
    """F and anchor of every vector. points (D+1, m), last row ones; vectors (D+1, n)."""
    f, anchors = np.zeros(vectors.shape[1]), np.zeros_like(vectors)
    for v, t in enumerate(vectors.T):
        # |S a - b|^2 with S'b = S't + kappa: the centre coordinate is 1 for all points, so b shifts t there by kappa.
        b = t.copy()
        b[-1] += kappa
        alpha, _ = nnls(points, b, maxiter=100 * points.shape[1])
        mass = alpha.sum()
        if mass > 0:
            projected = points @ alpha
            f[v], anchors[:, v] = projected @ projected, projected / mass
        else:
            anchors[:, v] = points[:, np.argmax(points[:-1].T @ t[:-1])]
    return f, anchors


def manifold(name, spread, kappa, rng):
    """One manifold: spread is (D, m) of points around a centre at distance 1."""
    dimension, count = spread.shape
    points = np.vstack([spread, np.ones(count)])
    vectors = rng.standard_normal((dimension + 1, VECTORS))
    f, anchors = solve(points, vectors, kappa)
    inner = anchors[:-1]
    radius = np.sqrt(((inner - inner.mean(axis=1, keepdims=True)) ** 2).sum(axis=0).mean())
    lengths = np.linalg.norm(vectors[:-1], axis=0) * np.linalg.norm(inner, axis=0)
    along = (vectors[:-1] * inner).sum(axis=0)
    # A point has no direction: its dimension is 0.
    cosine = np.divide(along, lengths, out=np.zeros_like(along), where=lengths > 0).mean()
    np.savez_compressed(
        HERE / f"a_{name}.npz",
        sD1=points,
        t_vec=vectors,
        kappa=kappa,
        exact_a=1 / f.mean(),
        exact_R=radius,
        exact_D=dimension * cosine**2,
        exact_F=f,
        exact_s_all=anchors,
    )


def point_capacity(kappa):
    return 1 / ((1 + kappa**2) * norm.cdf(kappa) + kappa * norm.pdf(kappa))


def nodes(low, high, count=200):
    """Gauss-Legendre nodes and weights between bounds (arrays), along a new last axis."""
    x, w = np.polynomial.legendre.leggauss(count)
    low, high = np.asarray(low)[..., None], np.asarray(high)[..., None]
    half = (high - low) / 2
    return low + half * (x + 1), half * w


def ball(kappa, radius, dimension):
    """Capacity and radius of a ball at centre distance 1: Chung, Lee & Sompolinsky, PRX 8, 031003 (2018), section IV."""
    t, weight = nodes(0.0, np.sqrt(dimension) + 12, 800)
    weight = weight * chi.pdf(t, dimension)
    edge, top = kappa - t / radius, kappa + radius * t
    # Beyond 12 the normal density vanishes in double precision.
    clip = lambda u: np.clip(u, -12, 12)
    u, du = nodes(clip(edge), clip(top))
    touching = (du * norm.pdf(u) * (radius * t[:, None] + kappa - u) ** 2).sum(axis=1) / (1 + radius**2)
    u, du = nodes(np.full_like(t, -12.0), clip(edge))
    inside = (du * norm.pdf(u) * (t[:, None] ** 2 + (u - kappa) ** 2)).sum(axis=1)
    far = (du * norm.pdf(u) * t[:, None] ** 2 / (kappa - u) ** 2).sum(axis=1)
    inverse = (weight * (touching + inside)).sum()
    square = (weight * (radius**2 * norm.sf(edge) + far)).sum()
    return 1 / inverse, np.sqrt(square)


def main():
    rng = np.random.default_rng(2021)
    manifold("gauss_D10_M20", 0.3 * rng.standard_normal((10, 20)), 0.0, rng)
    manifold("gauss_D10_M20_k0.5", 0.3 * rng.standard_normal((10, 20)), 0.5, rng)
    few = 0.5 * rng.standard_normal((6, 12))
    manifold("doubled_D6_M24", np.hstack([few, few]), 0.0, rng)
    sphere = rng.standard_normal((5, 40))
    manifold("sphere_D5_M40_R5", 5 * sphere / np.linalg.norm(sphere, axis=0), 0.0, rng)
    manifold("segment_D1_M2_k0.5", np.array([[-1.0, 1.0]]), 0.5, rng)
    manifold("point_D1_M1_k1.0", np.zeros((1, 1)), 1.0, rng)
    kappas = np.linspace(-2, 4, 13)
    rows = [
        (kappa, radius, dimension, *ball(kappa, radius, dimension))
        for kappa in (0.0, 0.5, 1.0)
        for radius in (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0)
        for dimension in (1, 2, 5, 20)
    ]
    np.savez_compressed(
        HERE / "closed_forms.npz",
        point=np.column_stack([kappas, point_capacity(kappas)]),
        ball=np.array(rows),
    )


if __name__ == "__main__":
    main()
