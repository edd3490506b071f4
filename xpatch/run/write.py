"""Write: store a field chunk by chunk, so that a run that was killed can be finished."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
import uuid
import warnings
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

from xpatch.patches.record import made_of
from xpatch.run.cog import is_cog, write_cog
from xpatch.run.packing import check_encoding, tell_scale
from xpatch.run.stores import MARK, RECORD, check_names, check_record, check_same, check_store

__all__ = ["write"]

ATTEMPTS = (
    50  # to begin a store that another process begins at the same time, a tenth of a second each
)
GONE = (KeyError, FileNotFoundError)  # what another process that finishes takes away
UNNAMED = "__xarray_dataarray_variable__"  # as xarray stores a DataArray without a name


def write(
    obj: xr.DataArray | xr.Dataset,
    store: Any,
    *,
    resume: bool = False,
    tag: str | None = None,
    encoding: Mapping[Hashable, Mapping[str, Any]] | None = None,
    zarr_format: int | None = None,
) -> int:
    """Write a field to a zarr store, or to a GeoTIFF, chunk by chunk; finish what an earlier run left.

    The result is that of `xarray.Dataset.to_zarr`, with the chunks of the field. A chunk that is
    there is complete, because zarr puts it in place when it is written. So after a run was killed,
    ``resume=True`` computes the missing chunks only, and only what they need of the source.

    A path that ends in .tif or .tiff becomes a Cloud Optimized GeoTIFF, with overviews. It is there when it
    is complete, and cannot be resumed. Until then the values lie uncompressed in a hidden folder beside it.

    Parameters
    ----------
    obj : DataArray or Dataset
        The field, usually lazy: the result of `merge` or `apply`. Chunks of uneven size are
        rechunked, since those of a store are even.
    store : path or zarr store
        Where to write. It must not exist, unless ``resume``. Of a GeoTIFF a local path.
    resume : bool, default: False
        Finish a store that an earlier call began for the same field; begin if there is none, do
        nothing if it is complete. Several processes may do so at once. Names, dimensions, shapes,
        chunks, dtypes, fill values and attributes are compared, values in memory, the tag, and how
        the field was merged: geometry, sampler, window and aggregation, unless ``obj`` went through
        `dask.persist` or `dask.optimize` and does not tell. Functions are not compared.
    tag : str, optional
        What else the values depend on, such as the version of the model. `write` refuses to
        resume with another one. What a file or a model holds is not compared: give a tag that changes with it.
    encoding, zarr_format
        As for `xarray.Dataset.to_zarr`. Of a GeoTIFF ``encoding`` takes, by variable, ``dtype``, ``scale_factor``,
        ``add_offset`` and ``_FillValue``, without which values are written as they are (rounded, if ``dtype`` is
        one of integers), and options of GDAL's COG
        driver: ``{"b4": {"compress": "ZSTD", "overview_resampling": "MODE"}}``. By default DEFLATE, and
        overviews by the mean of floats, by the nearest cell of others.

    Returns
    -------
    int
        The number of chunks written; to a GeoTIFF, of a field without chunks, that of windows of rows.

    Raises
    ------
    FileExistsError
        If the store exists and ``resume`` is not set; if the GeoTIFF exists.
    TypeError, ValueError
        If the store is not that of this field, was begun with another recipe or tag, or is
        incomplete and not begun by `write`; if it is a file of another format; or what `to_zarr`
        raises for the encoding. Of a GeoTIFF, if the field is no raster of even cells, has more than one dimension
        beside rows and columns, or a dtype that GDAL has not, and for ``resume`` and ``tag``.
    RuntimeError
        If chunks are not in the store after they were written.
    ImportError
        If zarr is missing, or older than 3.1.6.

    Examples
    --------
    >>> import tempfile
    >>> store = tempfile.mkdtemp() + "/field.zarr"
    >>> field = xr.DataArray(np.ones((4, 6)), dims=("y", "x"), name="t").chunk(2)
    >>> merged = field.patch.split(geometry={"y": 2, "x": 3}).patch.merge()
    >>> xpatch.write(merged, store)
    6
    >>> xpatch.write(merged, store, resume=True)
    0

    The tag is kept in the store, with how the field was merged, in a group ``xpatch_write``.

    >>> xpatch.write(merged, store, resume=True, tag="model v2")
    Traceback (most recent call last):
    ...
    ValueError: ... was begun as another field: tag None there, 'model v2' here; ...
    """
    tell_scale(obj)
    if is_cog(store):
        return write_cog(
            obj, store, encoding or {}, resume=resume, tag=tag, zarr_format=zarr_format
        )
    zarr = _zarr()
    check_store(zarr, store)
    if tag is not None and not isinstance(tag, str):
        raise TypeError(f"tag must be text, such as 'model v2', got {tag!r}")
    if isinstance(obj, xr.DataArray):
        obj = obj._to_temp_dataset().rename({_temporary(obj): obj.name or UNNAMED})
    if not isinstance(obj, xr.Dataset):
        raise TypeError(f"write takes a DataArray or a Dataset, got {type(obj).__name__}")
    field = _aligned(obj, encoding or {})
    kwargs = {"encoding": encoding, "zarr_format": zarr_format}
    known = _opened(zarr, store)
    if known is not None and not resume:
        raise FileExistsError(
            f"{store} exists; pass resume=True to finish a run of write that was killed, or remove it"
        )
    model = _model(zarr, field, kwargs)
    lazy = {n: v for n, v in field.variables.items() if v.chunks is not None}
    encoded = {n: _encoded(n, v, model[str(n)]) for n, v in lazy.items()}
    record = {"tag": tag, "merged": {str(n): m for n, v in lazy.items() if (m := made_of(v.data))}}
    how = (zarr_format, kwargs, record, resume)
    group, unfinished = _begun(zarr, field, store, model, *how)
    arrays = {n: group[str(n)].with_config({"write_empty_chunks": True}) for n in lazy}
    missing = {n: _missing(a) for n, a in arrays.items()}
    total = sum(map(len, missing.values()))
    if not unfinished:
        if total:
            raise ValueError(
                f"{store} lacks {total} chunks, but was not begun by xpatch.write: whether the "
                "others are right is unknown. Write to another store, or remove this one"
            )
        _consolidate(zarr, store)  # unless the run was killed right before that
        return 0
    _compute(encoded, arrays, missing)
    _check_written(arrays, store)
    _end(group)
    _consolidate(zarr, store)
    return total


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ImportError("write needs zarr: pip install 'zarr>=3.1.6'") from error
    if not hasattr(zarr.Array, "with_config"):
        raise ImportError(
            "write needs zarr 3.1.6 or later, which puts a chunk in place at once, got "
            f"{zarr.__version__}: pip install 'zarr>=3.1.6'"
        )
    return zarr


def _consolidate(zarr: Any, store: Any) -> None:
    """Put the metadata of all arrays in one place, where that is not done yet."""
    if zarr.open_group(store, mode="r").metadata.consolidated_metadata is not None:
        return
    with warnings.catch_warnings():  # that zarr 3 does not specify consolidated metadata
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store)


def _temporary(obj: xr.DataArray) -> Any:
    return next(iter(obj._to_temp_dataset().data_vars))


def _opened(zarr: Any, store: Any) -> Any:
    """Open a group for reading; None if nothing is there."""
    try:
        return zarr.open_group(store, mode="r", use_consolidated=False)
    except zarr.errors.ContainsArrayError:
        raise ValueError(
            f"{store} holds a zarr array, not a group of arrays; remove it, or write elsewhere"
        ) from None
    except FileNotFoundError:
        return None


def _aligned(field: xr.Dataset, encoding: Mapping[Hashable, Mapping[str, Any]]) -> xr.Dataset:
    """Chunk lazy variables as they will be stored; ``encoding`` replaces their own, as in to_zarr."""
    names = [None if n == UNNAMED else n for n in (*field.data_vars, *field.coords)]
    check_encoding(encoding, names)
    out = field.copy()
    for name, variable in field.variables.items():
        if variable.chunks is None:
            continue
        wanted = encoding.get(name, {})
        sizes = wanted.get("shards") or wanted.get("chunks") or tuple(map(max, variable.chunks))
        even = variable.chunk(dict(zip(variable.dims, sizes, strict=True)))
        drop = ("chunks", "preferred_chunks", "shards")
        packing = encoding.get(name, variable.encoding)
        even.encoding = {k: v for k, v in packing.items() if k not in drop}
        out[name] = even
    return out


def _begun(
    zarr: Any,
    field: xr.Dataset,
    store: Any,
    model: Any,
    zarr_format: int | None,
    kwargs: Any,
    record: Mapping[str, Any],
    resume: bool,
) -> tuple[Any, bool]:
    """Create the store, or what of it an earlier run left out, though others do the same.

    Says as well whether it is unfinished, as it is before chunks are listed: others may finish it.
    """
    errors = zarr.errors
    taken = (errors.ContainsArrayError, errors.ContainsGroupError, FileExistsError, *GONE)
    for attempt in range(ATTEMPTS):
        known = _opened(zarr, store)
        try:
            if known is None or not (resume and _content(known)):
                mode = "a" if resume else "w-"
                group = zarr.open_group(store, mode=mode, zarr_format=zarr_format)
                if not resume:
                    _claim(group)
                config = {"write_empty_chunks": True}
                group.create_array(MARK, shape=(), dtype="u1", config=config)[...] = 0
                _metadata(zarr, field, store, kwargs, record)
            elif MARK in known and not int(known[MARK][...]):
                check_names(field, known)
                check_record(known, store, record)
                _metadata(zarr, field, store, kwargs, record)
            group = zarr.open_group(store, mode="r+", use_consolidated=False)
            unfinished = MARK in group
            check_same(field, group, store, model)
            check_record(group, store, record)
            return group, unfinished
        except taken as error:
            if not resume or attempt == ATTEMPTS - 1:
                raise FileExistsError(
                    f"another call of write begins {store} at this time; pass resume=True to work "
                    "on it together, once it was begun"
                ) from error
            time.sleep(0.1)
    raise AssertionError  # the last attempt raises


def _end(group: Any) -> None:
    """Remove the mark, as others that finish as well may do at the same time."""
    for attempt in range(ATTEMPTS):
        try:
            del group[MARK]
            return
        except KeyError:
            return
        except OSError:  # half removed
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.1)


def _claim(group: Any) -> None:
    """Raise a FileExistsError if another call begins this store: a key is given only once."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    mine = uuid.uuid4().bytes
    path = group.store_path / MARK / "claim"  # goes with the mark
    sync(path.set_if_not_exists(default_buffer_prototype().buffer.from_bytes(mine)))
    found = sync(path.get())
    if found is None or found.to_bytes() != mine:
        raise FileExistsError("another call was first")


