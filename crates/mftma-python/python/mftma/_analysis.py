"""The analyses."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from . import _mftma
from ._inputs import ArrayLike, as_array, count, names_of, plain, prepare, settings
from ._progress import ProgressLike, Reporter
from ._results import Geometry, GeometryWarning, JointCapacity, Layers, SimulatedCapacity


@overload
def analyze(
    x: Mapping[str, ArrayLike],
    labels: ArrayLike | None = None,
    *,
    layout: str = "points-by-features",
    layers: Sequence[str] | None = None,
    n_t: int = 200,
    target_error: float | None = None,
    max_n_t: int = 10_000,
    kappa: float = 0.0,
    points: int | None = None,
    classes: int | None = None,
    only_classes: Sequence[Any] = (),
    leave_out: Sequence[Any] = (),
    seed: int = 0,
    threads: int = 0,
    convention: str = "ours",
    rank: int | None = None,
    max_rank: int | None = None,
    projection: int = 0,
    restarts: int = 10,
    resamples: int = 1000,
    spectrum: float = 0.0,
    measures: str = "both",
    dichotomies: str = "random",
    classes_per_draw: int | None = None,
    centring: str = "by-class",
    inactive: str = "zero",
    joint_kappa: float = 0.0,
    progress: ProgressLike = None,
    t_vecs: Sequence[ArrayLike] | None = None,
    directions: ArrayLike | None = None,
) -> Layers: ...


@overload
def analyze(
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    layout: str = "points-by-features",
    layers: None = None,
    n_t: int = 200,
    target_error: float | None = None,
    max_n_t: int = 10_000,
    kappa: float = 0.0,
    points: int | None = None,
    classes: int | None = None,
    only_classes: Sequence[Any] = (),
    leave_out: Sequence[Any] = (),
    seed: int = 0,
    threads: int = 0,
    convention: str = "ours",
    rank: int | None = None,
    max_rank: int | None = None,
    projection: int = 0,
    restarts: int = 10,
    resamples: int = 1000,
    spectrum: float = 0.0,
    measures: str = "both",
    dichotomies: str = "random",
    classes_per_draw: int | None = None,
    centring: str = "by-class",
    inactive: str = "zero",
    joint_kappa: float = 0.0,
    progress: ProgressLike = None,
    t_vecs: Sequence[ArrayLike] | None = None,
    directions: ArrayLike | None = None,
) -> Geometry: ...


def analyze(
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    layout: str = "points-by-features",
    layers: Sequence[str] | None = None,
    n_t: int = 200,
    target_error: float | None = None,
    max_n_t: int = 10_000,
    kappa: float = 0.0,
    points: int | None = None,
    classes: int | None = None,
    only_classes: Sequence[Any] = (),
    leave_out: Sequence[Any] = (),
    seed: int = 0,
    threads: int = 0,
    convention: str = "ours",
    rank: int | None = None,
    max_rank: int | None = None,
    projection: int = 0,
    restarts: int = 10,
    resamples: int = 1000,
    spectrum: float = 0.0,
    measures: str = "both",
    dichotomies: str = "random",
    classes_per_draw: int | None = None,
    centring: str = "by-class",
    inactive: str = "zero",
    joint_kappa: float = 0.0,
    progress: ProgressLike = None,
    t_vecs: Sequence[ArrayLike] | None = None,
    directions: ArrayLike | None = None,
) -> Geometry | Layers:
    """Joint capacity α, and mean-field capacity α_M, radius R_M, dimension D_M and centre correlation ρ, of the classes in a layer.

    The joint capacity takes all classes at once (Wakhloo, Sussman & Chung, Phys. Rev. Lett. 131, 027301 (2023),
    doi:10.1103/PhysRevLett.131.027301) and needs no number of shared directions; it stands in ``.joint``, as
    :func:`joint_capacity` finds it with ``centring="by-manifold"`` and the same resamples. The definitions of the mean-field measures are those of Chung, Lee & Sompolinsky, Phys. Rev. X 8, 031003 (2018), doi:10.1103/PhysRevX.8.031003, with
    correlated centres as in Cohen, Chung, Lee & Sompolinsky, Nat. Commun. 11, 746 (2020), doi:10.1038/s41467-020-14578-5.

    The keywords are the flags of the program ``mftma analyze``, and the same input gives the same numbers to the bit.
    Python's lock is free meanwhile, Ctrl-C stops the work, and any number of threads may call at once. Don't write to ``x`` while
    it is analysed.

    Parameters
    ----------
    x
        Activations. One of

        - points × features, with ``labels``; further axes are flattened. NumPy arrays of any type of number and order (memory
          maps too), PyTorch tensors anywhere, anything with ``__array__`` or DLPack. float32 and float64 are not copied, whole
          numbers up to 16 bits, float16 and bfloat16 are taken to float32, others to float64;
        - without ``labels``, a list of arrays, one per class, of unequal numbers of points, or an array of classes × points ×
          features;
        - a dictionary of any of these by layer.
    labels
        The class of every point: whole numbers or text.
    layout
        ``"points-by-features"``, ``"features-by-points"`` or ``"classes-by-points-by-features"``.
    layers
        Of a dictionary, the layers to analyse, in this order; all by default.
    n_t
        Gaussian vectors per class. The error falls as 1/√n_t, the time grows with n_t.
    target_error
        Draw vectors until the relative standard error of every class's measures is below this, instead of a fixed ``n_t``.
    max_n_t
        With ``target_error``, the most vectors that one class gets.
    kappa
        Margin of the classification, relative to the centre's norm.
    points, classes
        Use at most this many points of each class, and this many classes, drawn at random.
    only_classes, leave_out
        Use these classes only, or all but these, by name.
    seed
        Seed of every random draw: the same seed gives the same bytes at any number of threads.
    threads
        Threads to compute on; 0 takes all cores.
    convention
        ``"ours"``, or ``"reference"`` to compare with the 2019 package.
    rank, max_rank
        Remove exactly, or at most, this many directions common to the centres (K), instead of as many as the rule finds.
    projection
        First project every point to this many random directions, as the 2019 package did above 5,000 features; 0: don't.
    restarts
        Random restarts of the search for shared directions, with ``convention="reference"``.
    resamples
        Resamples of the classes for the 95 % intervals of the means; 0 for none.
    spectrum
        Also give the participation ratio, and the number of directions that hold this share of the variance.
    measures
        ``"both"``, ``"joint"``, or ``"mean-field"``, which is the quick way. Above 10,000 points ``"both"`` leaves the joint measures out,
        and says so; ``"joint"`` takes 30,000 at most.
    dichotomies, classes_per_draw, centring, inactive, joint_kappa
        Of the joint measures: labellings of the classes (``"random"``, ``"balanced"``, ``"one-against-rest"``, ``"pairs"``); how many classes
        take part in each (``None`` for all, or half of them, a quarter, … where the features are too few to separate more, and
        ``notes`` says how many); what is subtracted first (``"by-class"``, the mean of the classes' means, ``"by-point"`` or ``"none"``); how a class without a support
        vector counts (``"zero"`` or ``"active"``); the margin, in units of the activations.
    progress
        ``True`` for a bar, or a function that is called with a :class:`mftma.Progress` in the calling thread.
    t_vecs
        For comparisons of the mean-field measures, and then nothing else is measured, with the 2019 package: the Gaussian vectors, one array (min(N, M) + 1, n_t) per class, in its coordinates.
    directions
        For comparisons: orthonormal columns (N, K), the directions to remove.

    Returns
    -------
    Geometry
        or, of a dictionary, :class:`Layers`.

    Raises
    ------
    ValueError
        for input that cannot be analysed, with what is wrong and what to do.
    TypeError
        for what holds no numbers.

    Examples
    --------
    >>> import mftma, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(np.arange(40), 20)
    >>> x = rng.normal(size=(40, 300))[labels] + rng.normal(size=(800, 300))
    >>> geometry = mftma.analyze(x, labels)
    >>> geometry.capacities.shape
    (40,)
    >>> bool(0 < geometry.capacity < 2), geometry.rank
    (True, 0)
    >>> bool(abs(geometry.joint.capacity / geometry.capacity - 1) < 0.2)
    True
    """
    if rank is not None and max_rank is not None:
        raise ValueError("rank and max_rank were both given\n  try: rank alone for exactly so many directions, max_rank alone for a cap")
    given = {
        "n-t": n_t,
        "target-error": target_error,
        "max-n-t": max_n_t,
        "kappa": kappa,
        "points": points,
        "classes": classes,
        "only-classes": names_of(only_classes),
        "leave-out": names_of(leave_out),
        "seed": seed,
        "threads": threads,
        "convention": convention,
        "rank": rank,
        "max-rank": max_rank,
        "projection": projection,
        "restarts": restarts,
        "resamples": resamples,
        "spectrum": spectrum,
        "measures": str(measures).replace("_", "-"),
        "dichotomies": str(dichotomies).replace("_", "-"),
        "centring": str(centring).replace("_", "-"),
        "inactive": inactive,
        "classes-per-draw": classes_per_draw,
        "joint-kappa": joint_kappa,
        "layout": str(layout).replace("_", "-"),
    }
    if isinstance(x, Mapping):
        return _layers(x, labels, layout, layers, given, progress, t_vecs, directions)
    if layers is not None:
        raise ValueError("layers was given, but x is one layer\n  try: a dictionary of arrays by layer")
    with Reporter(progress) as reporter:
        return _geometry(x, labels, layout, given, reporter, t_vecs, directions)


def _layers(
    x: Mapping[str, ArrayLike],
    labels: ArrayLike | None,
    layout: str,
    layers: Sequence[str] | None,
    given: Mapping[str, Any],
    progress: ProgressLike,
    t_vecs: Sequence[ArrayLike] | None,
    directions: ArrayLike | None,
) -> Layers:
    if isinstance(layers, str):
        layers = [layers]
    names = list(x) if layers is None else list(layers)
    missing = [name for name in names if name not in x]
    if missing or not names:
        what = f"no layer {missing[0]!r}" if missing else "x holds no layer"
        raise ValueError(f"{what}; there are {', '.join(map(repr, x)) or 'none'}")
    found = {}
    with Reporter(progress, len(names)) as reporter:
        for name in names:
            reporter.begin(str(name))
            try:
                found[str(name)] = _geometry(
                    x[name], labels, layout, {**given, "layers": [str(n) for n in layers or ()]},
                    reporter, t_vecs, directions, depth=4,
                )  # fmt: skip
            except (ValueError, TypeError) as error:
                raise type(error)(f"layer {name!r}: {error}") from error
            reporter.end()
    return Layers(found)


def _geometry(
    x: ArrayLike,
    labels: ArrayLike | None,
    layout: str,
    given: Mapping[str, Any],
    reporter: Reporter,
    t_vecs: Sequence[ArrayLike] | None = None,
    directions: ArrayLike | None = None,
    depth: int = 3,
) -> Geometry:
    prepared = prepare(x, labels, layout)
    vectors = None
    if t_vecs is not None:
        vectors = [np.asarray(as_array(t, "t_vecs"), dtype=np.float64).T for t in t_vecs]
    if directions is not None:
        directions = np.asarray(as_array(directions, "directions"), dtype=np.float64)
    raw = _mftma.analyze(
        *prepared, settings(given), reporter.callback, vectors, directions
    )
    found = Geometry(raw)
    for text in found.warnings:
        warnings.warn(text, GeometryWarning, stacklevel=depth)
    return found


#: Labellings of the classes that :func:`joint_capacity` knows by name.
DICHOTOMIES = ("random", "balanced", "one-against-rest", "pairs")


def simulate_capacity(
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    layout: str = "points-by-features",
    dichotomies: int = 100,
    points: int | None = None,
    classes: int | None = None,
    only_classes: Sequence[Any] = (),
    leave_out: Sequence[Any] = (),
    seed: int = 0,
    threads: int = 0,
    bias: bool = False,
    positive: int | None = None,
    subtract_global_mean: bool = True,
    confidence: float = 0.95,
    progress: ProgressLike = None,
) -> SimulatedCapacity:
    """Capacity α_sim = P/n* by simulation; n* random features separate half of random labellings of the P classes.

    What ``mftma capacity --simulate`` finds. All points are held in double precision.

    Parameters
    ----------
    x, labels, layout, points, classes, only_classes, leave_out, seed, threads, progress
        As in :func:`analyze`; a dictionary is not taken.
    dichotomies
        Random labellings of the classes, each with a projection of its own.
    bias
        Whether the separating hyperplane may miss the origin.
    positive
        Label exactly this many classes +1, drawn at random; by default each is +1 or −1 with equal chance.
    subtract_global_mean
        Whether the mean of the class centres is removed first.
    confidence
        Confidence of the interval.

    Examples
    --------
    Points by themselves have a capacity of about 2 (Cover 1965):

    >>> import mftma, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(40, 1, 60))
    >>> found = mftma.simulate_capacity(x)
    >>> bool(found.interval.lower < 2 < found.interval.upper)
    True
    """
    prepared = prepare(x, labels, layout)
    choice = _choice(points, classes, only_classes, leave_out, seed, threads)
    given = {
        "repetitions": dichotomies,
        "bias": bias,
        "subtract_global_mean": subtract_global_mean,
        "confidence": confidence,
    }
    sparse = None if positive is None else count(positive, "positive")
    with Reporter(progress) as reporter:
        return SimulatedCapacity(
            _mftma.simulate_capacity(*prepared, choice, settings(given), sparse, reporter.callback)
        )


def joint_capacity(
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    layout: str = "points-by-features",
    kappa: float = 0.0,
    n_t: int = 200,
    target_error: float | None = None,
    max_n_t: int = 10_000,
    dichotomies: str | ArrayLike = "random",
    classes_per_draw: int | None = None,
    centring: str = "none",
    inactive: str = "zero",
    points: int | None = None,
    classes: int | None = None,
    only_classes: Sequence[Any] = (),
    leave_out: Sequence[Any] = (),
    seed: int = 0,
    threads: int = 0,
    resamples: int = 0,
    keep_draws: bool = False,
    vectors: ArrayLike | None = None,
    progress: ProgressLike = None,
) -> JointCapacity:
    """Capacity of correlated manifolds, and effective dimension, radius, utility and alignments (GLUE).

    One problem over all points of all classes; nothing is assumed of centres and axes. Wakhloo, Sussman & Chung, Phys. Rev. Lett.
    131, 027301 (2023), doi:10.1103/PhysRevLett.131.027301; Chou et al., bioRxiv 2024.02.26.582157. At most 30,000 points.

    Parameters
    ----------
    x, labels, layout, points, classes, only_classes, leave_out, seed, threads, progress
        As in :func:`analyze`; a dictionary is not taken.
    kappa
        Margin, at least 0, in units of the activations.
    n_t, target_error, max_n_t
        As in :func:`analyze`, the error being that of the joint measures.
    dichotomies
        ``"random"``, ``"balanced"``, ``"one-against-rest"``, ``"pairs"``, or rows of labels ±1 for each class.
    classes_per_draw
        How many classes, drawn at random, take part in each draw. ``None`` for all, or half of them, a quarter, … where the features are
        too few to separate more (the capacity of more is then below P over the rank, and no measure tells how far); rows of labels are
        always of all.
    centring
        What is subtracted first: ``"none"``, ``"by-manifold"`` (the mean of the class means) or ``"by-point"``.
    inactive
        How a class without dual mass enters the mean anchors: ``"zero"`` or ``"active"`` (not at all).
    resamples
        Resamples of the classes for intervals.
    keep_draws
        Keep every draw in the result.
    vectors
        Gaussian vectors (n_t, N) instead of random ones.

    Examples
    --------
    >>> import mftma, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(10, 5, 80))
    >>> j = mftma.joint_capacity(x)
    >>> bool(abs(j.capacity - j.utility * (1 + j.radius**-2) / j.dimension) < 1e-12)
    True
    """
    prepared = prepare(x, labels, layout)
    choice = _choice(points, classes, only_classes, leave_out, seed, threads)
    given: dict[str, Any] = {
        "margin": kappa,
        "manifolds_per_draw": "separable" if classes_per_draw is None else {"count": count(classes_per_draw, "classes_per_draw")},
        "centring": centring,
        "inactive": inactive,
        "resamples": resamples,
        "keep_draws": keep_draws,
    }
    rows = None
    if isinstance(dichotomies, str):
        if dichotomies not in DICHOTOMIES:
            raise ValueError(f"dichotomies is {dichotomies!r}, but must be one of {', '.join(map(repr, DICHOTOMIES))}, or rows of labels ±1")
        given["labels"] = dichotomies
    else:
        rows = np.atleast_2d(as_array(dichotomies, "dichotomies")).astype(np.int8).tolist()
    if vectors is not None:
        vectors = np.asarray(as_array(vectors, "vectors"), dtype=np.float64)
    most = count(n_t, "n_t") if target_error is None else count(max_n_t, "max_n_t")
    with Reporter(progress) as reporter:
        found = JointCapacity(
            _mftma.joint_capacity(
                *prepared, choice, settings(given), most, plain(target_error), rows, vectors, reporter.callback
            )
        )
    for text in found.warnings:
        warnings.warn(text, GeometryWarning, stacklevel=2)
    return found


def _choice(
    points: int | None,
    classes: int | None,
    only_classes: Sequence[Any],
    leave_out: Sequence[Any],
    seed: int,
    threads: int,
) -> dict[str, Any]:
    return settings({
        "points": points,
        "classes": classes,
        "only_classes": names_of(only_classes),
        "leave_out": names_of(leave_out),
        "seed": seed,
        "threads": threads,
    })
