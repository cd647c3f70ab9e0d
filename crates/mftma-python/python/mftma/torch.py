"""Activations of PyTorch models, layer by layer, in memory or on disk.

.. code-block:: python

    found = mftma.torch.analyze_model(model, loader)              # every convolution and linear layer

    with mftma.torch.record(model, ["layer*.conv1", nn.Linear], to="acts") as layers:
        for images, _ in loader:
            model(images)
    found = mftma.analyze(layers, labels)
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import torch

from ._analysis import analyze
from ._inputs import as_array
from ._results import Layers

__all__ = ["Recording", "analyze_model", "record"]

#: A layer by its name (``*`` and ``?`` stand for anything), by its class, or by the name of its class.
LayerLike = Union[str, type]
#: How an output of several positions becomes points.
Pool = Union[str, Callable[[Any], Any], None]

_WEIGHTED = ("Linear", "Conv1d", "Conv2d", "Conv3d", "Conv1D")


class _Rows:
    """Rows of one layer, one batch after the other: in memory, or in a `.npy` file that gets its name when it is whole."""

    _HEADER = 128

    def __init__(self, name: str, path: Path | None) -> None:
        self._name, self._path = name, path
        self._width = -1
        self._type = np.dtype(np.float32)
        self._count = 0
        self._memory = bytearray()
        self._file = None
        if path is not None:
            self._file = open(self._partial, "wb")  # noqa: SIM115
            self._file.write(bytes(self._HEADER))

    @property
    def _partial(self) -> str:
        return f"{self._path}.partial"

    def add(self, batch: npt.NDArray[Any]) -> None:
        batch = np.ascontiguousarray(batch)
        if self._width < 0:
            self._width, self._type = batch.shape[1], batch.dtype
        if batch.shape[1] != self._width or batch.dtype != self._type:
            raise ValueError(
                f"layer {self._name!r} gave {batch.shape[1]} features of {batch.dtype} in this batch, but "
                f"{self._width} of {self._type} before\n"
                "  try: inputs of one size, or pool='mean' for outputs of differing length"
            )
        self._count += len(batch)
        if self._file is not None:
            self._file.write(batch.data)
        else:
            self._memory += batch.data

    def finish(self) -> npt.NDArray[Any]:
        shape = (self._count, max(self._width, 0))
        if self._file is None:
            return np.frombuffer(self._memory, dtype=self._type).reshape(shape)
        text = f"{{'descr': {self._type.str!r}, 'fortran_order': False, 'shape': {shape}, }}"
        header = np.lib.format.magic(1, 0) + (self._HEADER - 10).to_bytes(2, "little")
        self._file.seek(0)
        self._file.write(header + text.encode().ljust(self._HEADER - 11) + b"\n")
        self._file.close()
        os.replace(self._partial, str(self._path))
        array: npt.NDArray[Any] = np.load(str(self._path), mmap_mode="r")
        return array

    def abandon(self) -> None:
        if self._file is not None and not self._file.closed:
            self._file.close()
            os.unlink(self._partial)


class Recording(Mapping[str, npt.NDArray[Any]]):
    """The layers of a model while it runs, and afterwards a dictionary of arrays (points × features) by layer."""

    def __init__(
        self,
        model: torch.nn.Module,
        layers: Sequence[LayerLike] | LayerLike | None = None,
        to: str | os.PathLike[str] | None = None,
        dtype: str | None = "float32",
        pool: Pool = None,
    ) -> None:
        if pool not in (None, "mean", "first", "last", "tokens") and not callable(pool):
            raise ValueError(f"pool is {pool!r}, but must be 'mean', 'first', 'last', 'tokens' or a function")
        devices = getattr(model, "device_ids", None)
        if isinstance(model, torch.nn.DataParallel) and devices and len(devices) > 1:
            raise ValueError(
                "model is spread over several devices, whose outputs come in no order\n  try: record(model.module, …), and call "
                "model.module"
            )
        self._model = model
        self._pool = pool
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._to = None if to is None else Path(to)
        self._modules = _chosen(model, layers)
        self._hooks: list[Any] = []
        self._rows: dict[str, _Rows] = {}
        self._calls: dict[str, int] = {}
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def __enter__(self) -> Recording:
        if self._to is not None:
            self._to.mkdir(parents=True, exist_ok=True)
        if self._model.training and any(_noisy(module) for module in self._model.modules()):
            warnings.warn(
                "the model is in training mode: dropout and batch normalisation make its activations depend on chance and on "
                "the batch\n  try: model.eval()",
                stacklevel=2,
            )
        self._hooks = [self._model.register_forward_pre_hook(lambda module, inputs: self._calls.clear())]
        for name, module in self._modules.items():
            self._hooks.append(module.register_forward_hook(self._keeper(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for name, rows in self._rows.items():
            if kind is None:
                self._arrays[name] = rows.finish()
            else:
                rows.abandon()

    def _keeper(self, name: str) -> Callable[..., None]:
        def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            self._calls[name] = use = self._calls.get(name, 0) + 1
            # A module that is used twice in one pass gives two layers.
            self._add(name if use == 1 else f"{name}#{use}", output)

        return keep

    def _add(self, name: str, output: Any) -> None:
        tensor = _first_tensor(output)
        if tensor is None:
            raise TypeError(f"layer {name!r} gives a {type(output).__name__} without a tensor in it")
        tensor = _pooled(tensor.detach(), self._pool)
        if tensor.ndim == 1:
            tensor = tensor[:, None]
        batch = as_array(tensor.reshape(tensor.shape[0], -1))
        if self._dtype is not None:
            batch = batch.astype(self._dtype, copy=False)
        rows = self._rows.get(name)
        if rows is None:
            path = None if self._to is None else self._to / f"{name.replace('/', '_')}.npy"
            rows = self._rows[name] = _Rows(name, path)
        rows.add(batch)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        if not self._arrays:
            return f"<recording of {', '.join(self._modules)}>"
        return "\n".join(f"{name}: {a.shape[0]} × {a.shape[1]} {a.dtype}" for name, a in self._arrays.items())


def record(
    model: torch.nn.Module,
    layers: Sequence[LayerLike] | LayerLike | None = None,
    *,
    to: str | os.PathLike[str] | None = None,
    dtype: str | None = "float32",
    pool: Pool = None,
) -> Recording:
    """Record the outputs of layers in a ``with`` block, one row per example.

    Parameters
    ----------
    model
        Any module. Call ``model.eval()`` first, and run it under ``torch.no_grad()``.
    layers
        Names (``"layer4.*.conv2"``), classes (``nn.Conv2d``) or names of classes (``"Conv2d"``); by default every convolution and
        linear layer. Layers come in the order in which the model first runs them.
    to
        A folder to write one ``.npy`` file per layer to, as the batches come; the arrays are then memory maps. In memory by default.
    dtype
        What to keep; ``None`` for the layer's own type (bfloat16 becomes float32).
    pool
        For outputs (example, position, feature): ``None`` flattens, ``"mean"``, ``"first"`` and ``"last"`` take one row per example,
        ``"tokens"`` one per position. Or a function of the output.

    Outputs that are tuples, lists, dictionaries or dataclasses count by their first tensor. The second use of a module in one pass is
    the layer ``NAME#2``. The prefix ``module.`` of ``DataParallel`` is dropped.
    """
    return Recording(model, layers, to, dtype, pool)


def analyze_model(
    model: torch.nn.Module,
    loader: Iterable[Any],
    layers: Sequence[LayerLike] | LayerLike | None = None,
    *,
    to: str | os.PathLike[str] | None = None,
    dtype: str | None = "float32",
    pool: Pool = None,
    device: Any = None,
    **settings: Any,
) -> Layers:
    """Run a model over a loader and analyse its layers.

    The model is run in evaluation mode without gradients, and put back into its mode. Batches are pairs (inputs, labels), or
    dictionaries with ``labels`` whose rest is passed by name, as those of HuggingFace's transformers. Other keywords are those of
    :func:`mftma.analyze`.
    """
    if device is None:
        first = next(iter(model.parameters()), None)
        device = torch.device("cpu") if first is None else first.device
    labels: list[npt.NDArray[Any]] = []
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), record(model, layers, to=to, dtype=dtype, pool=pool) as recording:
            for batch in loader:
                inputs, named, of_batch = _split(batch)
                of_points = np.atleast_1d(as_array(of_batch, "labels"))
                labels.append(of_points.reshape(-1) if pool == "tokens" else of_points)
                model(*(_move(x, device) for x in inputs), **{k: _move(x, device) for k, x in named.items()})
    finally:
        model.train(training)
    if not labels:
        raise ValueError("the loader gave no batch")
    found: Layers = analyze(recording, np.concatenate(labels), **settings)
    return found


def _split(batch: Any) -> tuple[Sequence[Any], Mapping[str, Any], Any]:
    if isinstance(batch, Mapping):
        named = dict(batch)
        for key in ("labels", "label"):
            if key in named:
                return (), named, named.pop(key)
        raise ValueError(f"a batch has the keys {', '.join(map(repr, named))}\n  try: labels under 'labels'")
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(f"a batch is a {type(batch).__name__}\n  try: a loader of pairs (inputs, labels)")
    return (batch[0],), {}, batch[1]


def _move(x: Any, device: Any) -> Any:
    return x.to(device) if isinstance(x, torch.Tensor) else x


def _noisy(module: torch.nn.Module) -> bool:
    kind = type(module).__name__
    return "Dropout" in kind or "BatchNorm" in kind


def _chosen(
    model: torch.nn.Module, layers: Sequence[LayerLike] | LayerLike | None
) -> dict[str, torch.nn.Module]:
    named = {name.removeprefix("module."): module for name, module in model.named_modules() if name}
    if isinstance(model, torch.nn.DataParallel):
        named.pop("module", None)
    if not named:
        named = {type(model).__name__: model}
    if layers is None:
        layers = _WEIGHTED
    elif isinstance(layers, (str, type)):
        layers = (layers,)

    def matches(name: str, module: torch.nn.Module, layer: LayerLike) -> bool:
        if isinstance(layer, type):
            return isinstance(module, layer)
        return fnmatchcase(name, layer) or type(module).__name__ == layer

    for layer in layers if layers is not _WEIGHTED else ():
        if not any(matches(name, module, layer) for name, module in named.items()):
            names = ", ".join(list(named)[:12]) + (", …" if len(named) > 12 else "")
            raise ValueError(f"no layer {layer!r}; the model has {names}")
    chosen = {
        name: module
        for name, module in named.items()
        if any(matches(name, module, layer) for layer in layers)
    }
    if not chosen:
        raise ValueError("the model has no convolution or linear layer\n  try: layers=[names or classes of its layers]")
    return chosen


def _first_tensor(output: Any) -> torch.Tensor | None:
    if isinstance(output, torch.Tensor):
        return output
    values: Iterable[Any] = ()
    if isinstance(output, Mapping):
        values = output.values()
    elif isinstance(output, (tuple, list)):
        values = output
    elif hasattr(output, "__dict__"):
        values = vars(output).values()
    for value in values:
        tensor = _first_tensor(value)
        if tensor is not None:
            return tensor
    return None


def _pooled(tensor: torch.Tensor, pool: Pool) -> torch.Tensor:
    if callable(pool):
        pooled: torch.Tensor = pool(tensor)
        return pooled
    if pool is None or tensor.ndim < 3:
        return tensor
    if pool == "mean":
        return tensor.mean(1)
    if pool == "tokens":
        return tensor.flatten(0, 1)
    return tensor[:, 0 if pool == "first" else -1]
