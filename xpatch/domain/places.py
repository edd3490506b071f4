"""Places: points in continuous coordinates with the CRS they are in, and where a field has them.

The only module that transforms coordinates or searches labels. What comes out are positions along the
dimensions of a field, counted in cells: 2.0 is the center of cell 2, 2.5 the border to the next one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpatch.domain.axes as ax
from xpatch import sphere
from xpatch.domain.bounds import read_crs, same
from xpatch.domain.positions import TINY, Floats, Located, along, middles, near_cells
from xpatch.domain.units import check_degrees

DEGREES = "EPSG:4326"
KINDS = {"longitude": "X", "latitude": "Y"}


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Points in continuous coordinates, and the CRS that they are in.

    Parameters
    ----------
    columns : mapping of hashable to arrays (point,)
        Coordinates by dimension.
    pair : pair of hashable, optional
        Which of them are x and y, or longitude and latitude.
    crs : optional
        CRS of the pair; None where nothing says.
    bare : bool
        Whether they are coordinates of the field that is asked, whatever these are.
    roles : mapping
        CF roles of the columns.
    counted : set of hashable
        Columns that are positions, because the field that they come from has no labels there.
    ids : array (point,), optional
        Names of the points.
    """

    columns: Mapping[Hashable, NDArray]
    pair: tuple[Hashable, Hashable] | None = None
    crs: Any = None
    bare: bool = False
    roles: Mapping[Hashable, str] = dataclasses.field(default_factory=dict)
    counted: frozenset[Hashable] = frozenset()
    ids: NDArray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @classmethod
    def of(cls, x: NDArray, y: NDArray, sites: Any, ids: NDArray | None = None) -> Points:
        """Take x and y, or longitude and latitude, in the CRS of elements."""
        names = ("lon", "lat") if sites.geographic and not sites.rotated else ("x", "y")
        return cls(dict(zip(names, (x, y), strict=True)), names, sites.known_crs, ids=ids)

    def take(self, which: NDArray[Any]) -> Points:
        """Give some of them."""
        columns = {n: np.asarray(c)[which] for n, c in self.columns.items()}
        return dataclasses.replace(
            self, columns=columns, ids=None if self.ids is None else self.ids[which]
        )

    @property
    def xy(self) -> tuple[Floats, Floats]:
        """X and y of the pair."""
        assert self.pair is not None
        x, y = (np.asarray(self.columns[n], float) for n in self.pair)
        return x, y

    def role(self, name: Hashable) -> str:
        """Give the role of a column: X, Y, Z, T or nothing."""
        if self.pair is not None and name in self.pair:
            return "XY"[self.pair.index(name)]
        return axis_role(self.roles, name)

    @property
    def horizontal(self) -> bool:
        """Whether any column is one of x or y."""
        return any(self.role(n) in ("X", "Y") for n in self.columns)


def axis_role(roles: Mapping[Hashable, str], name: Hashable) -> str:
    """Give the role of a dimension, longitude being an X and latitude a Y."""
    role = roles.get(name, "")
    return KINDS.get(role, role)


# ----------------------------------------------------------------------------------------- CRS


def mover(source: Any, target: Any) -> Callable[[Any, Any], tuple[Floats, Floats]]:
    """Give the function that turns x and y of one CRS into those of another; NaN where it cannot."""
    if same(source, target):
        return lambda x, y: (np.asarray(x, float), np.asarray(y, float))
    pyproj = ax.import_pyproj()
    transform = pyproj.Transformer.from_crs(read_crs(source), read_crs(target), always_xy=True)

    def move(x: Any, y: Any) -> tuple[Floats, Floats]:
        moved_x, moved_y = (np.asarray(v, float) for v in transform.transform(x, y))
        lost = ~np.isfinite(moved_x) | ~np.isfinite(moved_y)  # pyproj says inf where it cannot
        return np.where(lost, np.nan, moved_x), np.where(lost, np.nan, moved_y)

    return move


