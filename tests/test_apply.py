"""`.patch.apply`: the same field as split, func and merge, in bounded memory."""

from __future__ import annotations

import pickle
import warnings

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch

CUT = {"geometry": {"y": 6, "x": 5}, "sampler": xpatch.RegularStride(y=3, x=4)}
HANN = xpatch.OverlapAdd("hann")


def double(patches):
    return patches * 2


def field(dtype="f4", bands=None):
    shape = (17, 22) if bands is None else (bands, 17, 22)
    values = np.random.default_rng(0).random(shape) * 100
    coords = {"y": np.arange(17.0), "x": np.arange(22.0)}
    dims = ("y", "x") if bands is None else ("band", "y", "x")
    return xr.DataArray(values.astype(dtype), coords, dims, name="t", attrs={"units": "K"})


@pytest.fixture(params=["numpy", "dask", "disk"])
def kind(request, tmp_path):
    """Give a function that puts a field where the test wants it."""

    def put(obj):
        if request.param == "dask":
            return obj.chunk(dict.fromkeys(obj.dims, 7))
        if request.param == "disk":
            obj.to_netcdf(tmp_path / "field.nc", engine="scipy")
            out = xr.open_dataset(tmp_path / "field.nc", engine="scipy", chunks=None)
            return out[obj.name] if isinstance(obj, xr.DataArray) else out
        return obj

    put.name = request.param
    return put


@pytest.mark.parametrize("batch_size", [None, 1, 4, 1000])
def test_apply_is_split_func_merge(kind, batch_size):
    source = kind(field())
    merged = source.patch.apply(double, aggregation=HANN, batch_size=batch_size, **CUT)
    expected = double(field().patch.split(**CUT)).patch.merge(HANN)
    assert (merged.chunks is not None) == (kind.name == "dask")
    xr.testing.assert_allclose(merged.compute(), expected)
    assert merged.name == "t"
    assert merged.dtype == "f4"


def test_every_patch_is_seen_once_in_batches_of_at_most_the_size(kind):
    seen, sizes = [], []

    def model(patches):
        seen.extend(patches["patch"].values.tolist())
        sizes.append(patches.sizes["patch"])
        return patches

    kind(field()).patch.apply(model, batch_size=3, **CUT).compute()
    assert sorted(seen) == list(range(len(set(seen))))
    assert max(sizes) <= 3


def test_func_gets_loaded_labeled_patches(kind):
    def model(patches):
        assert patches.chunks is None
        assert patches.variable._in_memory
        assert patches.dims == ("patch", "y", "x")
        assert patches["y"].dims == ("patch", "y")
        assert patches.attrs == {"units": "K"}
        assert patches.name == "t"
        return patches + patches["y"] + patches.patch.mask * 0

    source = field("f8")
    merged = kind(source).patch.apply(model, geometry={"y": 4, "x": 5})
    xr.testing.assert_allclose(merged.compute(), source + source["y"])


def test_func_may_return_other_dims_dtype_and_several_variables(kind):
    source = field(bands=3)

    def model(patches):
        return xr.Dataset(
            {
                "sum": patches.sum("band"),
                "code": (patches.max("band") > 50)
                .astype("i2")
                .expand_dims(level=[10, 20], axis=-1),
                "mean": patches.mean(("band", "y", "x")),
            }
        )

    merged = kind(source).patch.apply(model, geometry={"y": 17, "x": 11}).compute()
    xr.testing.assert_allclose(merged["sum"], source.sum("band"))
    assert merged["code"].dtype == "i2"
    assert merged["code"].sizes["level"] == 2
    assert merged["level"].values.tolist() == [10, 20]
    left = source.isel(x=slice(0, 11)).mean()
    np.testing.assert_allclose(merged["mean"].isel(x=slice(0, 11)), left, rtol=1e-5)


