"""What can be asked of patches: anchors, weights, masks, outlines, batches."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xpatch import inspecting_members as listed
from xpatch.domain import Lattice, domain_of
from xpatch.index import labels_of, patch_index, with_index
from xpatch.joint import Joint, time_dims, time_part
from xpatch.neighborhood import Members
from xpatch.plan import Plan
from xpatch.recipe import ANCHOR, STEP
from xpatch.restoring import Provenance, provenance
from xpatch.time.dates import times_of
from xpatch.time.window import stepwise
from xpatch.window import box_weights


def _plan(obj: xr.DataArray | xr.Dataset) -> tuple[Provenance, Plan]:
    source = provenance(obj, None)
    return source, source.plans[0]


def _in_space(obj: xr.DataArray | xr.Dataset) -> tuple[Provenance, Plan]:
    """Give the patches in space alone."""
    source, plan = _plan(obj)
    own, entries = plan.in_space(source.ordinals)
    return dataclasses.replace(source, ordinals=entries), own


def _each(source: Provenance, plan: Plan) -> list[tuple[Provenance, Plan]]:
    """Give the patches along each group of dimensions."""
    if not isinstance(plan.hood, Joint):
        return [(source, plan)]
    entries = plan.hood.entries(source.ordinals)
    return [
        (dataclasses.replace(source, ordinals=e), dataclasses.replace(plan, hood=part))
        for part, e in zip(plan.hood.parts, entries, strict=True)
    ]


def distance(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Give the distance of each member from its anchor, shape (patch, slot), NaN in empty slots.

    In km for great circles, in steps for `KHopGraph`, in CRS units otherwise.

    Raises
    ------
    ValueError
        If the patches are boxes, or were read from a file.
    """
    source, plan = _in_space(obj)
    if only_time(plan):
        steps = "patches['lead']"
        for members in plan.lists:
            steps = f"patches[{members.numbers!r}] - patches[{STEP!r}]"
        raise ValueError(
            f"windows in time have no distances in space; {steps} says how many steps each is from "
            "the anchor"
        )
    if not isinstance(plan.hood, Members):
        raise ValueError("boxes have no distances; these are those of lists of members")
    return listed.distance(obj, source, plan)


