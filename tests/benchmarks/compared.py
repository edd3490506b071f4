"""Rows of a table that compares tools, and what is compared: a field, a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import rioxarray  # noqa: F401
import torch
import xarray as xr
from torch import nn

import xpatch

SIZE, STEP = 64, 48
CUT: Any = {"geometry": {"y": SIZE, "x": SIZE}, "sampler": xpatch.RegularStride(STEP)}
ROWS: dict[str, dict[str, Callable[[], str]]] = {}


def row(name: str, tool: str) -> Callable[[Any], Any]:
    """Note a function as the cell of a table; the first word of `tool` is the package it needs."""
    return lambda function: ROWS.setdefault(name, {}).setdefault(tool, function)


def scene(ny: int = 300, nx: int = 500, bands: int = 4, x0: float = 600_000) -> xr.DataArray:
    """Give a field of 10 m."""
    values = np.random.default_rng(0).random((bands, ny, nx), "f4") + 1
    coords = {"y": 5e6 - 10 * (np.arange(ny) + 0.5), "x": x0 + 10 * (np.arange(nx) + 0.5)}
    return xr.DataArray(values, coords, ("band", "y", "x"), name="t").rio.write_crs(32632)


def net() -> nn.Module:
    """Give a network in which a cell sees two cells to each side."""
    torch.manual_seed(0)
    first = nn.Conv2d(4, 8, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1)).eval()


def tensor(field: xr.DataArray) -> torch.Tensor:
    """Give a batch of one."""
    return torch.from_numpy(field.values[None].copy())