def test_crop_and_scale(kind):
    source = field("f8")
    close = {"geometry": {"y": 6, "x": 5}, "sampler": xpatch.RegularStride(3)}
    cropped = kind(source).patch.apply(lambda p: p.patch.crop(y=1, x=1), **close)
    inner = cropped.compute()
    xr.testing.assert_allclose(inner[1:-1, 1:-1], source[1:-1, 1:-1])
    assert inner[0].isnull().all()
    by_labels = kind(source).patch.apply(lambda p: p.isel(y=slice(1, -1), x=slice(1, -1)), **close)
    xr.testing.assert_identical(by_labels.compute(), inner)

    def finer(patches):
        dims = ("patch", "y", "x")
        return xr.DataArray(
            patches.values.repeat(2, 1).repeat(2, 2), {"patch": patches["patch"]}, dims
        )

    fine = kind(source).patch.apply(finer, geometry={"y": 5, "x": 5}, scale={"y": 2, "x": 2})
    np.testing.assert_allclose(fine.values, source.values.repeat(2, 0).repeat(2, 1))


def test_arrays_are_taken_as_they_are_shaped(kind):
    source = kind(field())
    same = source.patch.apply(lambda p: p.values + 1, **CUT)
    xr.testing.assert_allclose(same.compute(), field() + 1)
    painted = source.patch.apply(lambda p: p.values.max((1, 2)), geometry={"y": 17, "x": 22})
    assert (painted == field().max()).all()


def test_dataset_with_carried_and_partly_cut_variables(kind):
    ds = xr.Dataset({"t": field("f8"), "row": ("y", np.arange(17.0)), "scale": 3.0})
    merged = kind(ds).patch.apply(lambda p: p.assign(t=p["t"] * p["scale"] + p["row"]), **CUT)
    assert set(merged.data_vars) == {"t", "row", "scale"}
    xr.testing.assert_allclose(merged["t"].compute(), ds["t"] * 3 + ds["row"])
    xr.testing.assert_allclose(merged["row"].compute(), ds["row"])


def carrying():
    """Give a field with coordinates that are not cut: 1-D, scalar, of space where time is cut."""
    coords = {
        "y": np.arange(17.0),
        "x": np.arange(22.0),
        "band": [1, 2, 3],
        "w": ("band", [0.5, 0.25, 0.125]),
        "crs": 4326,
        "lat": (("y", "x"), np.random.default_rng(1).random((17, 22))),
    }
    return field(bands=3).assign_coords(coords)


def chunked_throughout(obj):
    """Chunk coordinates as well, as `xr.open_zarr` does."""
    for name in ("w", "crs", "lat"):
        obj = obj.assign_coords({name: obj[name].variable.chunk()})
    return obj.chunk(7)


@pytest.mark.parametrize("geometry", [{"y": 6, "x": 5}, {"band": 2}], ids=str)
def test_chunked_coordinates_that_are_not_cut_keep_their_values(geometry):
    source = carrying()
    merged = chunked_throughout(source).patch.apply(lambda p: p + p["w"], geometry=geometry)
    xr.testing.assert_allclose(merged.compute(), source + source["w"])
    xr.testing.assert_equal(merged.coords.to_dataset().compute(), source.coords.to_dataset())


@pytest.mark.parametrize("change", [lambda w: w * 2, lambda w: w[:1]])
def test_a_chunked_coordinate_cannot_be_changed_unseen(change):
    source = chunked_throughout(carrying())

    def model(patches):
        out = patches.isel(band=slice(change(patches["w"]).sizes["band"]))
        return out.assign_coords(w=change(patches["w"].variable))

    with pytest.raises(ValueError, match="changed the coordinate 'w', which is chunked"):
        source.patch.apply(model, **CUT)
    loaded = source.assign_coords(w=source["w"].compute())
    merged = loaded.patch.apply(model, **CUT)
    np.testing.assert_array_equal(merged["w"], change(carrying()["w"]))


def test_what_is_the_same_for_all_patches_needs_no_patch_dimension(kind):
    ds = xr.Dataset({"t": field("f8"), "scale": 3.0})

    def model(patches):
        out = patches.assign(scale=patches["scale"] + 1)
        out["t"] = out["t"].expand_dims(level=[10, 20]).quantile(0.5, "level")
        out["t"] = out["t"].expand_dims(channel=2)
        return out.assign_coords(channel=["a", "b"], weight=("channel", [1.0, 2.0]))

    merged = kind(ds).patch.apply(model, **CUT).compute()
    assert merged["scale"] == 4
    assert merged["quantile"] == 0.5
    assert merged["channel"].values.tolist() == ["a", "b"]
    assert merged["weight"].values.tolist() == [1, 2]
    xr.testing.assert_allclose(
        merged["t"].isel(channel=0, drop=True).drop_vars("quantile"), ds["t"]
    )

    def changing(patches):
        return patches.assign(scale=patches["t"].sum())

    with pytest.raises(ValueError, match="another 'scale' for the patches"):
        kind(ds).patch.apply(changing, **CUT).compute()