def named_crs(crs: Any) -> str:
    """Name a CRS for a message."""
    return str(crs) if isinstance(crs, str) else ax.crs_name(crs)


def curved(domain: Any) -> bool:
    """Whether places go by longitude and latitude of several dimensions, not by straight axes."""
    return not domain.element_dims and domain.curved


def crs_of_field(domain: Any) -> Any:
    """Give the CRS of the horizontal coordinates of a field; None where nothing says."""
    if domain.element_dims:
        return domain.sites(domain.element_dims[0]).known_crs
    if curved(domain):
        return DEGREES
    if domain.crs is not None:
        return domain.crs
    if not domain.geographic:
        return None
    check_degrees(domain, domain.spatial_dims)
    return DEGREES


def moved_to(points: Points, target: Any, what: str = "the points") -> tuple[Floats, Floats]:
    """Give x and y of points in the CRS of a field (None: it has none).

    Raises
    ------
    ValueError
        If only one of both CRSs is known.
    """
    x, y = points.xy
    if points.bare:
        return x, y
    check_known(points.crs, target, what)
    return (x, y) if target is None else mover(points.crs, target)(x, y)


def check_known(crs: Any, target: Any, what: str = "the points") -> None:
    """Raise a ValueError if one of two CRSs is known and the other is not."""
    if crs is not None and target is None:
        raise ValueError(
            f"{what} are in {named_crs(ax.as_crs(crs))}, but the field has no CRS and no longitude and "
            "latitude, so that nothing says where it is; write its CRS first, field.rio.write_crs(…), or "
            "give places in the coordinates of the field"
        )
    if crs is None and target is not None:
        raise ValueError(
            f"{what} have no CRS, but the field is in {named_crs(target)}: their numbers say nothing "
            "about where they are in it. Write the CRS of the field that they come from before it is "
            "split, field.rio.write_crs(…)"
        )


# --------------------------------------------------------------------------------- on a lattice


def locate(
    points: Points,
    domain: Any,
    dims: Sequence[Hashable],
    sizes: Sequence[int],
    boundary: Sequence[str],
    what: str = "the points",
) -> Located:
    """Find where points lie along the dimensions of boxes of some sizes.

    On straight axes by dimension; on a curvilinear grid at the boxes of ``sizes`` cells whose
    mid-point, the mean on the sphere of its 1, 2 or 4 middle cells, is nearest.

    Raises
    ------
    KeyError, ValueError
        If points have no coordinate along a dimension, or nothing says how their CRS relates to that
        of the field.
    """
    dims = tuple(dims)
    if points.pair is not None and curved(
        domain
    ):  # its rows and columns may be called x and y, too
        return _on_curved(points, domain, dims, sizes, boundary, what)
    if domain.rotated is not None and set(domain.rotated) <= set(dims):
        return _on_affine(points, domain, dims, boundary, what)
    columns = assigned(points, domain, dims, what)
    parts = []
    for d, word in zip(dims, boundary, strict=True):
        name, values = columns[d]
        if name in points.counted:
            parts.append(_counted(domain, d, values, word in ("pad", "wrap")))
        else:
            parts.append(along(domain, d, values, word in ("pad", "wrap")))
    return _together(parts)


def _together(parts: Sequence[Located]) -> Located:
    return Located(
        np.concatenate([p.positions for p in parts], axis=1),
        np.logical_or.reduce([p.outside for p in parts]),
        np.concatenate([p.tolerance for p in parts]),
    )


def _counted(domain: Any, dim: Hashable, positions: NDArray, beyond: bool) -> Located:
    """Take positions as they are, where neither field has labels."""
    if domain.coordinate(dim) is not None:
        raise ValueError(
            f"the patches were cut from a field without labels along {dim!r}, but this field has some, and "
            "nothing says which cells lie at the same places; assign the coordinate before the split"
        )
    found = np.asarray(positions, float)
    outside = (
        np.zeros(len(found), bool) if beyond else (found < -0.5) | (found > domain.sizes[dim] - 0.5)
    )
    return Located(found[:, None], outside, np.full(1, TINY))


