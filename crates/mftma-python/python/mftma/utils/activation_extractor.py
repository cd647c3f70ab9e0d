"""The interface of the 2019 package's module of this name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["extractor"]


def extractor(
    model: Any,
    data: Iterable[Any],
    layer_nums: Sequence[int] | None = None,
    layer_types: Sequence[str] | None = None,
) -> OrderedDict[str, list[npt.NDArray[Any]]]:
    """The activations of a PyTorch model for each of several batches, one per class.

    Parameters
    ----------
    model
        A ``torch.nn.Module``. It is run as it is: call ``model.eval()`` first.
    data
        One batch per class, as :func:`mftma.utils.make_manifold_data.make_manifold_data` makes them.
    layer_nums
        Which layers, by number: modules without children count from 1, the input is 0. All by default.
    layer_types
        Which layers, by the name of their class, such as ``["Conv2d", "Linear"]``. The input is kept.

    Returns
    -------
    OrderedDict
        For ``layer_0_Input`` and each ``layer_NUMBER_TYPE`` a list of arrays (examples, …), one per class. The interface of
        :mod:`mftma.manifold_analysis_correlation` wants each as ``d.reshape(d.shape[0], -1).T``.
    """
    import torch

    found: OrderedDict[str, list[npt.NDArray[Any]]] = OrderedDict()
    chosen = []
    leaves = [module for module in model.modules() if not list(module.children())]
    for number, module in enumerate(leaves, start=1):
        kind = type(module).__name__
        by_number = layer_nums is None or number in layer_nums
        if by_number and (layer_types is None or kind in layer_types):
            chosen.append((f"layer_{number}_{kind}", module))
    if layer_nums is None or 0 in layer_nums:
        found["layer_0_Input"] = []
    for name, _ in chosen:
        found[name] = []
    seen: dict[str, npt.NDArray[Any]] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, (tuple, list)) else output
            # The last use counts where a module is used twice.
            seen[name] = tensor.detach().float().cpu().numpy()

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in chosen]
    try:
        with torch.no_grad():
            for batch in data:
                seen.clear()
                model(batch)
                if "layer_0_Input" in found:
                    found["layer_0_Input"].append(batch.detach().cpu().numpy())
                for name, array in seen.items():
                    found[name].append(array)
    finally:
        for hook in hooks:
            hook.remove()
    return OrderedDict((name, arrays) for name, arrays in found.items() if arrays)