def test_shuffled_patches_are_put_back_by_label(kind):
    merged = kind(field()).patch.apply(lambda p: p.isel(patch=slice(None, None, -1)), **CUT)
    xr.testing.assert_allclose(merged.compute(), field())


def test_func_that_cannot_take_no_patches(kind):
    def model(patches):
        assert patches.sizes["patch"]
        return patches

    xr.testing.assert_allclose(kind(field()).patch.apply(model, **CUT).compute(), field())


def test_with_a_template_func_is_called_for_patches_only(kind):
    sizes = []

    def model(patches):
        sizes.append(patches.sizes["patch"])
        return patches.max(("y", "x"))

    template = xr.DataArray(np.zeros(1, "f4"), dims="patch")
    merged = kind(field()).patch.apply(model, geometry={"y": 17, "x": 22}, template=template)
    assert (merged.compute() == field().max()).all()
    assert sizes == [1] or (kind.name == "dask" and all(sizes))


@pytest.mark.parametrize("window", [None, "hann"])
@pytest.mark.parametrize("dtype", ["i2", "i4"])
def test_integers_that_are_padded_with_a_constant(kind, monkeypatch, dtype, window):
    from xpatch.run import application as applying

    monkeypatch.setattr(applying, "BLOCK_BYTES", 1 << 8)
    geometry = xpatch.Rectangular(y=4, x=4, boundary="pad", pad_mode="constant")
    options = {"geometry": geometry, "sampler": xpatch.RegularStride(2), "window": window}
    dtypes = set()

    def model(patches):
        dtypes.add(patches.dtype)
        return patches

    merged = kind(field(dtype)).patch.apply(model, **options).compute()
    expected = field(dtype).patch.split(**options)
    assert dtypes == {expected.dtype}
    xr.testing.assert_allclose(merged, expected.patch.merge())


# ------------------------------------------------------------------------------- failures


def broken(patches):
    if 2 in patches["patch"].values:
        raise RuntimeError("out of order")
    return patches


TILES = {"geometry": {"y": 6, "x": 5}, "sampler": xpatch.RegularStride(), "batch_size": 2}


def where_patch_2_lies():
    patches = field().patch.split(geometry=TILES["geometry"])
    hole = patches.isel(patch=slice(2, 3)).patch.merge("count") > 0
    rest = patches.isel(patch=patches["patch"] != 2).patch.merge("count") > 0
    return hole & ~rest


def test_an_error_goes_on_and_names_the_patches(kind):
    with pytest.raises(RuntimeError, match="out of order") as caught:
        kind(field()).patch.apply(broken, **TILES).compute()
    assert "with labels" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_failed_patches_are_missing(kind, dtype):
    with pytest.warns(xpatch.PatchFailure, match=r"1 patches \(2\): RuntimeError: out of order"):
        merged = kind(field(dtype)).patch.apply(broken, on_error="nan", **TILES).compute()
    assert (merged.isnull() == where_patch_2_lies()).all()
    xr.testing.assert_allclose(merged, field(dtype).where(~where_patch_2_lies()))


@pytest.mark.parametrize("aggregation", [HANN, "mean", "max", "median", "first", "count"], ids=str)
def test_skipped_patches_were_never_sampled(kind, aggregation):
    options = {"aggregation": aggregation, "fill_value": -1, "skipna": False}
    patches = field().patch.split(**CUT)
    kept = patches.isel(patch=patches["patch"] != 2)
    expected = kept.patch.merge(aggregation, fill_value=-1, skipna=False)
    with pytest.warns(xpatch.PatchFailure) as caught:
        merged = (
            kind(field())
            .patch.apply(broken, on_error="skip", batch_size=4, **CUT, **options)
            .compute()
        )
    xr.testing.assert_allclose(merged, expected)
    failures = [w.message.failures for w in caught if isinstance(w.message, xpatch.PatchFailure)]
    assert failures == [{2: "RuntimeError: out of order"}]


