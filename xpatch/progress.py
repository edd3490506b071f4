"""A progress bar for long runs, on stderr."""

from __future__ import annotations

import sys
import threading
import time
from typing import ClassVar

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
