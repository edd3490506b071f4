"""`apply`: arrays of any library come back as fields, batches are full; fields on arrays of other libraries."""

from __future__ import annotations

import threading

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray.core import indexing

import xpatch
from xpatch.run.full import runs_of, shares_of

CUT = {"geometry": {"y": 6, "x": 5}, "sampler": xpatch.RegularStride(y=3, x=4)}
CLASSES = {"output_dims": ("patch", "class", "y", "x"), "output_coords": {"class": ["no", "yes"]}}


class Boxed:
    """An array that another library holds, and gives away when NumPy asks."""

    def __init__(self, values):
        self._values = np.asarray(values)
        self.shape, self.dtype, self.ndim = (
            self._values.shape,
            self._values.dtype,
            self._values.ndim,
        )

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype)


class Packed:
    """An array that is exchanged by DLPack alone."""

    def __init__(self, values):
        self._values = np.ascontiguousarray(values)
        self.shape = self._values.shape

    def __dlpack__(self, **kwargs):
        return self._values.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


class Sparse:
    """An array that refuses to be made dense unasked."""

    def __init__(self, values):
        self._values = np.asarray(values)
        self.shape = self._values.shape

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("cannot convert to dense automatically")

    def todense(self):
        return self._values


class Duck(Boxed):
    """What xarray takes as data."""

    def __array_function__(self, func, types, args, kwargs):
        plain = [np.asarray(a) if isinstance(a, Duck) else a for a in args]
        return Duck(func(*plain, **kwargs))

    def __array_ufunc__(self, ufunc, method, *args, **kwargs):
        plain = [np.asarray(a) if isinstance(a, Duck) else a for a in args]
        return Duck(getattr(ufunc, method)(*plain, **kwargs))

    def __getitem__(self, key):
        return Duck(self._values[key])


class Quantity(Duck):
    """An array with units of its own."""

    units = "meter"

    @property
    def magnitude(self):
        return self._values


def field(dtype="f4"):
    values = np.random.default_rng(0).random((3, 17, 22)) * 100
    coords = {"band": list("rgb"), "y": np.arange(17.0), "x": np.arange(22.0)}
    attrs = {"units": "K", "_FillValue": 7}
    return xr.DataArray(values.astype(dtype), coords, ("band", "y", "x"), name="t", attrs=attrs)


def put(obj, kind, folder):
    """Give a field in memory, on dask, or on disk."""
    if kind == "dask":
        return obj.chunk(y=7, x=9)
    if kind == "disk":
        obj.drop_attrs().to_netcdf(folder / "field.nc", engine="scipy")
        return xr.open_dataset(folder / "field.nc", engine="scipy", chunks=None)[obj.name]
    return obj


KINDS = pytest.mark.parametrize("kind", ["numpy", "dask", "disk"])


# ---------------------------------------------------------------------------------------- arrays


@KINDS
@pytest.mark.parametrize("library", [np.asarray, Boxed, Packed, Sparse])
def test_arrays_of_any_library_with_new_dimensions(kind, library, tmp_path):
    def net(p):
        mean = p.values.mean(1)
        return library(np.stack([1 - mean, mean], 1))

    merged = put(field(), kind, tmp_path).patch.apply(net, **CLASSES, **CUT, batch_size=4)
    assert (merged.chunks is not None) == (kind == "dask")
    assert merged.dims == ("class", "y", "x")
    assert merged["class"].values.tolist() == ["no", "yes"]
    assert merged.attrs == {}  # kelvin, and the number for missing, are not those of probabilities
    np.testing.assert_allclose(merged.sel({"class": "yes"}), field().mean("band"), rtol=1e-5)
    xr.testing.assert_equal(merged["y"], field()["y"])


@KINDS
@pytest.mark.parametrize("form", ["array", "dict", "named"])
def test_zeros_of_a_model_are_values_whatever_the_field_says(kind, form, tmp_path):
    """Oracle: the mean of the masks of all windows, counted by NumPy."""
    numbers = np.random.default_rng(1).integers(1, 99, (12, 12)).astype("u2")
    attrs = {"_FillValue": 0, "scale_factor": 0.1, "flag_values": [0, 1], "units": "1"}
    source = put(xr.DataArray(numbers, dims=("y", "x"), name="t", attrs=attrs), kind, tmp_path)

    def bright(p):
        mask = (p.values > p.values.mean((1, 2), keepdims=True)).astype("u1")
        return {"m": mask} if form == "dict" else mask

    words = {"output_dims": ("patch", "y", "x")} if form == "named" else {}
    out = source.patch.apply(
        bright, 6, sampler=xpatch.RegularStride(3), aggregation="mean", **words
    )
    out = out["m"] if form == "dict" else out
    total, count = np.zeros((12, 12)), np.zeros((12, 12))
    for y, x in np.ndindex(3, 3):
        at = np.s_[3 * y : 3 * y + 6, 3 * x : 3 * x + 6]
        total[at] += numbers[at] > numbers[at].mean()
        count[at] += 1
    np.testing.assert_allclose(out, total / count)
    assert out.attrs == {}