def geometries(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Give the shapely geometry of each member, shape (patch, slot), None in empty slots."""
    source, plan = _in_space(obj)
    if only_time(plan):
        raise ValueError("windows in time have no geometries; patches.patch.plot() draws them")
    if not isinstance(plan.hood, Members) or plan.places is None:
        raise ValueError(
            "boxes have no geometries; patches.patch.footprints() gives their outlines"
        )
    return listed.geometries(obj, source, plan)


def anchors(obj: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Give, for each patch, the index position of its middle cell and the label there.

    Returns
    -------
    Dataset
        Variables ``y``, ``x`` … of shape (patch,): labels, or positions where there are none;
        and coordinates ``cell_y``, ``cell_x`` … with the positions. Of windows in time also the times
        of their anchors, where these are not the labels of the dimension.
    """
    source, plan = _plan(obj)
    template, at = plan.domain.template, source.ordinals
    out: dict[Hashable, Any] = {}
    coords: dict[Hashable, Any] = {source.dim: at}
    cells: dict[Hashable, NDArray] = {}
    boxed = plan.boxed
    if boxed is not None:
        cells |= boxed.anchor_cells(at)
    for members in plan.lists:
        if members.numbers is not None:
            cells[members.dim] = plan.steps(at)
    for d, cell in cells.items():
        wrap = boxed is not None and d in boxed.dims and boxed.boxes.wrap[boxed.dims.index(d)]
        labels = plan.domain.labels_at(d, cell, wrap)
        attrs = template.coords[d].attrs if d in template.coords else {}
        out[d] = (source.dim, cell if labels is None else labels, attrs)
        coords[f"cell_{d}"] = (source.dim, cell)
    if time_dims(time_part(plan.hood)):
        name, times = times_of(obj, source)
        if name not in out:  # times that are not the labels of their dimension
            out[name] = (source.dim, times.values[plan.steps(at)], times.attrs)
    found = xr.Dataset(out, coords=coords)
    space, entries = plan.in_space(at)
    if space.places is None:
        return found
    placed = listed.anchors(dataclasses.replace(source, ordinals=entries), space)
    return found.assign(placed.drop_vars([source.dim]).variables).set_coords(ANCHOR)


def mask(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Give which cells of each patch lie in the field, shape (patch, *in-patch dims).

    Of lists of members: which slots hold one.
    """
    source, plan = _plan(obj)
    parts = [_mask(obj, *part) for part in _each(source, plan)]
    return functools.reduce(operator.and_, parts)


def _mask(obj: Any, source: Provenance, plan: Plan) -> xr.DataArray:
    if isinstance(plan.hood, Members):
        return listed.per_slot(obj, source, plan, lambda m: np.ones(len(m.elements), bool), False)
    boxes = plan.boxes.take(source.ordinals)
    out: NDArray = np.ones((len(boxes),), bool)
    for k, size in enumerate(boxes.sizes):
        cells = boxes.axes[k][:, None] + np.arange(size)
        inside = np.full(cells.shape, True)
        if not boxes.wrap[k]:
            inside = (cells >= 0) & (cells < boxes.shape[k])
        out = out[..., None] & inside.reshape(len(boxes), *(1,) * k, size)
    return _per_cell(obj, source, plan, out)


def weights(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Give the analysis window of each patch, shape (patch, *in-patch dims)."""
    source, plan = _plan(obj)
    parts = [_weights(obj, *part) for part in _each(source, plan)]
    return functools.reduce(operator.mul, parts)


def _weights(obj: Any, source: Provenance, plan: Plan) -> xr.DataArray:
    if isinstance(plan.hood, Members):
        return listed.weights(obj, source, plan)
    boxes = plan.boxes.take(source.ordinals)
    out: NDArray = np.ones((len(boxes),))
    for k, w in enumerate(box_weights(stepwise(plan.window, plan.coarse), boxes)):
        out = out[..., None] * w.full().reshape(len(boxes), *(1,) * k, boxes.sizes[k])
    inside = _mask(obj, source, plan)
    full = _per_cell(obj, source, plan, out)
    return full if bool(inside.all()) else full.where(inside, 0.0)


def _per_cell(obj: Any, source: Provenance, plan: Plan, values: NDArray) -> xr.DataArray:
    crop = source.crop
    inner = tuple(
        slice(crop.get(d, (0, 0))[0], n - crop.get(d, (0, 0))[1]) for d, n in plan.inner.items()
    )
    for k, d in enumerate(plan.dims):
        if d in (plan.coarse or ()):
            values = values.take(plan.offsets(d), k + 1)
    dims = (source.dim, *plan.dims)
    return xr.DataArray(values[(slice(None), *inner)], labels_of(obj, dims), dims)


def spec(obj: xr.DataArray | xr.Dataset) -> dict[str, Any]:
    """Give the specification of the split, with explicit anchors as index positions."""
    _, plan = _plan(obj)
    out = {k: v for k, v in plan.spec.items() if k != "class"}
    sampler = dict(out.get("sampler") or {})
    if sampler.get("class") == "Explicit" and plan.places is not None:
        numbers = plan.places.elements if plan.places.polygons is None else plan.places.polygons
        anchors = numbers.tolist() if bool((numbers >= 0).all()) else None
        out["sampler"] = {"class": "Explicit", "anchors": anchors, "at": None}
    elif sampler.get("class") == "Explicit":
        out["sampler"] = {
            "class": "Explicit",
            "anchors": plan.boxes.starts().tolist(),
            "at": "start",
        }
    return out


def crop(obj: Any, cuts: Mapping[Hashable, Any]) -> Any:
    """Cut cells off both ends of in-patch dimensions and tell the index."""
    source, plan = _plan(obj)
    listed_dims = [d for m in plan.lists for d in (m.dim, *m.dims) if d in cuts]
    if listed_dims:
        raise ValueError(
            f"crop cuts the sides of boxes off; lists of members along {listed_dims[0]!r} have none. "
            "Select by distance: patches.where(patches.patch.distance < …)"
        )
    sizes = {}
    for d, cut in cuts.items():
        if d not in source.plans[0].dims:
            raise KeyError(
                f"crop names dimension {d!r}, but the patches were cut along "
                f"{list(source.plans[0].dims)}"
            )
        pair = (cut, cut) if isinstance(cut, int | np.integer) else tuple(cut)
        if len(pair) != 2 or any(not isinstance(c, int | np.integer) or c < 0 for c in pair):
            raise ValueError(f"crop along {d!r} must be an int ≥ 0 or a pair of them, got {cut!r}")
        if d in obj.sizes and sum(pair) >= obj.sizes[d]:
            raise ValueError(f"crop of {pair} along {d!r} leaves nothing of {obj.sizes[d]} cells")
        sizes[d] = (int(pair[0]), int(pair[1]))
    slices = {d: slice(a, obj.sizes[d] - b) for d, (a, b) in sizes.items() if d in obj.dims}
    out = obj.isel(slices)
    index = patch_index(obj)
    if index is None:
        return out
    return with_index(out, index.cropped(sizes))


def cell_edges(values: NDArray) -> NDArray[np.float64]:
    """Give the edges of cells from their centers, n + 1 for n cells."""
    values = values.astype(float)
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def axis_edges(domain: Lattice, dim: Hashable) -> NDArray[np.float64]:
    """Give the edges of cells along ``dim`` as they are drawn.

    They are in coordinate units, for dates in days since 1970 as matplotlib counts, and in cells
    where there are no such labels.
    """
    values = domain.coordinate(dim)
    if values is not None and values.dtype.kind == "M":
        values = (values - np.datetime64(0, "s")) / np.timedelta64(1, "D")
    elif values is None or values.dtype.kind not in "iuf":
        values = np.arange(domain.sizes[dim])
    return cell_edges(values)


def only_time(plan: Plan) -> bool:
    """Whether patches are windows in time, and nothing else."""
    return set(time_dims(time_part(plan.hood))) == set(plan.dims)


def plane(domain: Lattice, dims: tuple[Hashable, ...]) -> tuple[Hashable, Hashable]:
    """Give the (y, x) dimensions of the plane in which patches are drawn."""
    roles = domain.roles
    x = [d for d in dims if roles.get(d) in ("X", "longitude")]
    y = [d for d in dims if roles.get(d) in ("Y", "latitude")]
    if x and y:
        return y[0], x[0]
    if len(dims) < 2:
        raise ValueError(
            f"outlines need two cut dimensions, the patches were cut along {list(dims)}; where they are "
            "says patches.patch.anchors"
        )
    return dims[-2], dims[-1]


def rectangles(obj: Any) -> tuple[NDArray[np.float64], tuple[Hashable, Hashable]]:
    """Give the outline of each patch as (x0, y0, x1, y1), shape (patch, 4), and the (y, x) dims."""
    source, plan = _in_space(obj)
    boxes = plan.boxes.take(source.ordinals).inner(source.crop)
    y, x = plane(plan.domain, plan.dims)
    columns = {}
    for d in (y, x):
        k = plan.dims.index(d)
        start, size, n = boxes.axes[k], boxes.sizes[k], boxes.shape[k]
        edges = axis_edges(plan.domain, d)
        step = (edges[-1] - edges[0]) / n
        ends = []
        for at in (start, start + size):
            inside = np.clip(at, 0, n)
            ends.append(edges[inside] + (at - inside) * step)
        columns[d] = np.sort(np.stack(ends), axis=0)
    return np.stack([columns[x][0], columns[y][0], columns[x][1], columns[y][1]], axis=-1), (y, x)


def footprints(obj: Any) -> Any:
    """Give the outlines of patches as a GeoDataFrame indexed by patch label."""
    try:
        import geopandas
        import shapely
    except ImportError as error:
        raise ImportError(
            "footprints need geopandas: pip install 'xarray-patch[vector]'"
        ) from error
    source, plan = _in_space(obj)
    _check_in_space(plan)
    if isinstance(plan.hood, Members):
        outlines, crs = listed.outlines(source, plan)
    elif plan.domain.curvilinear and plan.domain.crs is None:
        outlines, crs = _curved(plan, source.ordinals), "EPSG:4326"
    else:
        outlines, crs = shapely.box(*rectangles(obj)[0].T), _crs(obj, plan)
    index = pd.Index(_plan(obj)[0].ordinals, name=source.dim)
    return geopandas.GeoDataFrame(geometry=outlines, index=index, crs=crs)


def _check_in_space(plan: Plan) -> None:
    """Raise a ValueError if outlines would be over time, or over height."""
    if isinstance(plan.hood, Members) and not only_time(plan):
        return
    horizontal = plan.domain.spatial_dims
    if only_time(plan):
        wrong = True
    elif plan.domain.curvilinear:
        wrong = not set(plan.dims) & set(horizontal)
    else:
        wrong = bool(horizontal) and not set(plane(plan.domain, plan.dims)) <= set(horizontal)
    if wrong:
        over = f" over {list(horizontal)}" if horizontal else ""
        raise ValueError(
            f"footprints are outlines in space{over}, and these patches were cut along {list(plan.dims)}; "
            "patches.patch.plot() draws them as they are"
        )


def _crs(obj: Any, plan: Plan) -> Any:
    if plan.domain.crs is not None:
        return plan.domain.crs
    found = domain_of(obj).crs
    return "EPSG:4326" if found is None and plan.domain.geographic else found


def _curved(plan: Plan, ordinals: NDArray) -> Any:
    """Outlines of patches of a curvilinear grid through the centers of their border cells."""
    import shapely

    lat, lon = (plan.domain.template.coords[n] for n in plan.domain.curvilinear)
    dims = lat.dims
    boxes = plan.boxes.only([d for d in plan.dims if d in dims]).take(ordinals)
    out = []
    for start in boxes.starts():
        spans = dict(zip(boxes.dims, zip(start, start + boxes.sizes, strict=True), strict=True))
        j, i = (
            np.arange(*spans.get(d, (0, n)))[[0, -1]] for d, n in zip(dims, lat.shape, strict=True)
        )
        rows, columns = np.arange(j[0], j[1] + 1), np.arange(i[0], i[1] + 1)
        ring_j = np.concatenate(
            [np.full(len(columns), j[0]), rows, np.full(len(columns), j[1]), rows[::-1]]
        )
        ring_i = np.concatenate(
            [columns, np.full(len(rows), i[1]), columns[::-1], np.full(len(rows), i[0])]
        )
        at = ring_j % lat.shape[0], ring_i % lat.shape[1]
        xy = np.stack([lon.values[at], lat.values[at]], axis=-1)
        xy = xy[np.isfinite(xy).all(axis=1)]
        out.append(shapely.Polygon(xy) if len(xy) > 3 else shapely.Polygon())
    return np.array(out, dtype=object)


def summary(obj: Any) -> str:
    """One line about the patches, or about the field that could be split."""
    index = patch_index(obj)
    if index is None or not index.plans:
        return f"<xpatch accessor>\n{domain_of(obj)!r}" if index is None else f"<{index!r}>"
    plan = index.plans[0]
    found = []
    for hood in plan.hood.parts if isinstance(plan.hood, Joint) else (plan.hood,):
        if isinstance(hood, Members):
            counts, elements = hood.counts, int(np.prod(hood.shape))
            found.append(f"{counts.min()} to {counts.max()} of {elements} elements of {hood.dim}")
        else:
            each = zip(hood.dims, hood.sizes, hood.shape, strict=True)
            found += [f"{d}: {s} of {n}" for d, s, n in each]
    sizes = ", ".join(found)
    lines = [f"<{len(index.ordinals)} of {len(plan)} patches ({sizes})>"]
    for part in ("spatial", "temporal"):
        if plan.spec.get(part) is not None:
            lines += [f"  {part}:", *(f"  {line}" for line in _axes(plan.spec[part]))]
    lines += _axes(plan.spec)
    if plan.spec.get("coupling") is not None:
        lines.append(f"  coupling: {plan.spec['coupling']}")
    return "\n".join(lines)


def _axes(spec: Mapping[str, Any]) -> list[str]:
    """Say what each axis of a patcher is."""
    names = ("geometry", "sampler", "window", "aggregation")
    return [f"  {n}: {spec[n]['class']}" for n in names if spec.get(n) is not None]
