"""The ``.patch`` accessor: forwards to the functions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from xpatch import api
from xpatch.domain import Domain
from xpatch.patches.forward import Forward, ForwardProperty
from xpatch.patches.operators import NotTheCoordinate, patch_labels
from xpatch.patches.other_words import no_method

if TYPE_CHECKING:
    from xpatch.multiscale import TreeBatches
    from xpatch.patches.arguments import Scale

__all__ = ["CatalogAccessor", "PatchAccessor", "TreeAccessor", "register"]


class PatchAccessor(NotTheCoordinate):
    """Split a field into patches, and everything that can be asked of patches.

    Registered as ``.patch`` on DataArray and Dataset. The patch *dimension* of an object is
    reached as ``obj["patch"]``; comparing the accessor, or counting with it, raises a TypeError.
    """

    def __init__(self, obj: Any):
        self._obj = obj
        self._known: Any = None  # what was read of a recipe, for further single patches

    def __dir__(self) -> list[str]:
        from xpatch.patches.completion import names_for

        every = [*super().__dir__()]
        public = [n for n in every if not n.startswith("_")]
        return sorted({n for n in every if n.startswith("_")} | names_for(self._obj, public))

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):
            return object.__getattribute__(self, name)  # a property that failed says why
        raise AttributeError(no_method(name, dir(type(self))), name=name, obj=self)

    def __getstate__(self) -> dict[str, Any]:
        return {"_obj": self._obj, "_known": None}

    split = Forward("xpatch.api")
    merge = Forward("xpatch.api")
    apply = Forward("xpatch.run.apply")
    merger = Forward("xpatch.training.merger")
    fit = Forward("xpatch.models.fit")
    pool = Forward("xpatch.models.pool")
    predict = Forward("xpatch.models.predict")
    apart = Forward("xpatch.patches.apart")
    to_features = Forward("xpatch.training.features")
    sets = Forward("xpatch.training.sets")
    folds = Forward("xpatch.training.folds")
    flatten = Forward("xpatch.patches.flat")
    unflatten = Forward("xpatch.patches.flat")
    like = Forward("xpatch.patches.alike")
    batches = Forward("xpatch.run.batches")
    plot = Forward("xpatch.plot")
    quantile = Forward("xpatch.patches.quantile")
    source = Forward("xpatch.training.source")
    footprints = Forward("xpatch.patches.outlines")
    slices = Forward("xpatch.patches.slices")

    domain = ForwardProperty("xpatch.patches.properties")
    anchors = ForwardProperty("xpatch.patches.properties")
    places = ForwardProperty("xpatch.patches.properties")
    weights = ForwardProperty("xpatch.patches.properties")
    mask = ForwardProperty("xpatch.patches.properties")
    distance = ForwardProperty("xpatch.patches.properties")
    geometries = ForwardProperty("xpatch.patches.properties")
    spec = ForwardProperty("xpatch.patches.properties")
    offsets = ForwardProperty("xpatch.patches.offsets")
    edges = ForwardProperty("xpatch.patches.edges")
    area = ForwardProperty("xpatch.patches.area")
    coverage = ForwardProperty("xpatch.patches.coverage")
    lookback = ForwardProperty("xpatch.models.horizon")
    horizon = ForwardProperty("xpatch.models.horizon")

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

    def _anchors_of(self, patcher: Any) -> Any:
        """Answer `Patcher.anchors`, which the field was given to."""
        from xpatch.patches.anchored import anchors_of

        return anchors_of(self._obj, patcher)

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
        from xpatch.patches.summary import summary

        return summary(self._obj)

    def _repr_html_(self) -> str:
        from xpatch.plot.html import card

        return card(self._obj)


class TreeAccessor(NotTheCoordinate):
    """What can be asked of patches of several scales, the nodes of a DataTree.

    Registered as ``.patch`` on DataTree. One scale is an ordinary set of patches:
    ``tree["7D"].to_dataset().patch``.
    """

    def __init__(self, tree: xr.DataTree):
        self._tree = tree

    def _first(self) -> Any:
        from xpatch.multiscale import first_of

        return first_of(self._tree)

    def merge(
        self,
        aggregation: Any = None,
        *,
        like: Any = None,
        skipna: bool | None = None,
        fill_value: Any = None,
        scale: Scale = None,
    ) -> Any:
        """Merge each scale to a field, and these to one. Of a single node, merge that scale.

        Parameters
        ----------
        aggregation : HierarchicalCombine, Aggregation, str or callable, optional
            How scales become one field; or an aggregation for each scale, whose fields are averaged.
            Default: the mean of the scales.
        like : DataArray or Dataset, optional
            The field that was split, for patches that lost their index.
        skipna : bool, optional
            Ignore NaN contributions; default: for dtypes that can hold them.
        fill_value : scalar, optional
            What cells hold that no patch covers; default: NaN, or what stands for missing.
        scale : int, float or mapping, optional
            How many times finer the patches came back; not for several scales.

        Returns
        -------
        DataArray or Dataset
            The field, with its dimensions and coordinates.

        Examples
        --------
        >>> time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
        >>> series = xr.DataArray(np.ones(60), {"time": time}, ("time",), name="t")
        >>> tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
        >>> bool(np.allclose(tree.patch.merge(), series))
        True
        """
        return api.merge(
            self._tree, aggregation, like=like, skipna=skipna, fill_value=fill_value, scale=scale
        )

    def batches(self, batch_size: int, drop_last: bool = False) -> TreeBatches:
        """Walk over the patches of all scales together, in loaded batches.

        Parameters
        ----------
        batch_size : int
            Patches in a batch.
        drop_last : bool, default: False
            Leave out the last batch if it is smaller.

        Returns
        -------
        TreeBatches
            An iterable of DataTrees, with a length.

        Examples
        --------
        >>> time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
        >>> series = xr.DataArray(np.ones(60), {"time": time}, ("time",), name="t")
        >>> tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
        >>> [batch["20"].sizes["patch"] for batch in tree.patch.batches(30)]
        [30, 11]
        """
        from xpatch.multiscale import TreeBatches

        return TreeBatches(self._tree, batch_size, drop_last)

    @property
    def anchors(self) -> xr.Dataset:
        """Where patches are, which is the same for all scales.

        Returns
        -------
        Dataset
            Labels and positions (patch) of the anchors, as of patches of one scale.

        Examples
        --------
        >>> time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
        >>> series = xr.DataArray(np.ones(60), {"time": time}, ("time",), name="t")
        >>> tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
        >>> dict(tree.patch.anchors.sizes), tree.patch.anchors["time"].dt.day.values[0]
        ({'patch': 41}, np.int64(20))
        """
        return self._first().patch.anchors

    @property
    def domain(self) -> Domain:
        """What the patches were cut from.

        Returns
        -------
        Domain
            The finest grid, without values and dimensions.

        Examples
        --------
        >>> time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
        >>> series = xr.DataArray(np.ones(60), {"time": time}, ("time",), name="t")
        >>> tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
        >>> tree.patch.domain.sizes
        {'time': 60}
        """
        return self._first().patch.domain

    @property
    def spec(self) -> dict[str, Any]:
        """The specification of the split as JSON-able values.

        Returns
        -------
        dict
            As of patches of one scale; it has no dimensions.

        Examples
        --------
        >>> time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
        >>> series = xr.DataArray(np.ones(60), {"time": time}, ("time",), name="t")
        >>> tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
        >>> tree.patch.spec["geometry"]["scales"]
        [5, 20]
        """
        return self._first().patch.spec

    def _coordinate(self) -> str:
        return 'those of its nodes, tree[scale]["patch"]'

    def __repr__(self) -> str:
        from xpatch.multiscale import summary

        return summary(self._tree)

    def _repr_html_(self) -> str:
        from xpatch.plot.html import card_of_lines

        return card_of_lines(repr(self))


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
            from xpatch.patches.completion import FIELD

            of = (
                "field(crs=…, resolution=…)"
                if name in FIELD
                else "split(geometry, crs=…, resolution=…)"
            )
            raise AttributeError(
                f".patch.{name} is asked of {'a field' if name in FIELD else 'patches'}, and this is a table of files: "
                f"table.patch.{of}.patch.{name}"
            )
        raise AttributeError(f"the catalog has no {name!r}; it has field, split and scenes")

    def __repr__(self) -> str:
        from xpatch.catalogs.told import summary

        return summary(self._obj)

    def _repr_html_(self) -> str:
        from xpatch.plot.html import card_of_lines

        return card_of_lines(repr(self))


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