def test_dimensions_that_stay_keep_their_labels():
    merged = field().patch.apply(
        lambda p: np.moveaxis(p.values, 1, 3), output_dims=("patch", "y", "x", "band"), **CUT
    )
    xr.testing.assert_allclose(merged, field().drop_attrs())
    assert merged["band"].values.tolist() == ["r", "g", "b"]
    other = field().patch.apply(
        lambda p: p.values[:, :2], output_dims=("patch", "band", "y", "x"), **CUT
    )
    assert "band" not in other.coords  # which two?


@KINDS
def test_a_dict_of_arrays_is_a_dataset(kind, tmp_path):
    def net(p):
        values = p.values
        return {
            "same": Boxed(values),
            "top": values.max(1).argmax(1),
            "mean": values.mean((1, 2, 3)),
        }

    merged = put(field(), kind, tmp_path).patch.apply(
        net, output_dims={"top": ("patch", "x")}, geometry={"y": 17, "x": 11}
    )
    assert list(merged.data_vars) == ["same", "top", "mean"]
    np.testing.assert_array_equal(merged["same"], field())
    rows = field().max("band").argmax("y")
    assert (merged["top"] == rows).all()
    left = field().isel(x=slice(11)).mean()
    np.testing.assert_allclose(merged["mean"].isel(x=slice(11)), left, rtol=1e-5)


def test_variables_of_a_dataset_make_one_array():
    both = xr.Dataset({"a": field("f8"), "b": field("f8")[0] * 2})
    merged = both.patch.apply(
        lambda p: (p["a"].sum("band") + p["b"]).values, output_dims=("patch", "y", "x"), **CUT
    )
    np.testing.assert_allclose(merged, both["a"].sum("band") + both["b"])


@pytest.mark.parametrize(
    ("func", "options", "error", "message"),
    [
        (lambda p: p.values[:, :1], {}, ValueError, r"output_dims=\('patch', 'class', 'y', 'x'\)"),
        (lambda p: p.values, {"output_dims": ("patch", "y", "x")}, ValueError, "4 dimensions, but"),
        (lambda p: p.values, {"output_dims": "patch"}, TypeError, "must be a tuple"),
        (lambda p: p.values, {"output_dims": ("y", "x")}, ValueError, "must name 'patch'"),
        (lambda p: p.values, {"output_dims": ("patch", "y", "y")}, ValueError, "each dim"),
        (
            lambda p: p,
            {"output_dims": ("patch", "b", "y", "x")},
            TypeError,
            "leave output_dims out",
        ),
        (lambda p: p.values, {"output_coords": {"class": [1]}}, ValueError, "new dimensions"),
        (
            lambda p: p.values,
            CLASSES,
            ValueError,
            "2 labels 'class' along 'class', but func returned an array of shape",
        ),
        (
            lambda p: p.values,
            CLASSES | {"output_coords": {"season": [1]}},
            ValueError,
            "'season' has dims",
        ),
        (lambda p: p.values[1:], CLASSES | {"output_coords": None}, ValueError, "patches for"),
        (lambda p: (p.values, p.values), {}, TypeError, "got tuple"),
        (lambda p: {"a": "b"}, {}, TypeError, "'a' is no array, but str"),
        (lambda p: {}, {}, ValueError, "empty dict"),
        (lambda p: Quantity(p.values), {}, TypeError, "quantity in meter"),
        (lambda p: p.copy(data=Quantity(p.values)), {}, TypeError, "quantity in meter"),
    ],
)
def test_arrays_that_cannot_be_placed(func, options, error, message):
    with pytest.raises(error, match=message):
        field().patch.apply(func, **options, **CUT)


def test_one_array_of_a_dataset_needs_names():
    both = xr.Dataset({"a": field(), "b": field()})
    with pytest.raises(ValueError, match="patches of a Dataset; name its dimensions"):
        both.patch.apply(lambda p: p["a"].values, **CUT)


