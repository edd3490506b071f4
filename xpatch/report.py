"""A progress bar for long runs, on stderr."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

WIDTH = 40
EVERY = 0.1  # seconds between two updates


class Bar:
    """Counts patches and draws how far a run is."""

    def __init__(self, total: int):
        self.total, self.done = total, 0
        self.start, self.drawn = time.monotonic(), 0.0
        self.lock = threading.Lock()

    def __call__(self, patches: int) -> bool:
        """Count ``patches`` more, and say whether these were the last."""
        with self.lock:
            self.done += patches
            now, finished = time.monotonic(), self.done >= self.total
            if finished or now - self.drawn >= EVERY:
                self.drawn = now
                self._draw(now - self.start, finished)
        return finished

    def _draw(self, seconds: float, finished: bool) -> None:
        full = WIDTH * self.done // max(1, self.total)
        bar = "#" * full + " " * (WIDTH - full)
        line = f"\r[{bar}] {self.done}/{self.total} patches, {seconds:.1f} s"
        print(line, end="\n" if finished else "", file=sys.stderr, flush=True)


class Ticker:
    """Advances the bar of a run, of which there is one in each process."""

    bars: ClassVar[dict[str, Bar]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, token: str, total: int):
        self.token, self.total = token, total

    def __call__(self, patches: int) -> None:
        with self.lock:
            bar = self.bars.setdefault(self.token, Bar(self.total))
        if bar(patches):
            with self.lock:
                self.bars.pop(self.token, None)


class PatchFailure(UserWarning):
    """Some patches could not be processed; ``failures`` gives the message for each label."""

    def __init__(self, failures: Mapping[int, str], what: str = "apply"):
        self.failures, self.what = dict(sorted(failures.items())), what
        labels = ", ".join(map(str, itertools.islice(self.failures, 10)))
        more = f" and {len(self.failures) - 10} more" if len(self.failures) > 10 else ""
        first = next(iter(self.failures.values()), "")
        super().__init__(f"{self.what} failed on {len(failures)} patches ({labels}{more}): {first}")

    def __reduce__(self) -> Any:
        return type(self), (self.failures, self.what)


def warn_of(failures: Mapping[int, str]) -> None:
    """Tell of failures; from a worker of a dask cluster also where its client runs."""
    worker = sys.modules.get("distributed.worker")
    warn = warnings.warn if worker is None else worker.warn
    warn(PatchFailure(failures), stacklevel=2)


def tell(message: str | Warning) -> None:
    """Warn where the user called us, however deep we are."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("xpatch."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def unread(error: Exception) -> str:
    """Say why patches could not be read, and what of the source."""
    notes = [n for n in getattr(error, "__notes__", []) if not n.startswith("raised for")]
    return "; ".join([f"{type(error).__name__}: {error}", *notes])


@contextlib.contextmanager
def noted(where: str) -> Iterator[None]:
    """Add to an error of the user's function in which call of it it was raised."""
    try:
        yield
    except Exception as error:
        error.add_note(where)
        raise
