"""`Stream`: whole batches of patches for the DataLoader of torch, read once, shared by ranks and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

try:
    import torch
    import torch.distributed
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    raise ImportError(
        "xpatch.torch needs torch: pip install 'xarray-patch[torch]', or a build for your device"
    ) from error

from xpatch.engine.lazy import apart
from xpatch.patches.index import whole_of, with_variables
from xpatch.run.batches import Batches
from xpatch.run.order import batch_edges
from xpatch.spec import check_flag, is_integer
from xpatch.training.source import make_ready, numeric, own_array, patch_variables

__all__ = ["Stream"]


class Stream(IterableDataset):  # type: ignore[misc,unused-ignore]
    """Whole batches of patches, as dicts of tensors, of which each stored chunk is read once an epoch.

    It goes to torch's loader as it is: ``DataLoader(stream, batch_size=None, num_workers=4)``; with
    another ``batch_size`` the loader would make batches of batches. The chunks are shuffled, their
    order is cut into as many runs as there are ranks and workers, and within its run each mixes
    patches in a buffer.

    Parameters
    ----------
    patches : DataArray or Dataset
        The patches, of one scene or several (`xpatch.concat`); in memory, on disk, or of dask.
    batch_size : int
        Patches in a batch.
    shuffle : bool, default: True
        Another order in each epoch. False: that of the patches, as for validation.
    seed : int, default: 0
        Of the order, together with the epoch; the same on all ranks.
    rank, world : int, optional
        Which process of how many; default: those of ``torch.distributed`` if it is initialized,
        else one alone.
    buffer : int, optional
        How many patches a patch may be moved by within the order of the chunks; default:
        ``16 * batch_size``. About twice as many are in memory in each worker.
    drop_last : bool, default: True
        Leave out what makes no full batch: fewer than ``world * batch_size`` patches, others in
        each epoch of shuffled ones. False: each patch is in one batch, and the last batches of a
        rank may be smaller. In both cases all ranks have equally many batches.
    transform : callable, optional
        What is done to the dict of a batch, in the worker; the tensors may be written to.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, or out of range; if there are not enough patches for a
        batch on each rank; if a variable holds texts or dates.

    See Also
    --------
    DataArray.patch.source : Patches one by one, for samplers and other frameworks.

    Notes
    -----
    A batch has a tensor of each data variable along the patch dimension, patches first, under its
    name (a DataArray without a name: ``"values"``), and the labels under that of the patch
    dimension, ``"patch"``. Dtypes are those of the field.

    Patches that lie across the border of chunks read the chunk behind it, which is kept, up to 512
    MiB over all workers. A chunk in which one run ends and the next one begins is read by both.
    Workers may be forked or spawned: files are opened anew in each, and dask computes without
    threads, which do not come along into a fork.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from xpatch.torch import Stream
    >>> field = xr.DataArray(np.ones((64, 64), "f4"), dims=("y", "x"), name="t")
    >>> patches = field.patch.split(geometry={"y": 8, "x": 8})
    >>> loader = DataLoader(Stream(patches, batch_size=16), batch_size=None)
    >>> len(loader), next(iter(loader))["t"].shape
    (4, torch.Size([16, 8, 8]))
    """

    def __init__(
        self,
        patches: Any,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
        buffer: int | None = None,
        drop_last: bool = True,
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ):
        super().__init__()
        check_flag(shuffle, "shuffle")
        for name, value, least in (("seed", seed, 0), ("buffer", buffer, 1)):
            if name != "buffer" or value is not None:
                _check_count(name, value, least)
        if transform is not None and not callable(transform):
            raise TypeError(
                f"transform must be a function of the dict of a batch, got {transform!r}"
            )
        if (rank is None) != (world is None):
            raise ValueError(
                f"rank and world belong together, got rank={rank!r}, world={world!r}; give both, or none to take "
                "those of torch.distributed"
            )
        if world is not None and rank is not None:
            _check_count("world", world, 1)
            _check_count("rank", rank, 0)
            if rank >= world:
                raise ValueError(f"rank={rank} must be less than world={world}: ranks count from 0")
        whole, self.dim = numeric(patches)
        self.patches = _apart(whole)
        self.names = list(patch_variables(self.patches, self.dim))
        self.batch_size, self.shuffle, self.seed, self.buffer = batch_size, shuffle, seed, buffer
        self.drop_last, self.transform = drop_last, transform
        self.place = None if rank is None or world is None else (int(rank), int(world))
        # shared with workers that live on, which get no other news of their parent
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self.count = int(whole.sizes[self.dim])
        if not len(self._batches()):
            raise ValueError(
                f"{self.count} patches make no batch of batch_size={batch_size}; use a smaller one, or drop_last=False"
            )

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        return len(batch_edges(self.count, self.batch_size, self.drop_last, self._place())) - 1

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "place": self._place()}  # a worker that is spawned has no group

    @property
    def epoch(self) -> int:
        """The epoch that the next walk is of."""
        return int(self._epoch[0])

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch comes next, before each walk: shuffled patches come in another order.

        It reaches workers that live on (``persistent_workers=True``), too.

        Parameters
        ----------
        epoch : int
            Its number, from 0; the same on all ranks.
        """
        _check_count("epoch", epoch, 0)
        self._epoch[0] = int(epoch)

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        if info is None:
            return map(self._given, self._batches())
        make_ready()
        return map(self._given, self._batches((info.id, info.num_workers)))

    def _place(self) -> tuple[int, int]:
        if self.place is not None:
            return self.place
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    def _batches(self, worker: tuple[int, int] = (0, 1)) -> Batches:
        seed, buffer = ((self.seed, self.epoch), self.buffer) if self.shuffle else (None, None)
        return Batches(
            self.patches,
            self.batch_size,
            self.drop_last,
            self.shuffle,
            seed,
            buffer,
            self._place(),
            worker,
        )

    def _given(self, batch: Any) -> Any:
        variables = patch_variables(batch, self.dim)
        found = {
            n: np.moveaxis(v.values, v.get_axis_num(self.dim), 0) for n, v in variables.items()
        }
        found[str(self.dim)] = batch[self.dim].values
        tensors = {n: torch.from_numpy(own_array(values)) for n, values in found.items()}
        return tensors if self.transform is None else self.transform(tensors)


def _apart(patches: Any) -> Any:
    """Give patches that keep chunks of their own, so that two streams can be walked over in turn."""
    whole = whole_of(patches)
    own = {n: v._replace(data=apart(v._data)) for n, v in whole.data_vars.variables.items()}
    return with_variables(patches, own)


def _check_count(name: str, value: Any, least: int) -> None:
    if not is_integer(value):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
