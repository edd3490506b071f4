"""Run the benchmarks of this checkout on the package of another one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[2]


@contextlib.contextmanager
def package_of(checkout: str | Path) -> Iterator[Path]:
    """Give a folder in which ``xpatch`` is that of a checkout, and ``tests`` are these.

    Python puts the folder it is started in first on its path, also in processes that a benchmark
    starts, so ``PYTHONPATH`` alone would not do.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = Path(checkout).resolve() / "xpatch"
        if not (package / "__init__.py").exists():
            raise FileNotFoundError(f"{checkout} is no checkout: it has no xpatch/__init__.py")
        (Path(folder) / "xpatch").symlink_to(package)
        (Path(folder) / "tests").symlink_to(HERE / "tests")
        yield Path(folder)


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a Python that finds ``xpatch`` in a folder."""
    return subprocess.Popen(
        [sys.executable, "-u", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def side_by_side(function: Callable[..., None], arguments: Sequence[Any], checkout: str) -> None:
    """Print what a function of `tests.benchmarks.run` prints on another checkout, and on this one."""
    call = f"from tests.benchmarks import run; run.{function.__name__}(*{tuple(arguments)!r})"
    with package_of(checkout) as before:
        columns = []
        for name, folder in (("before", before), ("after", HERE)):
            process = started(["-c", call], folder)
            lines, _ = process.communicate()
            failed = [f"ended with code {process.returncode}"] if process.returncode else []
            columns.append([name, *lines.splitlines(), *failed])
    width = max(map(len, columns[0]))
    for left, right in zip_longest(*columns, fillvalue=""):
        print(f"{left:{width}} | {right}", flush=True)
