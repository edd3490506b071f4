"""`Opened`: files that a function of the caller opens, in place of rasterio."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.catalogs.grid import Cells, as_window
from xpatch.catalogs.handles import opened
from xpatch.catalogs.loop import FLIGHT, key_of, running, settled


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A file that is opened by a function.

    Parameters
    ----------
    open : callable
        Takes the href and gives a reader with ``read_from_window(window)``. Both may be awaitable, and are awaited
        on one thread of the process then. What comes is an array (band, row, column) or (row, column), or has
        ``load()`` or ``values``.
    href : str
        What it opens.
    """

    open: Callable[[str], Any]
    href: str

    def read(self, bands: Sequence[int], cells: Cells) -> NDArray[Any]:
        """Read a window: values (band, row, column)."""
        return next(self.reads(bands, [cells]))

    def reads(self, bands: Sequence[int], parts: Sequence[Cells]) -> Iterator[NDArray[Any]]:
        """Read windows one after the other; those of an asynchronous reader some at once."""
        handle = self._mine()
        done = 0
        while handle is not None and not handle.waits and done < len(parts):
            found = handle.reader.read_from_window(as_window(parts[done]))
            handle.waits = inspect.isawaitable(found)
            if handle.waits:
                found = _only(running().together([functools.partial(_loaded, found)]))
            yield picked(array_of(found), bands)
            done += 1
        reader = None if handle is None else handle.reader
        for k in range(done, len(parts), FLIGHT):
            some = [functools.partial(self._window, reader, c) for c in parts[k : k + FLIGHT]]
            for found in running().together(some):
                yield picked(array_of(_only([found])), bands)

    def _mine(self) -> Any:
        """Give what this thread has open; None if it is opened on the loop, and is that of all."""
        if inspect.iscoroutinefunction(self.open):
            return None
        key = key_of(self.open, self.href)
        handle = opened(key, lambda: Handle(self.open, self.href))
        return None if handle.reader is None else handle

    async def _window(self, reader: Any, cells: Cells) -> Any:
        loop = running()
        if reader is None:
            reader = await loop.reader(self.open, self.href)
        async with loop.slots:
            return await _loaded(reader.read_from_window(as_window(cells)))


class Handle:
    """A reader that was opened in a thread."""

    def __init__(self, open: Callable[[str], Any], href: str):
        self.open = open  # by whose address the handle is known
        self.reader = open(href)
        if inspect.isawaitable(self.reader):
            self.close()
            self.reader = None
        read = getattr(self.reader, "read_from_window", None)
        self.waits = inspect.iscoroutinefunction(read)  # or is seen by what it gives

    def close(self) -> None:
        """Close the reader, if it can be."""
        close = getattr(self.reader, "close", None)
        if close is not None and not inspect.iscoroutinefunction(close):
            close()


def array_of(found: Any) -> NDArray[Any]:
    """Give the array of what a reader read.

    Raises
    ------
    TypeError
        If it has none, or is masked: what stands for missing is a number.
    """
    if not isinstance(found, np.ndarray) and hasattr(found, "load"):
        found = found.load()
    if not isinstance(found, np.ndarray) and hasattr(found, "values"):
        found = found.values
    if np.ma.is_masked(found):
        raise TypeError(
            "the reader gives masked arrays, and nothing says what stands for missing: let it give "
            "array.filled(nodata), with the nodata of the catalog"
        )
    if not isinstance(found, np.ndarray):
        raise TypeError(
            "read_from_window must give an array (band, row, column), or an object with values or load(), got "
            f"{type(found).__name__}"
        )
    return np.asarray(found)


def picked(values: NDArray[Any], bands: Sequence[int]) -> NDArray[Any]:
    """Take bands, which are counted from 1."""
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or max(bands) > len(values):
        raise ValueError(
            f"bands {list(bands)} are to be read, and the reader gives an array of shape {values.shape}, which must be "
            "(band, row, column)"
        )
    return values[[b - 1 for b in bands]]


async def _loaded(found: Any) -> Any:
    found = await settled(found)
    load = None if isinstance(found, np.ndarray) else getattr(found, "load", None)
    return await settled(load()) if load is not None else found


def _only(found: Sequence[Any]) -> Any:
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]
