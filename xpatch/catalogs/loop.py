"""The thread of a process on which asynchronous readers run."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

FLIGHT = 32  # requests at once, of all threads of a process
LIMIT = 64  # readers that a process keeps open
_making = threading.Lock()
_loops: dict[int, Loop] = {}  # by process: a thread does not come along into a fork


class Loop:
    """An event loop on a thread of its own, with the readers that were opened on it."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.slots = asyncio.Semaphore(FLIGHT)
        self._readers: OrderedDict[Any, tuple[Any, asyncio.Task[Any]]] = OrderedDict()

    def started(self) -> asyncio.AbstractEventLoop:
        """Give the loop, which runs."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                threading.Thread(target=run, name="xpatch-loop", daemon=True).start()
            return self._loop

    def together(self, makers: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
        """Run what functions give to await, all at once, and give results and exceptions."""

        async def every() -> list[Any]:
            return await asyncio.gather(*(make() for make in makers), return_exceptions=True)

        future = asyncio.run_coroutine_threadsafe(every(), self.started())
        try:
            return future.result()
        except BaseException:  # such as an interrupt, while waiting
            future.cancel()
            raise

    async def reader(self, open: Callable[[str], Any], href: str) -> Any:
        """Give the reader of an href, opened on this loop once for all threads."""
        key = key_of(open, href)
        held = self._readers.pop(key, None)
        task = asyncio.ensure_future(self._open(open, href)) if held is None else held[1]
        self._readers[key] = (open, task)
        while len(self._readers) > LIMIT:
            self._readers.popitem(last=False)  # not closed: others may be reading
        try:
            return await asyncio.shield(task)
        except Exception:
            self._readers.pop(key, None)
            raise

    async def _open(self, open: Callable[[str], Any], href: str) -> Any:
        async with self.slots:
            return await settled(open(href))


def key_of(open: Callable[[str], Any], href: str) -> Any:
    """Give what a reader is known by: equal functions, such as a method that is looked up anew, open one."""
    try:
        hash(open)
    except TypeError:
        return id(open), href
    return open, href


def running() -> Loop:
    """Give the loop of this process."""
    with _making:
        if os.getpid() not in _loops:
            _loops[os.getpid()] = Loop()
        return _loops[os.getpid()]


async def settled(found: Any) -> Any:
    """Await what is awaitable."""
    return await found if inspect.isawaitable(found) else found
