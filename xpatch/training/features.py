"""Boxes and masks that a network found in patches, as features on the ground, each once."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from xpatch.domain.axes import as_crs, crs_name
from xpatch.patches.index import RECIPE, splits_of
from xpatch.patches.provenance import NEVER_SPLIT
from xpatch.patches.scene import scene_rows
from xpatch.spec import check_fraction
from xpatch.training.detections import NEAR, Detections, detections
from xpatch.training.nms import kept
from xpatch.training.pixels import View

__all__ = ["to_features"]

METRICS = ("iou", "ios")


def to_features(
    obj: xr.DataArray | xr.Dataset,
    boxes: Any = None,
    labels: Any = None,
    scores: Any = None,
    *,
    masks: Any = None,
    iou_threshold: float | None = 0.5,
    metric: str = "iou",
    per_class: bool = True,
    mask_threshold: float = 0.5,
    to_crs: Any = None,
) -> Any:
    """Give what a network found in patches as polygons in the CRS of the field, duplicates removed.

    Pixels count from the corner of the first cell of a patch as it is now, so that (0, 0, 1, 1) is its
    first cell, also where rows run north, the raster is rotated, or the patches were cropped. An
    object that several patches hold is kept once, by non-maximum suppression: from the highest score
    down, what overlaps one that was kept by more than `iou_threshold` is dropped. Only objects of the same
    class, the same scene and, of patches that were cut along other dimensions, the same step are duplicates.

    Parameters
    ----------
    obj : DataArray or Dataset
        The patches.
    boxes : sequence of arrays (n, 4), one a patch
        x_min, y_min, x_max, y_max in pixels of the patch, as of torchvision: NumPy arrays, tensors, or lists.
        Or the dicts that torchvision's detectors return, with labels, scores and masks.
    labels : sequence of arrays (n,), optional
        Classes, numbers or names.
    scores : sequence of arrays (n,), optional
        Without any, larger objects come first.
    masks : sequence of arrays (n, y, x), optional
        In place of boxes (which may be masks, too): true, or a probability. Their outlines run along the
        edges of pixels (needs rasterio).
    iou_threshold : float or None, default: 0.5
        Overlap above which two objects are one; None keeps all.
    metric : {"iou", "ios"}, default: "iou"
        The overlap: common area over that of both, or over that of the smaller ("ios"), which also drops
        the part of an object that the border of another patch cut off: what reaches a border inside of the
        field comes after all that does not, whatever its score.
    per_class : bool, default: True
        Whether objects of different classes are kept side by side.
    mask_threshold : float, default: 0.5
        The probability from which on a pixel belongs to a mask.
    to_crs : optional
        CRS of the result, anything that pyproj takes; patches of scenes in several CRSs need one.

    Returns
    -------
    GeoDataFrame
        A row for each object, in the order of the patches: ``geometry``, ``label`` and ``score`` where they
        were given, ``patch``, the label of the patch, of several scenes ``scene``, and of patches that
        were cut into single steps of another dimension, such as time, its label. Without labels of rows and
        columns cells are counted, centers at whole numbers, as in `footprints`. What lies in padding is cut
        off. Across the seam of a periodic longitude a polygon has two parts, within the longitudes of the field.

    Raises
    ------
    TypeError
        If the patches are no boxes along two dimensions of a raster or grid.
    ValueError
        If there is not one entry a patch, a box does not lie in its patch, x_min is more than x_max, or labels
        and scores are of another length; if scenes have several CRSs and `to_crs` is not given.
    ImportError
        If geopandas is missing.

    Examples
    --------
    >>> axis = np.arange(6) + 0.5
    >>> field = xr.DataArray(np.zeros((6, 6)), {"y": axis[::-1], "x": axis})
    >>> patches = field.patch.split({"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    >>> boxes = [[[2, 2, 4, 4]], [[0, 2, 2, 4]], [], []]
    >>> found = patches.patch.to_features(boxes, scores=[[0.9], [0.8], [], []])
    >>> found.bounds.values.tolist(), found["patch"].tolist()
    ([[2.0, 2.0, 4.0, 4.0]], [0])
    """
    _checked(iou_threshold, metric)
    check_fraction(mask_threshold, "mask_threshold")
    try:
        import geopandas
    except ImportError as error:
        raise ImportError(
            "to_features needs geopandas: pip install 'xarray-patch[vector]'"
        ) from error
    dim = _patch_dim(obj)
    for name, values in {
        "boxes": boxes,
        "labels": labels,
        "scores": scores,
        "masks": masks,
    }.items():
        _check_labels(name, values, obj, dim)
    groups = scene_rows(obj)
    scenes = [(None, np.arange(obj.sizes[dim]))] if groups is None else groups[1]
    parts_of = [obj if groups is None else obj.isel({dim: rows}) for _, rows in scenes]
    views = [View.of(part) for part in parts_of]
    crs = _common_crs(views, to_crs)
    size = views[0].size if views else (0, 0)
    found = detections((boxes, labels, scores, masks), obj.sizes[dim], size, mask_threshold)
    frames = []
    for (name, rows), view in zip(scenes, views, strict=True):
        own = found.take(np.isin(found.rows, rows))
        own = dataclasses.replace(own, rows=np.searchsorted(rows, own.rows))
        placed, steps = _once(view, own, iou_threshold, metric, per_class)
        frame = _frame(view, placed, steps).assign(patch=obj.coords[dim].values[rows[placed.rows]])
        frame = frame if groups is None else frame.assign(scene=[name] * len(frame))
        frame.index = rows[placed.rows]
        frames.append(frame if to_crs is None else frame.to_crs(to_crs))
    if not frames:
        return geopandas.GeoDataFrame({"patch": [], "scene": []}, geometry=[], crs=crs)
    every = geopandas.GeoDataFrame(pd.concat(frames), crs=crs) if len(frames) > 1 else frames[0]
    first = [n for n in ("label", "score", "patch", "scene") if n in every]
    rest = [n for n in every if n not in (*first, "geometry")]
    return every.sort_index(kind="stable").reset_index(drop=True)[[*first, *rest, "geometry"]]


def _checked(iou_threshold: Any, metric: Any) -> None:
    number = isinstance(iou_threshold, int | float | np.number) and not isinstance(
        iou_threshold, bool
    )
    if iou_threshold is not None and not (number and 0 <= iou_threshold <= 1):
        raise ValueError(
            f"iou_threshold must lie between 0 and 1, or be None to keep all, got {iou_threshold!r}"
        )
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {METRICS}, got {metric!r}")


def _patch_dim(obj: Any) -> Hashable:
    """Give the patch dimension."""
    splits = splits_of(obj)
    one = [n for n, c in obj.coords.items() if not c.ndim and RECIPE in c.attrs]
    if not splits and one:
        raise ValueError(
            f"this is one patch, and boxes come one entry a patch; select it as a set of one, isel({one[0]}=[…])"
        )
    if not splits:
        raise ValueError(NEVER_SPLIT)
    if len(splits) > 1:
        raise ValueError(
            f"these are patches of patches, along {list(splits)}; select one of the first ones: "
            f"patches.isel({splits[0]}=0)"
        )
    return splits[0]


def _check_labels(name: str, values: Any, obj: Any, dim: Hashable) -> None:
    """Raise a ValueError if an array of xarray says that it is of other patches."""
    if not isinstance(values, xr.DataArray):
        return
    labels = values.coords[dim].values if dim in values.coords else None
    own = obj.coords[dim].values
    if values.dims[:1] != (dim,) or (labels is not None and not np.array_equal(labels, own)):
        raise ValueError(
            f"{name} must have one entry for each of these patches along {dim!r}, in their order, and is of others: "
            f"its dimensions are {values.dims}; select the same, {name}.sel({dim}=patches[{dim!r}])"
        )


def _common_crs(views: list[View], to_crs: Any) -> Any:
    if to_crs is not None:
        if any(v.crs is None for v in views):
            raise ValueError(
                "to_features(to_crs=…) needs a field with a CRS, and this one has none; write one before it is split: "
                "field.rio.write_crs(…)"
            )
        return to_crs
    named = {"none" if v.crs is None else crs_name(as_crs(v.crs)): v.crs for v in views}
    if len(named) > 1:
        raise ValueError(
            f"these patches lie in several CRSs, {' and '.join(sorted(named))}; say in which one their features shall "
            "be: to_features(…, to_crs='EPSG:4326')"
        )
    return next(iter(named.values()), None)


# ------------------------------------------------------------------------------- on the field


def _once(
    view: View, found: Detections, threshold: float | None, metric: str, per_class: bool
) -> tuple[Detections, dict[Hashable, Any]]:
    """Put objects of one field on its cells, and keep each once."""
    import shapely

    shapes, cut = _on_cells(view, found), _cut_off(view, found)
    there = shapely.area(shapes) > 0  # others lie in padding alone
    found = dataclasses.replace(found, shapes=shapes).take(there)
    if threshold is not None and len(found.rows):
        keys = [at[found.rows] for at, _ in view.beside.values()]
        keys += [] if found.labels is None or not per_class else [pd.factorize(found.labels)[0]]
        groups = np.zeros(len(found.rows), np.int64)
        if keys:
            _, groups = np.unique(np.stack(keys, axis=-1), axis=0, return_inverse=True)
        parts = cut[there] if metric == "ios" else None
        how = (groups.ravel(), threshold, metric == "ios", parts)
        found = found.take(kept(found.shapes, found.scores, *how))
    steps = {d: labels[found.rows] for d, (_, labels) in view.beside.items() if labels is not None}
    return found, steps


def _cut_off(view: View, found: Detections) -> NDArray[np.bool_]:
    """Say which objects reach a border of their patch behind which the field goes on."""
    import shapely

    bounds = shapely.bounds(found.shapes)
    out = np.zeros(len(bounds), bool)
    for k, (size, n, wrap) in enumerate(zip(view.size, view.shape, view.wrap, strict=True)):
        start = view.corners[found.rows, k]
        low, high = bounds[:, 1 - k], bounds[:, 3 - k]
        out |= (low <= NEAR) & (wrap | (start > 0))
        out |= (high >= size - NEAR) & (wrap | (start + size < n))
    return out


def _on_cells(view: View, found: Detections) -> NDArray[Any]:
    """Move polygons from the pixels of their patch to the cells of the field, within its borders."""
    import shapely

    shapes = found.shapes.copy()
    cells, which = shapely.get_coordinates(shapes, return_index=True)
    shapes = shapely.set_coordinates(shapes, cells + view.corners[found.rows[which]][:, ::-1])
    for axis, n, wrap in zip((1, 0), view.shape, view.wrap, strict=True):
        low, high = shapely.bounds(shapes).T[[axis, axis + 2]]
        for k in np.flatnonzero((low < 0) | (high > n)):
            shapes[k] = _folded(shapes[k], axis, n, low[k], high[k], wrap, view.shape)
    return shapes


def _folded(
    shape: Any, axis: int, n: int, low: float, high: float, wrap: bool, size: tuple[int, int]
) -> Any:
    """Cut a polygon off at the borders of the field, or let it go on behind the seam."""
    import shapely

    turns = range(int(low // n), int(high // n) + 1) if wrap else (0,)
    far = 2.0 * max(size) + abs(low) + abs(high)
    parts = []
    for turn in turns:
        span = [-far, -far, far, far]
        span[axis], span[axis + 2] = turn * n, (turn + 1) * n
        shift = np.array([-turn * n, 0.0] if axis == 0 else [0.0, -turn * n])
        cut = shapely.intersection(shape, shapely.box(*span))
        parts += list(shapely.get_parts(shapely.transform(cut, lambda xy, by=shift: xy + by)))
    flat = [p for p in parts if p.area > 0]
    return flat[0] if len(flat) == 1 else shapely.union_all(flat)


def _frame(view: View, found: Detections, steps: dict[Hashable, Any]) -> Any:
    """Give the features of one field."""
    import geopandas
    import shapely

    columns: dict[Any, Any] = {}
    for name, values in (("label", found.labels), ("score", found.scores)):
        columns |= {} if values is None else {name: values}
    known = ("label", "score", "patch", "scene", "geometry")
    columns |= {d: values for d, values in steps.items() if d not in known}
    shapes = shapely.transform(found.shapes, view.ground)
    corner, right, down = view.ground(np.array([[0.0, 0], [1, 0], [0, 1]]))
    if np.linalg.det([right - corner, down - corner]) < 0:  # outer rings go counterclockwise
        shapes = shapely.reverse(shapes)
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs=view.crs)