def test_patches_are_tried_again_as_they_were(kind):
    def model(patches):
        patches *= 2
        return broken(patches)

    with pytest.warns(xpatch.PatchFailure):
        merged = kind(field()).patch.apply(model, on_error="nan", **TILES).compute()
    xr.testing.assert_allclose(merged, field().where(~where_patch_2_lies()) * 2)


def test_the_first_patch_may_fail(kind):
    def model(patches):
        assert patches.sizes["patch"]
        if 0 in patches["patch"] or not patches.values.any():
            raise RuntimeError("does not converge")
        return patches.max(("y", "x"))

    options = {"geometry": {"y": 6, "x": 5}, "on_error": "nan"}
    if kind.name == "dask":
        with pytest.raises(RuntimeError) as caught:
            kind(field()).patch.apply(model, **options)
        (note,) = caught.value.__notes__
        assert "one patch of zeros" in note
        assert "pass template=" in note
        assert "on_error='nan' comes after that" in note
        options["template"] = xr.DataArray(np.zeros(1, "f4"), dims="patch")
    with pytest.warns(xpatch.PatchFailure, match="1 patches"):
        merged = kind(field()).patch.apply(model, **options).compute()
    assert merged.isnull().any()
    assert (merged.isel(y=slice(6, None)) > 50).all()


