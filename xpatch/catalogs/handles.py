"""Open files: each thread of each process has its own, and all together no more than some."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

LIMIT = 256  # files that all threads of a process keep open: a quarter of what systems allow


class Handles(OrderedDict[Hashable, Any]):
    """What one thread has open, the last used last."""


_here = threading.local()
_all: weakref.WeakValueDictionary[int, Handles] = weakref.WeakValueDictionary()
_left: list[Handles] = []  # those of a parent, in its child: closed there, never here


def _hold() -> None:
    _left.extend(_all.values())


# Before a fork, as a child drops the handles of other threads before it runs anything of ours.
if hasattr(os, "register_at_fork"):  # where there are forks
    os.register_at_fork(before=_hold, after_in_parent=_left.clear)


def opened(key: Hashable, make: Callable[[], Any]) -> Any:
    """Give what is open under ``key`` in this thread, and open it if it is not.

    GDAL's datasets are neither for several threads nor for the other side of a fork.
    """
    if getattr(_here, "process", None) != os.getpid():
        _here.process, _here.files = os.getpid(), Handles()
        _all[id(_here.files)] = _here.files
    files: Handles = _here.files
    found = files.pop(key, None)
    if found is None:
        found = make()
        most = max(2, LIMIT // threading.active_count())
        while len(files) >= most:
            files.popitem(last=False)[1].close()
    files[key] = found
    return found
