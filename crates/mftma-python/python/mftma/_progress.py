"""Telling how far the work is: to a callback, to tqdm, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Union


class Progress(NamedTuple):
    """How far an analysis is."""

    #: Name of the layer, where there are several.
    layer: str | None
    #: ``"features"`` (reading), ``"centres"``, ``"manifolds"``, ``"vectors"`` or ``"dichotomies"``.
    stage: str
    #: How many of them are done.
    done: int
    #: Of how many.
    total: int


#: ``True`` for a bar, or whatever is to be called with a :class:`Progress`.
ProgressLike = Union[bool, Callable[[Progress], object], None]

_STEPS = 1000


class Reporter:
    """What the extension calls, for one layer after the other."""

    def __init__(self, progress: ProgressLike, layers: int = 1) -> None:
        self._layer: str | None = None
        self._bar: Any = None
        self._call: Callable[[Progress], object] | None = None
        if progress is True:
            self._bar = _bar(layers * _STEPS)
        elif callable(progress):
            self._call = progress
        elif progress not in (None, False):
            raise TypeError(f"progress is {progress!r}, but must be True, False or a function")
        self._begun = 0

    @property
    def callback(self) -> Callable[[str, int, int], None] | None:
        """For the extension; ``None`` where nobody listens."""
        return None if self._bar is None and self._call is None else self._tell

    def begin(self, layer: str) -> None:
        """Name the layer that comes next."""
        self._layer = layer

    def end(self) -> None:
        """Count a layer as finished."""
        self._begun += _STEPS
        self._move(self._begun)

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._call is not None:
            self._call(Progress(self._layer, stage, done, total))
            return
        start = 0.0 if stage == "features" else 0.5
        if stage in ("vectors", "dichotomies"):
            start = 0.0
        width = 0.5 if stage in ("features", "manifolds") else 1.0 if start == 0 else 0.0
        name = f"{self._layer}: {stage}" if self._layer else stage
        self._bar.set_description_str(name, refresh=False)
        self._move(self._begun + int(_STEPS * (start + width * done / max(total, 1))))

    def _move(self, to: int) -> None:
        if self._bar is not None and to > self._bar.n:
            self._bar.update(to - self._bar.n)

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class _Plain:
    """A bar for those without tqdm: a line on standard error that is written over."""

    def __init__(self, total: int) -> None:
        self.n, self._total, self._name = 0, total, ""

    def set_description_str(self, name: str, refresh: bool = True) -> None:
        self._name = name

    def update(self, by: int) -> None:
        self.n += by
        print(f"\r{100 * self.n // self._total:3d} % {self._name:<40}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        print(file=sys.stderr)


def _bar(total: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _Plain(total)
    return tqdm(total=total, bar_format="{desc}: {percentage:3.0f} %|{bar}| {elapsed}")