def _content(group: Any) -> bool:
    return bool(set(group) or dict(group.attrs))


def _metadata(
    zarr: Any, field: xr.Dataset, store: Any, kwargs: Any, record: Mapping[str, Any]
) -> None:
    """Create the arrays of a store that was begun, and write what is in memory."""
    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    if (record["tag"] is not None or record["merged"]) and RECORD not in group:
        group.create_group(RECORD, attributes={"record": json.dumps(record)})
    options = {"consolidated": False, "write_empty_chunks": True, **kwargs}
    field.to_zarr(store, mode="a", compute=False, **options)
    group[MARK][...] = 1


def _model(zarr: Any, field: xr.Dataset, kwargs: Any) -> Any:
    """Begin the store in memory: what cannot be written fails here, and leaves nothing behind."""
    memory = zarr.storage.MemoryStore()
    field.to_zarr(memory, mode="w-", compute=False, consolidated=False, **kwargs)
    return zarr.open_group(memory, mode="r")


def _encoded(name: Hashable, variable: Variable, array: Any) -> Variable:
    """Encode values as `to_zarr` does, and as the array in the store says."""
    from xarray.backends.zarr import encode_zarr_variable

    variable = variable.copy(deep=False)
    if variable.dtype.kind in "mM" or "units" in variable.encoding:
        variable.encoding |= {k: v for k, v in array.attrs.items() if k in ("units", "calendar")}
        if variable.dtype.kind in "mM":
            variable.encoding["dtype"] = array.dtype
    encoded = encode_zarr_variable(variable, name=name)
    if encoded.dtype != array.dtype:
        raise TypeError(
            f"{name!r} is stored as {array.dtype} but encoded as {encoded.dtype}, which write does "
            "not know; use to_zarr"
        )
    return encoded


