"""Benchmark of slow corners: common jobs, each against what would be written without xpatch.

``python -m tests.benchmarks.corners`` prints a row for each: the shortest seconds of some calls in
turn, once the results agree, and the ratio with the most that it may be, ``<<`` where it is more.
Rows of memory have the peak beyond the array handed out, against the bytes of the members in use.
With ``--before CHECKOUT`` each case is run on the package of another checkout as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.benchmarks import (  # noqa: F401
    cases_lazy,
    cases_members,
    cases_merges,
    cases_splits,
    cases_time,
)
from tests.benchmarks.case import CASES, Case
from tests.benchmarks.checkouts import HERE, package_of, started

REPEATS = 3
Found = dict[str, Any]


class Here:
    """Runs cases in this process."""

    def __init__(self, repeats: int):
        self.repeats = repeats

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, case: Case) -> Found:
        """Give what was measured, or the error."""
        return case.run(self.repeats)


class There:
    """Runs cases in another process, on the package of another checkout; a new one where one ended."""

    def __init__(self, folder: Path, repeats: int):
        self.folder, self.repeats = folder, repeats
        self.process = self._start()

    def _start(self) -> Any:
        module = ["-m", "tests.benchmarks.corners", "--serve"]
        return started([*module, "--repeats", str(self.repeats)], self.folder)

    def __enter__(self) -> There:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: Any, __: TracebackType | None) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def run(self, case: Case) -> Found:
        """Give what was measured, or the error."""
        if self.process.poll() is not None:
            self.process = self._start()
        with contextlib.suppress(BrokenPipeError):  # it ended, and says nothing
            self.process.stdin.write(case.name + "\n")
            self.process.stdin.flush()
        said = self.process.stdout.readline()
        if not said:
            return {"error": f"the process ended with code {self.process.wait()}"}
        return json.loads(said)


def serve(repeats: int) -> None:
    """Run the cases that stdin names, and print what was measured as JSON."""
    out, sys.stdout = sys.stdout, sys.stderr
    for name in sys.stdin:
        print(json.dumps(CASES[name.rstrip("\n")].run(repeats)), file=out, flush=True)


def amount(found: Found, key: str) -> str:
    """Write seconds or bytes."""
    if "error" in found:
        return "error"
    return f"{found[key] / 2**20:.1f} MB" if found["unit"] == "MB" else f"{found[key]:.4f}"


def ratio(found: Found) -> str:
    """Write the ratio."""
    return "-" if "error" in found else f"{found['ours'] / found['beside']:.2f}"


def verdict(case: Case, found: Found) -> str:
    """Write the most that is allowed, with a mark where it is exceeded."""
    if case.bar is None and case.most is None:
        return "-"
    bar = f"{1e3 * case.most:g} ms" if case.most is not None else f"{case.bar:.1f}"
    if "error" in found:
        return bar
    over = (
        found["ours"] > case.most
        if case.most is not None
        else found["ours"] > case.bar * found["beside"]
    )
    return f"{bar} <<" if over else bar


def row(case: Case, columns: list[Found]) -> str:
    """Write a row: one column for each checkout, the last of which is this one."""
    last = columns[-1]
    ours = " ".join(f"{amount(f, 'ours'):>9}" for f in columns)
    ratios = " ".join(f"{ratio(f):>8}" for f in columns)
    notes = [f["note"] for f in columns if f.get("note")]
    beside = case.beside + "".join(f" ({n})" for n in dict.fromkeys(notes))
    errors = "".join(f"  {f['error'][:160]}" for f in columns if "error" in f)
    return (
        f"{case.name:<58} {ours} {amount(last, 'beside'):>9} {ratios} "
        f"{verdict(case, last):>7}  {beside}{errors}"
    )


def table(repeats: int = REPEATS, only: str = "", before: str | None = None) -> None:
    """Print the cases whose name has a part, also on the package of another checkout."""
    names = ["xpatch s"] if before is None else ["before s", "after s"]
    ratios = ["ratio"] if before is None else ["before", "after"]
    print(
        f"\n{'slow corners':<58} {' '.join(f'{n:>9}' for n in [*names, 'beside s'])} "
        f"{' '.join(f'{n:>8}' for n in ratios)} {'bar':>7}  beside",
        flush=True,
    )
    with contextlib.ExitStack() as stack:
        runners: list[Any] = [Here(repeats)]
        if before is not None:
            folder = stack.enter_context(package_of(before))
            runners = [stack.enter_context(There(f, repeats)) for f in (folder, HERE)]
        for name in sorted(CASES):
            if only.lower() in name.lower():
                print(row(CASES[name], [r.run(CASES[name]) for r in runners]), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="PART", help="of the name of cases")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--before", metavar="CHECKOUT", help="a checkout to compare with")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.repeats)
    else:
        table(options.repeats, options.only, options.before)


if __name__ == "__main__":
    main()
