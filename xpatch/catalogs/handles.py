"""Open files: each thread of each process has its own, and no more than some."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

LIMIT = (
    256  # files that the threads of a process keep open together: a quarter of what systems allow
)
_here = threading.local()
_left: list[Any] = []  # handles of the parent of a fork: closed there, never here


def opened(key: Hashable, make: Callable[[], Any]) -> Any:
    """Give what is open under ``key`` in this thread, and open it if it is not.

    GDAL's datasets are neither for several threads nor for the other side of a fork.
    """
    if getattr(_here, "process", None) != os.getpid():
        _left.append(getattr(_here, "files", None))
        _here.process, _here.files = os.getpid(), OrderedDict()
    files: OrderedDict[Hashable, Any] = _here.files
    found = files.pop(key, None)
    if found is None:
        found = make()
        most = max(2, LIMIT // threading.active_count())
        while len(files) >= most:
            files.popitem(last=False)[1].close()
    files[key] = found
    return found