def _places(array: Any) -> Iterator[tuple[int, ...]]:
    unit = array.shards or array.chunks
    counts = [-(-n // c) for n, c in zip(array.shape, unit, strict=True)]
    return itertools.product(*map(range, counts))


def _missing(array: Any) -> list[tuple[int, ...]]:
    """List the chunks that are not in the store."""
    from zarr.core.sync import sync

    async def listed() -> set[str]:
        return {key async for key in array.store_path.store.list_prefix(prefix)}

    prefix = f"{array.store_path.path}/" if array.store_path.path else ""
    found = sync(listed())
    key = array.metadata.encode_chunk_key
    return [place for place in _places(array) if prefix + key(place) not in found]


def _check_written(arrays: Mapping[Hashable, Any], store: Any) -> None:
    left = sum(len(_missing(a)) for a in arrays.values())
    if left:
        raise RuntimeError(
            f"{store} lacks {left} chunks after all were written: the workers wrote into copies of "
            "it, as of a MemoryStore in other processes. Write to a path that all of them reach, or "
            "with dask.config.set(scheduler='threads')"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Put:
    """Writes one chunk."""

    region: tuple[slice, ...]

    def __call__(self, array: Any, block: NDArray) -> bool:
        array[self.region] = np.asarray(block)
        return True


def _compute(
    variables: Mapping[Hashable, Variable], arrays: Mapping[Hashable, Any], missing: Mapping
) -> None:
    """Compute and write the missing chunks of all variables in one run.

    The keys of a run are its own: others may write by the same scheduler at the same time.
    """
    import dask.array as da
    from dask.base import compute_as_if_collection

    from xpatch.engine.graph import layered

    run = f"xpatch-write-{uuid.uuid4().hex}"
    graph: dict[Any, Any] = {}
    keys = []
    for k, (name, variable) in enumerate(variables.items()):
        data = variable.data
        target = (f"{run}-store-{k}",)
        graph[target] = arrays[name]
        bounds = [np.concatenate([[0], np.cumsum(c)]).tolist() for c in data.chunks]
        for place in missing[name]:
            region = tuple(slice(b[i], b[i + 1]) for b, i in zip(bounds, place, strict=True))
            key = (f"{run}-{k}", *place)
            graph[key] = (Put(region), target, (data.name, *place))
            keys.append(key)
    if keys:
        sources = [v.data for v in variables.values()]
        graph[f"{run}-end"] = (all, keys)  # one end, as when dask stores arrays
        layers = layered(run, graph, sources)
        compute_as_if_collection(da.Array, layers, [f"{run}-end"])