def test_nothing_is_warned_of_when_nothing_fails(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(field()).patch.apply(double, on_error="skip", **CUT).compute()


def test_a_failure_can_be_sent():
    failure = xpatch.PatchFailure({3: "x", 1: "y"})
    again = pickle.loads(pickle.dumps(failure))
    assert again.failures == {1: "y", 3: "x"}
    assert str(again) == str(failure)


@pytest.mark.parametrize(
    ("func", "error", "message"),
    [
        (lambda p: p.isel(patch=slice(1)), ValueError, "returned 1 patches for"),
        (lambda p: p.mean("patch"), ValueError, "must keep the dimension 'patch'"),
        (lambda p: p.values[:, :1], ValueError, "array of shape"),
        (lambda p: [1], TypeError, "must return a DataArray"),
        (lambda p: p.assign_coords(patch=p["patch"] + 1), ValueError, "changed the labels"),
        (
            lambda p: p if p.sizes["patch"] < 2 else p.astype("f8"),
            TypeError,
            "float64, but float32",
        ),
        (lambda p: p if p.sizes["patch"] < 2 else p.expand_dims("z", -1), ValueError, "with dims"),
        (lambda p: p.isel(y=slice(0, p.sizes["patch"] + 1)), ValueError, "cells"),
        (lambda p: xr.Dataset({"a": p, "m": p.mean()}), ValueError, "'m' without the dimension"),
        (lambda p: xr.Dataset({"a": p, "m": p.mean("patch")}), ValueError, "'m' without the dim"),
        (lambda p: p.assign_coords(m=p.mean()), ValueError, "another 'm' for the patches"),
        (
            lambda p: p.assign_coords(
                q=("x", p.isel(patch=0, y=0).values if len(p) else [0.0] * 5)
            ),
            ValueError,
            "another 'q' for the patches",
        ),
        (lambda p: p.isel(y=slice(None, None, -1)), ValueError, "labels along 'y'"),
        (
            lambda p: p.isel(x=slice(0, 4) if 0 in p["patch"] else slice(1, 5)),
            ValueError,
            "labels along 'x'",
        ),
        (lambda p: p.assign_coords(y=np.arange(6.0) + 3), ValueError, "labels along 'y'"),
    ],
)
def test_what_func_may_not_return(kind, func, error, message):
    with pytest.raises(error, match=message):
        kind(field()).patch.apply(func, batch_size=4, **CUT).compute()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"on_error": "ignore"}, ValueError, "on_error must be one of"),
        ({"batch_size": 0}, ValueError, "at least 1"),
        ({"batch_size": 2.5}, TypeError, "must be an int"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        field().patch.apply(double, **CUT, **options)


def test_a_chunked_variable_that_is_not_cut_is_refused():
    ds = xr.Dataset({"t": field(), "other": ("z", da.ones(6, chunks=2))})
    with pytest.raises(ValueError, match="'other' has no cut dimension and is chunked"):
        ds.patch.apply(double, **CUT)


# ------------------------------------------------------------------------------- memory, progress


def test_patches_exist_block_by_block(monkeypatch):
    import tracemalloc

    from xpatch.run import application as applying

    monkeypatch.setattr(applying, "BLOCK_BYTES", 1 << 18)
    source = xr.DataArray(np.ones((1024, 1024), "f4"), dims=("y", "x"))
    options = {"geometry": {"y": 32, "x": 32}, "sampler": xpatch.RegularStride(8)}
    tracemalloc.start()
    merged = source.patch.apply(double, aggregation=HANN, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(merged, 2, rtol=1e-6)
    assert peak < merged.nbytes + (16 << 20)  # the patches take 62 MB, twice


def test_progress_is_drawn_on_stderr_only_when_asked_for(kind, capsys):
    kind(field()).patch.apply(double, **CUT).compute()
    assert capsys.readouterr() == ("", "")
    kind(field()).patch.apply(double, progress=True, **CUT).compute()
    out, err = capsys.readouterr()
    total = field().patch.split(**CUT).sizes["patch"]
    assert not out
    assert err.endswith("s\n")
    assert f"{total}/{total} patches" in err


@given(
    batch=st.integers(1, 9),
    size=st.integers(1, 8),
    overlap=st.integers(0, 7),
    chunk=st.integers(1, 22),
    boundary=st.sampled_from(["shift", "drop", "pad", "wrap"]),
    aggregation=st.sampled_from(["mean", "max", "median", "first", HANN]),
)
@settings(deadline=None, max_examples=16)
def test_numpy_and_dask_agree(batch, size, overlap, chunk, boundary, aggregation):
    step = max(1, size - overlap)
    geometry = xpatch.Rectangular(y=size, x=size, boundary=boundary)
    options = {"geometry": geometry, "sampler": xpatch.RegularStride(step)}
    options |= {"aggregation": aggregation, "batch_size": batch}
    source = field("f8")
    here = source.patch.apply(double, **options)
    there = source.chunk(chunk).patch.apply(double, **options)
    patches = source.patch.split(geometry=geometry, sampler=xpatch.RegularStride(step))
    expected = double(patches).patch.merge(aggregation)
    xr.testing.assert_allclose(here, expected)
    xr.testing.assert_allclose(there.compute(), expected)


def test_planning_makes_no_labels_and_names_tell_fields_apart():
    import tracemalloc

    values = da.zeros((4096, 4096), chunks=512, dtype="f4")
    field = xr.DataArray(values, {"y": np.arange(4096.0), "x": np.arange(4096.0)}, ("y", "x"))
    cut = {"geometry": {"y": 64, "x": 64}, "sampler": xpatch.RegularStride(16)}
    tracemalloc.start()
    merged = field.patch.apply(lambda p: p, **cut)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    labels = 253**2 * 64 * 8
    assert peak < labels / 2

    def by_label(p):
        return p * 0 + p.y

    moved = field.assign_coords(y=np.arange(4096.0) + 7)
    names = [f.patch.apply(by_label, **cut).data.name for f in (field, field, moved)]
    assert names[0] == names[1] != names[2]
    assert merged.data.name != names[0]


@pytest.mark.parametrize("chunks", [{}, {"y": 4}])
def test_recipes_stay_with_the_numbers_of_patches(chunks):
    field = xr.DataArray(np.ones((8, 8), "u1"), dims=("y", "x")).chunk(chunks)
    tiles = {"y": 4, "x": 4}
    merged = field.patch.apply(lambda b: (b["patch"] % 2).astype("f4") + 0 * b, geometry=tiles)
    assert merged.attrs == {}
    p = field.patch.split(tiles)
    made = (p["patch"] % 2 + 0 * p).assign_attrs(p["patch"].attrs, units="m").to_dataset(name="k")
    assert made.patch.merge("first").k.attrs == {"units": "m"}
    assert "xpatch_recipe" in made.k.attrs  # of the patches, which are left as they are