# --------------------------------------------------------------------------------------- batches


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 30))
@settings(deadline=None, max_examples=50)
def test_runs_are_whole_batches_and_hold_every_patch_once(blocks, batch):
    runs = runs_of(blocks, batch)
    assert sum(runs) == sum(blocks)
    assert all(n % batch == 0 for n in runs[:-1])
    ends = np.cumsum(blocks)
    for wanted, other in ((runs, blocks), (blocks, runs)):
        edges = np.concatenate([[0], np.cumsum(other)])
        taken = [
            k
            for own in shares_of(wanted, other)
            for s in own
            for k in range(edges[s.source] + s.low, edges[s.source] + s.high)
        ]
        assert taken == list(range(ends[-1]))
    left = [s.size - s.high for own in shares_of(runs, blocks) for s in own]
    assert all(n < batch for n in left)  # what waits for the next block is less than a batch


@KINDS
@pytest.mark.parametrize("batch", [1, 4, 7, 1000])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_batches_are_full(kind, batch, on_error, tmp_path, monkeypatch):
    from xpatch.run import application as applying

    monkeypatch.setattr(applying, "BLOCK_BYTES", 1 << 12)  # some patches
    sizes, seen, lock = [], [], threading.Lock()

    def net(p):
        with lock:
            sizes.append(p.sizes["patch"])
            seen.extend(p["patch"].values.tolist())
        return p.values.max(1)

    source = put(field(), kind, tmp_path)
    cut = {"output_dims": ("patch", "y", "x"), "aggregation": "median", **CUT}
    template = xr.DataArray(np.zeros((1, 6, 5), "f4"), dims=("patch", "y", "x"))
    merged = source.patch.apply(
        net, batch_size=batch, on_error=on_error, template=template, **cut
    ).compute()
    np.testing.assert_array_equal(merged, field().max("band"))
    count = field().patch.split(**CUT).sizes["patch"]
    whole, rest = divmod(count, batch)
    assert sorted(sizes, reverse=True) == [batch] * whole + [rest] * (rest > 0)
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("batch", [5, 40])
def test_full_batches_compute_a_chunk_once_and_keep_a_row(batch):
    import collections

    counts, lock = collections.Counter(), threading.Lock()

    def look(block, block_info=None):
        if block_info:
            with lock:
                counts[tuple(block_info[0]["chunk-location"])] += 1
        return block

    values = np.random.default_rng(0).random((80, 48), "f4")
    chunked = da.map_blocks(look, da.from_array(values, chunks=8), dtype="f4")
    source = xr.DataArray(chunked, dims=("y", "x"))
    axes = {"geometry": {"y": 4, "x": 4}, "sampler": xpatch.RegularStride(2)}
    merged = source.patch.apply(lambda p: p, batch_size=batch, aggregation="mean", **axes)
    held, most = collections.Counter(), collections.Counter()

    class Watch(dask_callback()):
        def _posttask(self, key, result, dsk, state, worker_id):
            held.clear()
            kinds = [k[0].split("-")[1] for k in state["cache"] if isinstance(k, tuple)]
            held.update(kinds)
            for kind, n in held.items():
                most[kind] = max(most[kind], n)

    with Watch():
        found = merged.compute(scheduler="synchronous", optimize_graph=False)
    np.testing.assert_allclose(found, values, rtol=1e-6)
    assert set(counts.values()) == {1}
    assert most["split"] <= 2 * 6  # of sixty blocks, of which a row has six


