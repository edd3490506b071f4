"""A progress bar for long runs, on stderr."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

WIDTH = 40
EVERY = 0.1  # seconds between two updates


class Bar:
    """Counts patches and draws how far a run is, on one line: at once, and then as patches are done."""

    def __init__(self, total: int):
        self.total, self.done, self.width = total, 0, 0
        self.start = self.drawn = time.monotonic()
        self.lock = threading.Lock()
        if total:
            self._draw(0.0, False)

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
        full = WIDTH * min(self.done, self.total) // max(1, self.total)
        line = f"[{'#' * full:{WIDTH}}] {self.done}/{self.total} patches, {seconds:.1f} s"
        if self.done and seconds > 0 and not finished:
            rate = self.done / seconds
            line += f", {rate:.3g} a second, {_told((self.total - self.done) / rate)} left"
        blanks = " " * (self.width - len(line))  # over the end of a line that was longer
        self.width = len(line)
        print(f"\r{line}{blanks}", end="\n" if finished else "", file=sys.stderr, flush=True)


def _told(seconds: float) -> str:
    """Say how long something takes, in the two largest units."""
    whole = math.ceil(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


class Ticker:
    """Advances the bar of a run, of which there is one in each process."""

    bars: ClassVar[dict[str, Bar]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, token: str, total: int):
        self.token, self.total = token, total

    def begin(self) -> Bar:
        """Draw the bar, and let its time begin; once, whichever block is the first."""
        with self.lock:
            if self.token not in self.bars:
                self.bars[self.token] = Bar(self.total)
            return self.bars[self.token]

    def __call__(self, patches: int) -> None:
        if self.begin()(patches):
            with self.lock:
                self.bars.pop(self.token, None)


class PatchFailure(UserWarning):
    """Some patches could not be processed; ``failures`` gives the message for each label.

    Examples
    --------
    >>> import warnings
    >>> def logarithm(patch):
    ...     if (patch <= 0).any():
    ...         raise ValueError("no logarithm of 0")
    ...     return np.log(patch)
    >>> field = xr.DataArray([1.0, 1.0, 0.0, 1.0], dims="x")
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     logs = field.patch.apply(logarithm, 2, on_error="nan")
    >>> logs.values, caught[0].message.failures
    (array([ 0.,  0., nan, nan]), {1: 'ValueError: no logarithm of 0'})
    """

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