def assigned(
    points: Points, domain: Any, dims: tuple[Hashable, ...], what: str = "the points"
) -> dict[Hashable, tuple[Hashable, NDArray]]:
    """Give, for each dimension, which column of the points is along it, in coordinates of the field.

    x and y go by the CRS, the others by name, then by role, and one that is left goes with the one
    that is left.
    """
    found: dict[Hashable, tuple[Hashable, NDArray]] = {}
    ours = horizontal_dims_of(domain, dims)
    flat = any(axis_role(domain.roles, d) in ("X", "Y") for d in dims)
    if not points.bare and points.horizontal and flat:
        target = crs_of_field(domain)
        check_known(points.crs, target, what)
        if target is not None and not same(points.crs, target):
            if points.pair is None or ours is None:
                raise ValueError(
                    f"{what} are in {named_crs(ax.as_crs(points.crs))} and the field in "
                    f"{named_crs(target)}, which takes both x and y, but the patches are cut along "
                    f"{list(dims)}; cut both along both, or reproject one of them"
                )
            moved = mover(points.crs, target)(*points.xy)
            found = dict(zip(ours, zip(points.pair, moved, strict=True), strict=True))
    named = points.pair is not None and set(points.pair) & set(dims)
    if points.pair is not None and ours is not None and not found and not named:
        found = dict(zip(ours, zip(points.pair, points.xy, strict=True), strict=True))
    used = {name for name, _ in found.values()}
    for rule in (_same_name, _same_role, _same_left):
        for d in [d for d in dims if d not in found]:
            left = [n for n in points.columns if n not in used]
            missing = [m for m in dims if m not in found]
            name = rule(d, left, missing, points, domain)
            if name is not None:
                found[d] = name, points.columns[name]
                used.add(name)
    missing = [d for d in dims if d not in found]
    if missing:
        raise KeyError(
            f"{what} lack dimension {missing[0]!r}: they have {list(points.columns)}, and the patches are "
            f"cut along {list(dims)}"
        )
    return found


def _same_name(d: Hashable, left: list, missing: list, points: Points, domain: Any) -> Any:
    return d if d in left else None


def _same_role(d: Hashable, left: list, missing: list, points: Points, domain: Any) -> Any:
    role = axis_role(domain.roles, d)
    found = [n for n in left if role and points.role(n) == role]
    return found[0] if len(found) == 1 else None


def _same_left(d: Hashable, left: list, missing: list, points: Points, domain: Any) -> Any:
    """The only one left goes with the only one left, unless their roles say otherwise."""
    if len(left) != 1 or len(missing) != 1:
        return None
    mine, other = axis_role(domain.roles, d), points.role(left[0])
    return None if mine and other and mine != other else left[0]


def horizontal_dims_of(domain: Any, dims: Sequence[Hashable]) -> tuple[Hashable, Hashable] | None:
    """Give the x and the y dimension among some; None unless there is one of each."""
    roles = {d: axis_role(domain.roles, d) for d in dims}
    x, y = ([d for d in dims if roles[d] == kind] for kind in ("X", "Y"))
    return (x[0], y[0]) if len(x) == len(y) == 1 else None


def _others(
    points: Points, domain: Any, dims: tuple[Hashable, ...], flat: Sequence[Hashable], what: str
) -> dict[Hashable, Located]:
    """Locate along the dimensions that are not horizontal."""
    rest = tuple(d for d in dims if d not in flat)
    if not rest:
        return {}
    columns = {n: c for n, c in points.columns.items() if n not in (points.pair or ())}
    others = dataclasses.replace(points, columns=columns, pair=None)
    found = assigned(others, domain, rest, what)
    return {d: along(domain, d, values) for d, (_, values) in found.items()}