@pytest.mark.parametrize("aggregation", ["first", "mode"])
def test_a_field_on_disk_is_not_kept(aggregation, monkeypatch):
    """Of a tall field the stored chunks of a row of blocks are kept, and no large block for modes."""
    import tracemalloc

    from tests.test_batches import Disk
    from xpatch.run import application as applying

    class Copied(Disk):
        def _read(self, key):
            return np.array(super()._read(key))

    monkeypatch.setattr(applying, "BLOCK_BYTES", 1 << 20)
    disk = Copied(np.arange(32768 * 64, dtype="f8").reshape(32768, 64) % 251, 64)  # 16 MiB
    field = xr.DataArray(xr.Variable(("y", "x"), indexing.LazilyIndexedArray(disk)))
    field.encoding = {"preferred_chunks": {"y": 64, "x": 64}}
    tracemalloc.start()
    out = field.patch.apply(
        lambda p: p.astype("u1"), geometry={"y": 64, "x": 64}, aggregation=aggregation, batch_size=3
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(disk.reads.values()) == {1}
    np.testing.assert_array_equal(out[::5000], disk.values[::5000])
    assert peak - out.nbytes < 9 << 20  # of 16 that are on disk


def dask_callback():
    from dask.callbacks import Callback

    return Callback


# ------------------------------------------------------------- fields on arrays of other libraries


@pytest.mark.parametrize("chunked", [False, True])
def test_fields_on_other_arrays_are_cut_as_those_of_numpy(chunked):
    values = np.random.default_rng(0).random((17, 22))
    place = Duck(np.add.outer(np.arange(17.0), np.arange(22.0)))
    data = Duck(values)
    if chunked:
        data = da.from_array(values, chunks=8).map_blocks(Duck, meta=Duck(np.empty((0, 0))))
    source = xr.DataArray(data, {"lat": (("y", "x"), place)}, ("y", "x"), name="t", attrs={"a": 1})
    assert isinstance(source["lat"].data, Duck)
    known = xr.DataArray(
        values, {"lat": (("y", "x"), np.asarray(place))}, ("y", "x"), attrs={"a": 1}
    )
    patches, expected = source.patch.split(**CUT), known.patch.split(**CUT)
    xr.testing.assert_allclose(patches.compute().sortby("patch"), expected)
    xr.testing.assert_allclose(patches.patch.merge().compute(), known)
    batches = xr.concat(list(patches.patch.batches(7)), "patch")
    np.testing.assert_array_equal(batches.sortby("patch").values, expected.values)
    doubled = source.patch.apply(lambda p: p * 2, batch_size=4, **CUT)
    xr.testing.assert_allclose(doubled.compute(), known * 2)
    ds = source.to_dataset().patch.split(**CUT).patch.merge().compute()
    xr.testing.assert_allclose(ds["t"], known)


def test_patches_on_other_arrays_merge():
    known = field().drop_attrs()
    patches = known.patch.split(**CUT)
    xr.testing.assert_allclose(patches.copy(data=Duck(patches.values)).patch.merge(), known)
    merged = known.patch.apply(lambda p: p.copy(data=Duck(p.values)), **CUT)
    xr.testing.assert_allclose(merged, known)


def test_units_of_arrays_are_not_lost():
    source = xr.DataArray(Quantity(np.ones((6, 10))), dims=("y", "x"), name="t")
    calls = [
        lambda: source.patch.split(**CUT),
        lambda: source.to_dataset().patch.split(**CUT),
        lambda: source.patch.apply(lambda p: p, **CUT),
        lambda: (
            (p := field()[0].patch.split(**CUT)).copy(data=Quantity(p.values)).patch.merge("mean")
        ),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"quantity in meter.*pint\.dequantify"):
            call()


def test_pint():
    pytest.importorskip("pint_xarray")
    source = field("f8").assign_attrs(units="kelvin")
    with pytest.raises(TypeError, match="dequantify"):
        source.pint.quantify().patch.split(**CUT)
    plain = source.pint.quantify().pint.dequantify()
    back = plain.patch.split(**CUT).patch.merge().pint.quantify()
    assert str(back.pint.units) == "kelvin"


def test_sparse():
    sparse = pytest.importorskip("sparse")
    values = np.where(np.arange(374.0).reshape(17, 22) % 5 == 0, 1.0, 0.0)
    source = xr.DataArray(sparse.COO(values), dims=("y", "x"))
    np.testing.assert_array_equal(source.patch.split(**CUT).patch.merge("max"), values)
    out = source.patch.apply(lambda p: sparse.COO(p.values), **CUT)
    np.testing.assert_array_equal(out, values)


def test_jax():
    jnp = pytest.importorskip("jax.numpy")
    source = field().copy(data=jnp.asarray(field().values))
    xr.testing.assert_allclose(source.patch.split(**CUT).patch.merge(), field())
    half = source.patch.apply(lambda p: jnp.asarray(p.values, jnp.bfloat16), **CUT)
    assert half.dtype == "f4"
    np.testing.assert_allclose(half, field(), rtol=1e-2)


def test_arrays_of_one_dict_lie_on_one_grid():
    field = xr.DataArray(np.ones((16, 16)), dims=("y", "x"))
    dims = ("patch", "y", "x")
    with pytest.raises(
        ValueError, match=r"'coarse' has 2 cells along 'y', and others 8.*scale each"
    ):
        xpatch.apply(
            field,
            lambda p: {"fine": p.values, "coarse": p.values[:, ::4, ::4]},
            {"y": 8, "x": 8},
            output_dims={"fine": dims, "coarse": dims},
        )


def test_dims_of_an_array_that_is_not_returned():
    field = xr.DataArray(np.zeros((4, 4)), dims=("y", "x"))
    with pytest.raises(KeyError, match=r"dimensions of 'lable', but func returned \['label'\]"):
        field.patch.apply(
            lambda p: {"label": p.values},
            geometry={"y": 2, "x": 2},
            output_dims={"lable": ("patch", "y", "x")},
        )
