"""Graphs on top of dask arrays, and the order in which dask visits the chunks of a result."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import dask.array as da
from dask.highlevelgraph import HighLevelGraph

F = TypeVar("F", bound=Callable[..., Any])


def uncollected(function: F) -> F:
    """Put garbage collection off while a function builds a graph.

    A graph is many small objects, all of which stay; looking through them again and again takes a
    third of the time.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        collecting = gc.isenabled()
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            if collecting:
                gc.enable()

    return cast(F, wrapped)


def layered(name: str, graph: Mapping[Any, Any], sources: Sequence[da.Array]) -> HighLevelGraph:
    """Put tasks on top of the graphs of ``sources``, of which only what these need is kept.

    `xarray.map_blocks` gives each array the layers of all coordinates as well. dask does not cull a
    layer that has as many tasks as there are keys to compute, and then computes these leaves first:
    the model runs on every block, and every block waits.
    """
    layers: dict[str, Any] = {name: graph}
    dependencies: dict[str, set[str]] = {name: set()}
    for source in sources:
        own = source.__dask_layers__()
        below: Any = source.__dask_graph__()
        below = below.cull_layers(own)
        layers |= below.layers
        dependencies |= below.dependencies
        dependencies[name] |= set(own)
    return HighLevelGraph(layers, dependencies)


class Node:
    """A node of the graph that holds what many tasks need."""

    def __init__(self, value: Any):
        self.value = value

    def __dask_tokenize__(self) -> Any:
        return id(self)


# ---------------------------------------------------------------------------------------- order

# `dask.order` visits the chunks of a result, where one task gathers them all, by the number of tasks
# that each depends on, and equals by the text of their keys: row 9, 8 … 2, then 14, 13 … Every row
# that is visited out of turn keeps two rows of chunks in memory until its neighbors come. So each
# chunk waits for a task that does nothing but raise this number, by an amount that falls from row to
# row: the rows are visited one after the other, and one row of chunks is kept.

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
