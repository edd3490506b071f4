"""Where the cells of a raster lie: its grid mapping, and the affine of one that has no labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import xpatch.domain.axes as ax

Affine = tuple[float, float, float, float, float, float]

TRANSFORM = "GeoTransform"
NO_GROUND = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # what readers give images that lie nowhere
NEAR = 1e-3  # of a cell, by which labels and an affine may differ
CENTERS = (("X", "Y", "xc", "yc"), ("longitude", "latitude", "", ""))


@dataclasses.dataclass(frozen=True)
class GridMapping:
    """The coordinate, or data variable, that holds the CRS of a field.

    Parameters
    ----------
    name : hashable
        Its name.
    attrs : mapping
        Its attributes but for the transform.
    transform : str, optional
        The transform as it is written there, six numbers in the order of GDAL.
    """

    name: Hashable
    attrs: Mapping[str, Any]
    transform: str | None = None


def mapping_of(obj: xr.DataArray | xr.Dataset, name: Hashable | None) -> GridMapping | None:
    """Give the grid mapping of a field, also one that holds a transform and no CRS."""
    if name is None:
        coords = obj.coords.variables.items()
        scalars = (n for n, c in coords if c.ndim == 0 and TRANSFORM in c.attrs)
        name = next(scalars, None)
    found = None if name is None else ax.variable_of(obj, name)
    if found is None or found.ndim:  # the second: geometries whose index knows their CRS
        return None
    attrs = dict(found.attrs)
    text = attrs.pop(TRANSFORM, None)
    return GridMapping(name, attrs, str(text) if text is not None else old_transform(obj))


def old_transform(obj: Any) -> str | None:
    """Give the transform that old readers put into the attributes of a field without labels."""
    found: Any = obj.attrs.get("transform")
    if not is_transform(found) or any(d in obj.coords for d in obj.dims[-2:] if obj.dims):
        return None
    a, b, c, d, e, f = found[:6]
    return written((a, b, c, d, e, f))


def is_transform(value: Any) -> bool:
    """Whether an attribute is the affine of a raster."""
    return isinstance(value, list | tuple | np.ndarray) and len(value) in (6, 9)


def read(text: str | None) -> Affine | None:
    """Read six numbers in the order of GDAL; None if they are no affine."""
    try:
        c, a, b, f, d, e = map(float, (text or "").replace(",", " ").split())
    except ValueError:
        return None
    if not np.isfinite([a, b, c, d, e, f]).all() or a * e - b * d == 0:
        return None
    return a, b, c, d, e, f


def written(affine: Affine) -> str:
    """Write an affine as six numbers in the order of GDAL."""
    a, b, c, d, e, f = map(float, affine)
    return " ".join(map(str, (c, a, b, f, d, e)))


def is_straight(affine: Affine) -> bool:
    """Whether rows and columns run along x and y, so that each has labels of its own."""
    return affine[1] == 0 == affine[3]


def moved(affine: Affine, row: float, column: float) -> Affine:
    """Give the affine of the part that begins at a row and a column."""
    a, b, c, d, e, f = affine
    return a, b, a * column + b * row + c, d, e, d * column + e * row + f


def finer(affine: Affine, rows: float, columns: float) -> Affine:
    """Give the affine of cells that are finer by factors."""
    a, b, c, d, e, f = affine
    return a / columns, b / rows, c, d / columns, e / rows, f


def centers(affine: Affine, rows: Any, columns: Any) -> tuple[NDArray, NDArray]:
    """Give x and y of the centers of cells, counted from 0; in between, of places between them."""
    a, b, c, d, e, f = affine
    row, column = np.asarray(rows, float) + 0.5, np.asarray(columns, float) + 0.5
    return a * column + b * row + c, d * column + e * row + f


def positions(affine: Affine, x: Any, y: Any) -> tuple[NDArray, NDArray]:
    """Undo `centers`: give row and column of places, whole numbers at the centers of cells."""
    a, b, c, d, e, f = affine
    dx, dy = np.asarray(x, float) - c, np.asarray(y, float) - f
    det = a * e - b * d
    return (a * dy - d * dx) / det - 0.5, (e * dx - b * dy) / det - 0.5


def raster_dims(domain: Any) -> tuple[Hashable, Hashable] | None:
    """Give the dimensions of rows and columns, if there is one of each."""
    found = [
        [d for d in domain.sizes if domain.roles.get(d) in kinds]
        for kinds in (("Y", "latitude"), ("X", "longitude"))
    ]
    return (found[0][0], found[1][0]) if all(len(names) == 1 for names in found) else None


def affine_of(domain: Any) -> Affine | None:
    """Give the affine of a raster without labels; see `Domain.affine`."""
    affine = None if domain.mapping is None else read(domain.mapping.transform)
    dims = None if affine is None else raster_dims(domain)
    if affine is None or dims is None or any(d in domain.template.coords for d in dims):
        return None
    if affine == NO_GROUND and domain._crs is None:
        return None
    return _as_told(domain, dims, affine)


def _as_told(domain: Any, dims: tuple[Hashable, Hashable], affine: Affine) -> Affine | None:
    """Believe the two-dimensional x and y of a raster, which go along when a part is selected."""
    pair = _planes(domain, dims)
    if pair is None or 0 in (shape := tuple(domain.sizes[d] for d in dims)):
        return affine
    rows, columns = (np.array([0, 0, n - 1, n - 1, n // 2]) for n in shape)
    columns = columns[[0, 2, 0, 2, 4]]
    at = {d: xr.Variable("cell", k) for d, k in zip(dims, (rows, columns), strict=True)}
    x, y = (np.asarray(c.isel(at).values, float) for c in pair)

    def agrees(affine: Affine) -> bool:
        row, column = positions(affine, x, y)
        return bool((np.abs(row - rows) < NEAR).all() and (np.abs(column - columns) < NEAR).all())

    if agrees(affine):
        return affine
    if min(shape) < 2:
        return None
    n, m = shape[0] - 1, shape[1] - 1
    a, b, d, e = ((v[k] - v[0]) / s for v in (x, y) for k, s in ((1, m), (2, n)))
    if a * e == b * d:
        return None
    own = a, b, x[0] - (a + b) / 2, d, e, y[0] - (d + e) / 2
    return tuple(map(float, own)) if agrees(own) else None  # type: ignore[return-value]


def _planes(domain: Any, dims: tuple[Hashable, Hashable]) -> tuple[Any, Any] | None:
    """Give the two-dimensional x and y of cells, if the field has them."""
    planes = {n: c.variable for n, c in domain.template.coords.items() if set(c.dims) == set(dims)}
    for x_role, y_role, x_name, y_name in CENTERS:
        x = [n for n in planes if domain.roles.get(n) == x_role or n == x_name]
        y = [n for n in planes if domain.roles.get(n) == y_role or n == y_name]
        if x and y and (x_role == "X" or (domain.crs is not None and domain.crs.is_geographic)):
            return planes[x[0]], planes[y[0]]
    return None


def right_transform(domain: Any) -> str | None:
    """Give the transform of a field, if it is that of its labels: selections leave an old one behind."""
    affine = None if domain.mapping is None else read(domain.mapping.transform)
    if affine is None:
        return None
    if domain.affine is not None:
        return domain.mapping.transform if domain.affine == affine else written(domain.affine)
    dims = raster_dims(domain)
    y, x = (None, None) if dims is None else (domain.coordinate(d) for d in dims)
    if y is None or x is None or not y.size or not x.size or fits(affine, y, x):
        return domain.mapping.transform
    return None


def fits(affine: Affine, y: NDArray, x: NDArray) -> bool:
    """Whether labels of rows and columns are the centers of the cells of an affine."""
    if not is_straight(affine) or y.dtype.kind not in "iuf" or x.dtype.kind not in "iuf":
        return False
    ends = np.array([0, len(y) - 1]), np.array([0, len(x) - 1])
    rounding = [
        4 * np.finfo(v.dtype).eps * np.abs(v).max() if v.dtype.kind == "f" else 0 for v in (y, x)
    ]
    own_x, own_y = centers(affine, *ends)
    near = (NEAR * abs(affine[4]) + rounding[0], NEAR * abs(affine[0]) + rounding[1])
    off = np.abs(own_y - y[[0, -1]].astype(float)), np.abs(own_x - x[[0, -1]].astype(float))
    return all(bool((o <= n).all()) for o, n in zip(off, near, strict=True))


def of_labels(y: NDArray, x: NDArray, steps: tuple[Any, Any] = (None, None)) -> Affine | None:
    """Give the affine of evenly spaced labels; ``steps`` those of axes that have one label."""
    found = []
    for values, step in zip((y, x), steps, strict=True):
        if values.dtype.kind not in "iuf" or not len(values):
            return None
        own = ax.even_spacing(values) if len(values) > 1 else step
        if own is None:
            return None
        found.append((float(values[0]) - float(own) / 2, float(own)))
    (f, e), (c, a) = found
    return a, 0.0, c, 0.0, e, f
