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
        super().__init__(f"apply failed on {len(failures)} patches ({labels}{more}): {first}")

    def __reduce__(self) -> Any:
        return type(self), (self.failures,)


def warn_of(failures: Mapping[int, str]) -> None:
    """Tell of failures; from a worker of a dask cluster also where its client runs."""
    worker = sys.modules.get("distributed.worker")
    warn = warnings.warn if worker is None else worker.warn
    warn(PatchFailure(failures), stacklevel=2)


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
