"""The first words of split: what may stand there, and what is meant by something else."""

from __future__ import annotations

import reprlib
from typing import Any

import xarray as xr

from xpatch.aggregation import AGGREGATIONS, Aggregation
from xpatch.geometry import Geometry
from xpatch.geometry.boxes import is_size
from xpatch.sampler import Sampler
from xpatch.time.geometry import TimeGeometry
from xpatch.time.sampler import TimeSampler
from xpatch.window import WINDOWS, Window


def check_first(value: Any, geometry: Any) -> None:
    """Raise a TypeError unless ``value`` may stand in place of a patcher: a geometry, or sizes.

    Parameters
    ----------
    value : object
        The first argument of a split, which is no patcher.
    geometry : object
        The geometry that was given as well, if there was one.
    """
    if not (isinstance(value, Geometry | TimeGeometry) or is_size(value)):
        raise TypeError(
            f"expected a Patcher, got {reprlib.repr(value)}, which is no geometry or size either, such as "
            f"Rectangular(y=64, x=64), {{'y': 64, 'x': 64}} or 64{_hint(value)}"
        )
    if geometry is not None:
        raise TypeError(
            f"split takes one geometry, got {reprlib.repr(value)} first and geometry="
            f"{reprlib.repr(geometry)}; leave one out"
        )


def _hint(value: Any) -> str:
    """Say where ``value`` belongs."""
    if isinstance(value, type):
        return f"; call it, {value.__name__}(…)"
    name = value.lower() if isinstance(value, str) else ""
    if isinstance(value, Window) or name in WINDOWS:
        return f"; windows are named, split(geometry, window={value!r})"
    if isinstance(value, Sampler | TimeSampler):
        return f"; samplers are named, split(geometry, sampler={value!r})"
    if isinstance(value, Aggregation) or name in AGGREGATIONS:
        return f"; aggregations are those of merge, patches.patch.merge({value!r})"
    if isinstance(value, xr.DataArray | xr.Dataset):
        return "; to cut where other patches are, split(geometry, sampler=Explicit(patches))"
    return ""


def sampler_hint(value: Any) -> str:
    """Say what is meant by something that is no sampler."""
    if isinstance(value, type):
        return f"; call it, {value.__name__}(…)"
    if is_size(value):
        return f"; a stride is RegularStride({value!r})"
    return "; such as RegularStride(32), RegularStride(overlap=8) or Random(n_samples)"


def check_name(dim: Any) -> None:
    """Raise a TypeError unless ``dim`` can be the name of the new dimension."""
    if not isinstance(dim, str):
        raise TypeError(f"dim, the name of the patch dimension, must be a str, got {dim!r}")
