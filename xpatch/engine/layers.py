"""Graphs on top of dask arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
from dask.highlevelgraph import HighLevelGraph


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