def _on_affine(
    points: Points, domain: Any, dims: tuple[Hashable, ...], boundary: Sequence[str], what: str
) -> Located:
    """Locate on a rotated raster by its affine."""
    y_dim, x_dim = domain.rotated
    if points.pair is None and {y_dim, x_dim} <= set(points.columns):
        points = dataclasses.replace(points, pair=(x_dim, y_dim))
    if points.pair is None:
        raise KeyError(
            f"{what} have {list(points.columns)}, and no x and y, by which the rows and columns of a rotated "
            "raster are found"
        )
    x, y = moved_to(points, crs_of_field(domain), what)
    found = _others(points, domain, dims, (y_dim, x_dim), what)
    words = dict(zip(dims, boundary, strict=True))
    for d, exact in zip((y_dim, x_dim), domain.rows_and_columns(x, y), strict=True):
        inside = (exact >= -0.5 - TINY) & (exact <= domain.sizes[d] - 0.5 + TINY)
        inside |= np.isfinite(exact) & (words[d] in ("pad", "wrap"))
        found[d] = Located(exact[:, None], ~inside, np.full(1, TINY))
    return _together([found[d] for d in dims])


def by_affine(domain: Any, positions: Mapping[Hashable, NDArray]) -> tuple[Floats, Floats] | None:
    """Give x and y at positions of a rotated raster; None of any other."""
    if domain.rotated is None or not set(domain.rotated) <= set(positions):
        return None
    x, y = domain.xy_at(*(positions[d] for d in domain.rotated))
    return np.asarray(x, float), np.asarray(y, float)


# ------------------------------------------------------------------------------- on curved grids


def _on_curved(
    points: Points,
    domain: Any,
    dims: tuple[Hashable, ...],
    sizes: Sequence[int],
    boundary: Sequence[str],
    what: str,
) -> Located:
    sites = domain.sites()
    whole = [d for d in sites.dims if d not in dims]
    if whole:
        raise ValueError(
            f"a place lies in one cell along {list(sites.dims)}, and the patches are cut along {list(dims)} "
            f"only; cut {whole[0]!r}, too: Rectangular({{{whole[0]!r}: 1, …}})"
        )
    lon, lat = moved_to(points, DEGREES, what)
    there = np.isfinite(lon) & np.isfinite(lat)
    even = {d: s % 2 == 0 for d, s in zip(dims, sizes, strict=True)}
    wraps = {d: word == "wrap" for d, word in zip(dims, boundary, strict=True)}
    flags = tuple((even.get(d, False), wraps.get(d, False)) for d in sites.dims)
    tree, known, shape = middles(domain, flags)
    cells = np.zeros(len(lon), np.int64)
    if len(known) and there.any():
        vectors = sphere.unit_vectors(lon[there], lat[there])
        far, near = tree.query(vectors, np.arange(1, min(4, len(known)) + 1))
        tied = far <= far[:, :1] * (1 + 1e-9) + 1e-12  # of equally near ones the lower start
        cells[there] = np.where(tied, known[near], np.iinfo(np.int64).max).min(axis=1)
    there[there] = near_cells(lon[there], lat[there], sites)
    found = _others(points, domain, dims, sites.dims, what)
    for d, at, (half, _) in zip(sites.dims, np.unravel_index(cells, shape), flags, strict=True):
        found[d] = Located(np.asarray(at[:, None] + half / 2, float), ~there, np.full(1, TINY))
    return _together([found[d] for d in dims])


# ------------------------------------------------------------------------------------- starts


def nearest_starts(located: Located, sizes: Sequence[int]) -> NDArray[np.int64]:
    """Give the starts of the boxes whose mid-points are nearest, (point, dim); ties to the lower."""
    exact = located.positions - (np.array(sizes) - 1) / 2
    safe = np.where(np.isfinite(exact), exact, 0.0)
    return np.ceil(safe - 0.5 - located.tolerance).astype(np.int64)
