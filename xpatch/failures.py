"""Patches that could not be processed."""

from __future__ import annotations

import contextlib
import itertools
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any


class PatchFailure(UserWarning):
    """Some patches could not be processed; ``failures`` gives the message for each label."""

    def __init__(self, failures: Mapping[int, str]):
        self.failures = dict(sorted(failures.items()))
        labels = ", ".join(map(str, itertools.islice(self.failures, 10)))
        more = f" and {len(self.failures) - 10} more" if len(self.failures) > 10 else ""
        first = next(iter(self.failures.values()), "")
        super().__init__(f"func failed on {len(failures)} patches ({labels}{more}): {first}")

    def __reduce__(self) -> Any:
        return type(self), (self.failures,)


def warn_of(failures: Mapping[int, str]) -> None:
    """Tell of failures; from a worker of a dask cluster also where its client runs."""
    worker = sys.modules.get("distributed.worker")
    warn = warnings.warn if worker is None else worker.warn
    warn(PatchFailure(failures), stacklevel=2)


@contextlib.contextmanager
def noted(where: str) -> Iterator[None]:
    """Add to an error of the user's function in which call of it it was raised."""
    try:
        yield
    except Exception as error:
        error.add_note(where)
        raise
