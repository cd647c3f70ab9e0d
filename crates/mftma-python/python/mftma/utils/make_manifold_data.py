"""The interface of the 2019 package's module of this name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["make_manifold_data"]


def make_manifold_data(
    dataset: Iterable[tuple[Any, Any]],
    sampled_classes: int,
    examples_per_class: int,
    max_class: int | None = None,
    seed: int = 0,
) -> list[Any]:
    """Draw examples of each of some classes of a data set.

    Parameters
    ----------
    dataset
        Pairs of an input (a tensor or an array) and a label: a PyTorch data set, or any iterable.
    sampled_classes
        How many classes are drawn.
    examples_per_class
        How many examples of each.
    max_class
        Classes are drawn from those below it; ``sampled_classes`` by default.
    seed
        Seed of the draw.

    Returns
    -------
    list
        For each class drawn, rising, a tensor (or array) whose first axis counts its examples.

    >>> from mftma.utils.make_manifold_data import make_manifold_data
    >>> data = make_manifold_data([(np.full(3, i), i % 2) for i in range(10)], 2, 4)
    >>> [one.shape for one in data]
    [(4, 3), (4, 3)]
    """
    most = sampled_classes if max_class is None else max_class
    if sampled_classes > most:
        raise ValueError(f"sampled_classes is {sampled_classes}, but max_class only {most}")
    random = np.random.default_rng(seed)
    classes = sorted(random.choice(most, size=sampled_classes, replace=False).tolist())
    wanted: dict[int, list[Any]] = {label: [] for label in classes}
    # A data set with a length may be random access: look at it in random order, so that not its first examples are taken.
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        table: Any = dataset
        pairs: Iterable[tuple[Any, Any]] = (table[int(i)] for i in random.permutation(len(table)))
    else:
        pairs = dataset
    short = sampled_classes
    for pair in pairs:
        of_class = wanted.get(int(pair[1]))
        if of_class is None or len(of_class) == examples_per_class:
            continue
        of_class.append(pair[0])
        if len(of_class) == examples_per_class:
            short -= 1
            if short == 0:
                break
    for label, examples in wanted.items():
        if len(examples) < examples_per_class:
            raise ValueError(
                f"class {label} has {len(examples)} examples, but examples_per_class is {examples_per_class}\n"
                f"  try: examples_per_class={len(examples)}, or other classes by max_class"
            )
    return [_stack(examples) for examples in wanted.values()]


def _stack(examples: list[Any]) -> Any:
    if type(examples[0]).__module__.partition(".")[0] == "torch":
        import torch

        return torch.stack(examples)
    return np.stack([np.asarray(example) for example in examples])
