"""The ``.patch`` accessor of a DataTree, whose nodes are patches of several scales."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from xpatch import api
from xpatch.domain import Domain
from xpatch.patches.operators import NotTheCoordinate

if TYPE_CHECKING:
    from xpatch.multiscale import TreeBatches

__all__ = ["TreeAccessor"]


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
        scale: int | Mapping[Hashable, int] | None = None,
    ) -> Any:
        """Merge each scale to a field, and these to one; see `HierarchicalCombine` and `xpatch.merge`.

        Of a single node, merge that scale.

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
        """Where patches are, which is the same for all scales; see `properties.anchors`."""
        return self._first().patch.anchors

    @property
    def domain(self) -> Domain:
        """What the patches were cut from."""
        return self._first().patch.domain

    @property
    def spec(self) -> dict[str, Any]:
        """The specification of the split as JSON-able values."""
        return self._first().patch.spec

    def _coordinate(self) -> str:
        return 'those of its nodes, tree[scale]["patch"]'

    def __repr__(self) -> str:
        from xpatch.multiscale import summary

        return summary(self._tree)
