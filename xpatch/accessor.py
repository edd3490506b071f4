"""The ``.patch`` accessor: forwards to the functions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from xpatch.patches.asked import Asked
from xpatch.patches.forward import Forward
from xpatch.patches.operators import patch_labels
from xpatch.tree import TreeAccessor

if TYPE_CHECKING:
    from xpatch.run.batches import Batches

__all__ = ["CatalogAccessor", "PatchAccessor", "TreeAccessor", "register"]


class PatchAccessor(Asked):
    """Split a field into patches, and everything that can be asked of patches.

    Registered as ``.patch`` on DataArray and Dataset. The patch *dimension* of an object is
    reached as ``obj["patch"]``; comparing the accessor, or counting with it, raises a TypeError.
    """

    def __init__(self, obj: Any):
        self._obj = obj
        self._known: Any = None  # what was read of a recipe, for further single patches

    def __getstate__(self) -> dict[str, Any]:
        return {"_obj": self._obj, "_known": None}

    split = Forward("xpatch.api")
    merge = Forward("xpatch.api")
    apply = Forward("xpatch.api")
    fit = Forward("xpatch.models.fit")
    pool = Forward("xpatch.models.pool")
    predict = Forward("xpatch.models.predict")
    apart = Forward("xpatch.patches.apart")
    flatten = Forward("xpatch.patches.flat")
    unflatten = Forward("xpatch.patches.flat")
    like = Forward("xpatch.patches.alike")

    def __getitem__(self, number: int) -> Any:
        """Give one patch as a field of its own: with its CRS, labels, transform and indexes.

        ``obj["patch"]`` is the coordinate, and ``obj.isel(patch=…)`` selects several patches.

        Parameters
        ----------
        number : int
            Which patch, counted from 0; negative ones from the end.

        Returns
        -------
        DataArray or Dataset
            The patch. Labels have an index, empty slots of lists of members are left out, a raster knows its
            ``.rio.transform()``, also a rotated one, and geometries have the index of xvec that
            those of the field had.

        Examples
        --------
        >>> field = xr.DataArray(np.ones((4, 6)), {"x": np.arange(6.0)}, ("y", "x"))
        >>> field.patch.split(geometry={"y": 2, "x": 3}).patch[-1].sel(x=4).sizes
        Frozen({'y': 2})
        """
        from xpatch.patches import single

        if self._known is None:
            self._known = single.Known()
        return single.patch_at(self._obj, number, self._known)

    def crop(self, crop: Mapping[Hashable, Any] | None = None, **dims: Any) -> Any:
        """Cut cells off the borders of every patch, and remember it for merge.

        Parameters
        ----------
        crop : mapping, optional
            Cells by dimension: an int for both sides, or a pair (before, after).
        **dims
            The same by keyword.

        Returns
        -------
        DataArray or Dataset
            The inner part of the patches.

        Examples
        --------
        >>> field = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
        >>> patches = field.patch.split(geometry={"y": 4, "x": 4})
        >>> dict(patches.patch.crop(y=1, x=(0, 2)).sizes)
        {'patch': 4, 'y': 2, 'x': 2}
        """
        from xpatch.patches import properties

        return properties.crop(self._obj, {} if crop is None else crop, dims)

    def quantile(self, q: Any, dim: Any, *, skipna: bool | None = None) -> Any:
        """Give quantiles over in-patch dimensions, by one sort; see `quantile.quantile`.

        Examples
        --------
        >>> field = xr.DataArray([1.0, np.nan, 3.0, 4.0], dims="x")
        >>> field.patch.split(geometry={"x": 2}).patch.quantile(0.5, "x").values
        array([1. , 3.5])
        """
        from xpatch.patches.quantile import quantile

        return quantile(self._obj, q, dim, skipna)

    @property
    def lookback(self) -> Any:
        """The part of windows in time up to the anchor: the input of a forecast."""
        from xpatch.models.horizon import lookback

        return lookback(self._obj)

    @property
    def horizon(self) -> Any:
        """The part of windows in time after the anchor: the target of a forecast."""
        from xpatch.models.horizon import horizon

        return horizon(self._obj)

    def batches(
        self,
        batch_size: int,
        drop_last: bool = False,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        buffer_size: int | None = None,
    ) -> Batches:
        """Walk over the patches in loaded batches.

        Of a dask array each patch block is computed once, and kept until its last patch was given;
        a source chunk is computed again for each later block whose patches reach into it. Of data
        on disk a stored chunk is read once as long as the chunks of one row of patches fit into
        512 MiB.

        Parameters
        ----------
        batch_size : int
            Patches in a batch.
        drop_last : bool, default: False
            Leave out the last batch if it is smaller.
        shuffle : bool, default: False
            Random order instead of that of the patches: chunks are shuffled, and then patches
            within a buffer, so that chunks are read no more often. Patches in memory are shuffled
            freely.
        seed : int, optional
            The same seed gives the same order; default: another one in each walk.
        buffer_size : int, optional
            How many patches a patch may be moved by within the order of the chunks; default:
            ``16 * batch_size``.

        Returns
        -------
        Batches
            An iterable with a length. ``xr.concat(batches, "patch")`` merges as usual.

        Examples
        --------
        >>> field = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
        >>> patches = field.patch.split(geometry={"y": 4, "x": 4})
        >>> [batch.sizes["patch"] for batch in patches.patch.batches(3)]
        [3, 1]
        """
        from xpatch.run.batches import Batches

        return Batches(self._obj, batch_size, drop_last, shuffle, seed, buffer_size)

    def plot(self, field: Any = None, **kwargs: Any) -> Any:
        """Draw the patches over the field, and how often each cell is covered; see `xpatch.plot.plot`."""
        from xpatch.plot import plot

        return plot(self._obj, field, **kwargs)

    def _as_places(self) -> Any:
        """Answer `Explicit`, which the patches were given to."""
        from xpatch.patches import given

        return given.as_places(self._obj)

    def _as_times(self) -> Any:
        """Answer `ExplicitTimes`, which the patches were given to."""
        from xpatch.patches import given

        return given.as_times(self._obj)

    def _coordinate(self) -> str:
        return patch_labels(self._obj)

    def __repr__(self) -> str:
        from xpatch.patches.properties import summary

        return summary(self._obj)


class CatalogAccessor:
    """Fields and patches over the files of a catalog.

    Registered as ``.patch`` on data frames, of which GeoDataFrame is one; see `xpatch.catalog`.
    """

    def __init__(self, table: Any):
        self._obj = table

    field = Forward("xpatch.catalogs.field")
    split = Forward("xpatch.run.of_catalog")
    scenes = Forward("xpatch.catalogs.field")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(PatchAccessor, name):
            raise AttributeError(
                f".patch.{name} is asked of a field or of patches, and this is a table of files; make the field first: "
                f"table.patch.field(crs=…, resolution=…).patch.{name}(…)"
            )
        raise AttributeError(f"the catalog has no {name!r}; it has field, split and scenes")

    def __repr__(self) -> str:
        files = f"{len(self._obj)} files" if "href" in self._obj else "no catalog"
        return f"<{files}: .field(), .split(geometry), .scenes()>"


class OfTables:
    """The accessor of data frames, which leaves a column, or whatever is kept, under the name ``patch`` alone.

    Frames of patches have such a column, ``patches.to_dataframe("value").reset_index("patch")``; a catalog has none.
    """

    def __get__(self, table: Any, owner: type) -> Any:
        if table is None:
            return CatalogAccessor
        if "patch" in table.__dict__:
            return table.__dict__["patch"]
        return table["patch"] if "patch" in table.columns else CatalogAccessor(table)

    def __set__(self, table: Any, value: Any) -> None:
        if "patch" in table.columns:
            table["patch"] = value
        else:
            table.__dict__["patch"] = value


def register() -> None:
    """Register ``.patch``."""
    pd.api.extensions.register_dataframe_accessor("patch")(CatalogAccessor)
    pd.DataFrame.patch = OfTables()
    xr.register_datatree_accessor("patch")(TreeAccessor)
    xr.register_dataarray_accessor("patch")(PatchAccessor)
    xr.register_dataset_accessor("patch")(PatchAccessor)
