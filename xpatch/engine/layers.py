"""Graphs on top of dask arrays."""

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
