"""Cut: what becomes of one variable when patches are made of it, wherever its data are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpatch.engine.gather import dtype_and_fills, gather, patch_dims
from xpatch.engine.regions import Piece, Span, assembled, within

Finish = Callable[
    [NDArray[Any], Any], NDArray[Any]
]  # patches, and the neighborhoods that they are of


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """Makes patches of an array.

    Parameters
    ----------
    hood : Neighborhood
        All patches, along dimensions of the array.
    dims : tuple of hashable
        Names of the axes of the array.
    dtype, fills
        Of what is gathered, and what slots of each part without a cell hold.
    finish : callable, optional
        What is done to patches, given them and their neighborhoods.
    final : dtype
        Of the patches.
    """

    hood: Any
    dims: tuple[Hashable, ...]
    dtype: np.dtype
    fills: tuple[Any, ...]
    finish: Finish | None
    final: np.dtype

    @classmethod
    def of(
        cls,
        hood: Any,
        dims: Sequence[Hashable],
        dtype: np.dtype,
        finish: Finish | None = None,
        empty: Any = None,
    ) -> Cut:
        """Find the dtype; ``empty`` is what integers hold in empty slots, None: a missing value."""
        own, fills = dtype_and_fills(dtype, hood, empty)
        final = own
        if finish is not None:
            shape = [hood.fine.inner.get(d, 1) for d in patch_dims(hood, dims)]
            nothing = np.empty((0, *shape), own)
            final = finish(nothing, hood.take(np.empty(0, np.int64))).dtype
        return cls(hood, tuple(dims), own, tuple(fills), finish, final)

    @property
    def sizes(self) -> dict[Hashable, int]:
        """In-patch dimensions of the patches and their sizes."""
        sizes: dict[Hashable, int] = self.hood.inner
        return sizes

    @property
    def patch_dims(self) -> tuple[Hashable, ...]:
        """The dims of patches, behind the patch dimension."""
        return patch_dims(self.hood, self.dims)

    @property
    def axes(self) -> tuple[int, ...]:
        """Which axes of the array are cut, in the order of the dims of the neighborhood."""
        return tuple(self.dims.index(d) for d in self.hood.dims)

    def out_of(self, array: NDArray[Any], ordinals: NDArray[Any], threads: int = 1) -> NDArray[Any]:
        """Cut patches out of the whole array."""
        hood, position = self.hood.arranged(ordinals)
        return self._finished(
            gather(array, self.dims, hood.fine, self.dtype, self.fills, threads), hood, position
        )

    def out_of_parts(
        self,
        ordinals: NDArray[Any],
        spans: Sequence[Span],
        fetch: Callable[[Sequence[Piece]], tuple[NDArray[Any], Sequence[int]]],
    ) -> NDArray[Any]:
        """Cut patches out of the parts of the array around them, which ``fetch`` gives."""
        hood, position = self.hood.arranged(ordinals)
        fill = next((f for f in self.fills if f is not None), None)
        region = assembled(spans, self.axes, fetch, fill)
        near = within(hood, spans)
        return self._finished(
            gather(region, self.dims, near.fine, self.dtype, self.fills), hood, position
        )

    def _finished(
        self, out: NDArray[Any], hood: Any, position: NDArray[Any] | None
    ) -> NDArray[Any]:
        if self.finish is not None:
            out = self.finish(out, hood)
        if position is not None:
            back = np.empty_like(position)
            back[position] = np.arange(len(back))
            out = out[back]
        return out.astype(self.final, copy=False)
