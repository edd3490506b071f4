"""In which order dask visits the output chunks.

`dask.order` visits the chunks of a result, where one task gathers them all, by the number of tasks
that each depends on, and equals by the text of their keys: row 9, 8 … 2, then 14, 13 … Every row
that is visited out of turn keeps two rows of chunks in memory until its neighbors come. So each
chunk waits for a task that does nothing but raise this number, by an amount that falls from row to
row: the rows are visited one after the other, and one row of chunks is kept.
"""

from __future__ import annotations

from typing import Any

STEP = (
    10  # rows differ by 2**STEP tasks: by more than the chunks at the edge differ from the others
)


def sequence(name: str, count: int) -> tuple[dict[Any, Any], list[Any]]:
    """Give the tasks that put ``count`` rows in order, and the key for which each row waits.

    dask counts a task once for each way that leads to it. Of two tasks at every level that both
    wait for the two below, one at level k stands for ``2 ** (k + 1) − 1``, so that any number is a
    sum of few. Asking for one row takes these few tasks, and not the rows before it.
    """
    if count < 2:
        return {}, []
    graph: dict[Any, Any] = {}
    levels = count.bit_length()
    for level in range(levels + STEP):
        for twin in (0, 1):
            graph[(name, level, twin)] = (_nothing, [(name, level - 1, t) for t in (0, 1) if level])
    keys = []
    for row in range(count):
        bits = [b for b in range(levels) if (count - row) >> b & 1]
        key = (name, "row", row)
        graph[key] = (_nothing, [(name, b + STEP - 1, 0) for b in bits])
        keys.append(key)
    return graph, keys


def _nothing(_: Any) -> None:
    return None
