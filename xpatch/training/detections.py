"""What networks that detect give for each patch, as polygons in its pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.duck import is_array, numpy_of

__all__ = ["Detections", "detections"]

NEAR = 1e-3  # of a pixel, by which rounding may carry a box across the border of its patch
KEYS = ("boxes", "labels", "scores", "masks")
NOTHING: Any = object()


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """Objects that were found in patches.

    Parameters
    ----------
    rows : int64 array (n,)
        The position of the patch that each was found in.
    shapes : array of shapely geometries (n,)
        Polygons in pixels of the patch, (column, row) from the corner of its first cell.
    labels : array (n,), optional
        Classes.
    scores : float array (n,), optional
        Scores.
    """

    rows: NDArray[np.int64]
    shapes: NDArray[Any]
    labels: NDArray[Any] | None
    scores: NDArray[np.float64] | None

    def take(self, which: NDArray[Any]) -> Detections:
        """Give some of them."""
        labels = None if self.labels is None else self.labels[which]
        scores = None if self.scores is None else self.scores[which]
        return Detections(self.rows[which], self.shapes[which], labels, scores)


def detections(
    given: tuple[Any, Any, Any, Any], count: int, size: tuple[int, int], threshold: float
) -> Detections:
    """Read boxes, labels, scores and masks, one entry of each a patch.

    Parameters
    ----------
    given : tuple
        Boxes, labels, scores and masks; None for what there is not.
    count : int
        The number of patches.
    size : tuple of int
        Rows and columns of a patch.
    threshold : float
        The probability from which on a pixel of a mask belongs to the object.

    Raises
    ------
    TypeError, ValueError
        If entries are not one a patch, or a box does not lie in its patch.
    """
    rows, shapes, labels, scores = [], [], [], []
    for row, entry in enumerate(_entries(given, count)):
        found = _polygons(entry, row, size, threshold)
        n = len(found)
        labels.append(_values("labels", entry["labels"], row, n))
        scores.append(_values("scores", entry["scores"], row, n))
        rows.append(np.full(n, row))
        shapes.append(found)
    out = Detections(
        _joined(rows, np.int64), _joined(shapes, object), _column(labels), _column(scores)
    )
    _check_scores(out)
    import shapely

    return out.take(shapely.area(out.shapes) > 0)


def plain(values: Any) -> NDArray[Any]:
    """Give an array of NumPy, of torch on any device, of jax, or a list."""
    return numpy_of(values) if is_array(values) else np.asarray(values)


def _entries(given: tuple[Any, Any, Any, Any], count: int) -> Iterator[dict[str, Any]]:
    """Give what there is of each patch.

    Raises
    ------
    TypeError, ValueError
        If it is not one entry a patch.
    """
    known = {k: v for k, v in zip(KEYS, given, strict=True) if v is not None}
    if not {"boxes", "masks"} & set(known):
        raise TypeError("to_features takes boxes or masks, one entry a patch; got neither")
    for name, values in known.items():
        if isinstance(values, Mapping | str) or not isinstance(values, Iterable):
            raise TypeError(
                f"{name} must have one entry for each of the {count} patches, as a list, got "
                f"{type(values).__name__}; of one patch: [{name}]"
            )
        if isinstance(values, Sized) and len(values) != count:
            raise ValueError(_unequal(name, len(values), count))
    seen = 0
    for parts in zip_longest(*known.values(), fillvalue=NOTHING):
        own = dict(zip(known, parts, strict=True))
        ended = [name for name, part in own.items() if part is NOTHING]
        if ended or seen == count:
            name = ended[0] if ended else next(iter(own))
            raise ValueError(_unequal(name, seen if ended else f"more than {count}", count))
        yield _entry(own, seen)
        seen += 1
    if seen < count:
        raise ValueError(_unequal(next(iter(known)), seen, count))


def _unequal(name: str, n: Any, count: int) -> str:
    return (
        f"{name} must have one entry for each of the {count} patches, in their order, got {n}; a patch without "
        f"objects has an empty one, np.zeros((0, 4))"
    )


def _entry(own: dict[str, Any], row: int) -> dict[str, Any]:
    """Give boxes, labels, scores and masks of a patch, also from what torchvision gives."""
    out = dict.fromkeys(KEYS) | own
    if not isinstance(out["boxes"], Mapping):
        return out
    found = out["boxes"]
    twice = [k for k in own if k != "boxes"]
    if twice or not {"boxes", "masks"} & set(found):
        raise TypeError(
            f"boxes of patch {row} are a dict with the keys {list(found)}; it must have 'boxes' or 'masks', and holds "
            f"labels and scores as well, so that no others are passed{', got ' + repr(twice) if twice else ''}"
        )
    return {k: found.get(k) for k in KEYS}


def _polygons(
    entry: Mapping[str, Any], row: int, size: tuple[int, int], threshold: float
) -> NDArray[Any]:
    """Give the objects of a patch as polygons: of masks where there are some, else of boxes."""
    boxes = None if entry["boxes"] is None else plain(entry["boxes"])
    masks = None if entry["masks"] is None else plain(entry["masks"])
    if masks is None and boxes is not None and boxes.ndim > 2:
        boxes, masks = None, boxes
    found = None if boxes is None else _of_boxes(boxes, row, size)
    if masks is None:
        assert found is not None
        return found
    shapes = _of_masks(masks, row, size, threshold)
    if found is not None and len(found) != len(shapes):
        raise ValueError(f"patch {row} has {len(found)} boxes and {len(shapes)} masks")
    return shapes


def _of_boxes(boxes: NDArray[Any], row: int, size: tuple[int, int]) -> NDArray[Any]:
    import shapely

    if not boxes.size:
        return np.empty(0, object)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iuf":
        raise ValueError(
            f"boxes of a patch must be numbers of shape (n, 4), x_min, y_min, x_max, y_max in pixels; those of patch "
            f"{row} have shape {boxes.shape} and dtype {boxes.dtype}"
        )
    found = boxes.astype(float)
    low, high = found[:, :2], found[:, 2:]
    if not (low <= high).all():
        bad = found[~(low <= high).all(axis=1)][0]
        raise ValueError(
            f"boxes are x_min, y_min, x_max, y_max in pixels, and patch {row} has {bad.tolist()}; from corner and "
            "size: np.concatenate([xy, xy + wh], axis=1)"
        )
    rows, columns = size
    outside = ((low < -NEAR) | (high > np.array([columns, rows]) + NEAR)).any(axis=1)
    if outside.any():
        raise ValueError(
            f"boxes must lie in their patch, of {rows} rows and {columns} columns, and patch {row} has "
            f"{found[outside][0].tolist()}, x_min, y_min, x_max, y_max; they are pixels from the corner of the patch: "
            f"if they are, cut off what overhangs, np.clip(boxes, 0, [{columns}, {rows}, {columns}, {rows}])"
        )
    inside = np.clip(found, 0, [columns, rows, columns, rows])
    shapes: NDArray[Any] = shapely.box(*inside.T)
    return shapes


def _of_masks(
    masks: NDArray[Any], row: int, size: tuple[int, int], threshold: float
) -> NDArray[Any]:
    if masks.ndim == 4 and masks.shape[1] == 1:  # of torchvision
        masks = masks[:, 0]
    if masks.shape == (0,):  # an empty list
        return np.empty(0, object)
    if (
        masks.ndim != 3
        or (len(masks) and masks.shape[1:] != size)
        or masks.dtype.kind not in "biuf"
    ):
        raise ValueError(
            f"masks of a patch must have shape (n, {size[0]}, {size[1]}), one mask an object, true or a probability; "
            f"those of patch {row} have shape {masks.shape} and dtype {masks.dtype}"
        )
    out = np.empty(len(masks), object)
    for k, mask in enumerate(masks):
        out[k] = _outline(mask if mask.dtype.kind == "b" else mask >= threshold)
    return out


def _outline(mask: NDArray[np.bool_]) -> Any:
    """Give the outline of the pixels of a mask, along their edges."""
    import rasterio.features
    import shapely
    from affine import Affine

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return shapely.Polygon()
    own = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    where = Affine.translation(int(columns[0]), int(rows[0]))
    found = rasterio.features.shapes(own.astype("u1"), own, connectivity=4, transform=where)
    parts = [shapely.geometry.shape(shape) for shape, _ in found]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _values(name: str, given: Any, row: int, n: int) -> NDArray[Any] | None:
    """Give the labels or scores of a patch, one for each object."""
    if given is None:
        return None
    values = plain(given)
    if values.ndim != 1 or len(values) != n:
        more = "; of several classes the best: scores.max(axis=1), labels scores.argmax(axis=1)"
        raise ValueError(
            f"{name} of patch {row} must have shape ({n},), one for each of its objects, got {values.shape}"
            f"{more if values.ndim == 2 else ''}"
        )
    return values


def _joined(parts: list[Any], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _column(parts: list[NDArray[Any] | None]) -> NDArray[Any] | None:
    """Put the values of all patches one after the other; empty lists have no dtype of their own."""
    known = [p for p in parts if p is not None]
    full = [p for p in known if len(p)]
    if len(known) < len(parts) and full:
        raise ValueError(
            f"{len(parts) - len(known)} of {len(parts)} patches have no labels, or no scores, and others have"
        )
    if not full:
        return known[0][:0] if known else None
    text = {p.dtype.kind in "OUT" for p in full}
    return np.concatenate([p.astype(object) for p in full] if len(text) > 1 else full)


def _check_scores(found: Detections) -> None:
    scores = found.scores
    if scores is not None and (scores.dtype.kind not in "biuf" or np.isnan(scores).any()):
        raise ValueError(f"scores must be numbers, got dtype {scores.dtype} or NaN among them")
