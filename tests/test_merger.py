"""Mergers: what comes batch by batch, in any order, is the merge of all of it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch

ROUNDED = 1e-5


def called(how):
    return str(how).split("<")[0]  # without the address of a function


EVERY = [
    "mean",
    "sum",
    "median",
    "min",
    "max",
    "argmax",
    "any",
    "all",
    "first",
    "last",
    "most_central",
    "mode",
    "hardvote",
    "var",
    "std",
    "count",
    None,
    xpatch.OverlapAdd("hann"),
    xpatch.OverlapAdd("hann", normalize_by_window=False),
    xpatch.WeightedSum("hann"),
    xpatch.Quantile(0.25),
    xpatch.Learned(lambda values, offsets: np.nanmean(values, axis=0)),
]


def mess(shape, dtype="f4", seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 9, shape).astype(dtype) + (0.25 if np.dtype(dtype).kind == "f" else 0)


def grid(shape=(12, 15), dtype="f4", **attrs):
    y, x = (np.arange(float(n)) for n in shape)
    return xr.DataArray(mess(shape, dtype), {"y": y, "x": x}, ("y", "x"), "t", attrs)


def cut(field, size=4, step=2, **kwargs):
    return field.patch.split(
        geometry={"y": size, "x": size}, sampler=xpatch.RegularStride(step), **kwargs
    )


def spoiled(patches, rate=0.1):
    """Patches that disagree where they overlap, and have gaps in the second half only."""
    dims = [d for d in patches.dims if d != "patch"]
    rng = np.random.default_rng(1)
    off = xr.DataArray(rng.integers(0, 5, patches.sizes["patch"]), dims="patch")
    out = (patches + off).astype(patches.dtype)
    gaps = xr.DataArray(rng.random(patches.shape) < rate, dims=patches.dims)
    late = xr.DataArray(
        np.arange(patches.sizes["patch"]) > patches.sizes["patch"] // 2, dims="patch"
    )
    return out.where(~(gaps & late)) if dims and patches.dtype.kind == "f" else out


def parts(patches, size=5, seed=0):
    """Batches of patches in no order."""
    order = np.random.default_rng(seed).permutation(patches.sizes["patch"])
    for low in range(0, len(order), size):
        yield patches.isel(patch=order[low : low + size])


def added(patches, *args, source=None, batches=None, **kwargs):
    merger = (patches if source is None else source).patch.merger(*args, **kwargs)
    for batch in parts(patches) if batches is None else batches:
        merger.add(batch)
    return merger


def check(found, expected, rtol=ROUNDED):
    assert type(found) is type(expected)
    if isinstance(found, xr.DataArray):
        assert (found.dtype, found.dims) == (expected.dtype, expected.dims)
    xr.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)
    assert found.attrs == expected.attrs
    assert [*found.coords] == [*expected.coords]
    assert found.coords.to_dataset().identical(expected.coords.to_dataset())


def both(patches, *args, **kwargs):
    """The merger of batches in no order, against the merge of all."""
    expected = patches.patch.merge(*args, **kwargs)
    check(added(patches, *args, **kwargs).result(), expected)
    return expected


# -------------------------------------------------------------------------- every aggregation


@pytest.mark.parametrize("how", EVERY, ids=called)
def test_is_the_merge_of_all(how):
    patches = spoiled(cut(grid()))
    merger = added(patches, how)
    expected = patches.patch.merge(how)
    check(merger.result(), expected)
    xr.testing.assert_identical(merger.result(), merger.result())


PICKED = [
    "first",
    "last",
    "most_central",
    "min",
    "max",
    "argmax",
    "any",
    "all",
    "mode",
    "median",
    "count",
]


@pytest.mark.parametrize("how", PICKED)
def test_is_bit_equal_where_contributions_are_picked_or_counted(how):
    patches = spoiled(cut(grid()))
    xr.testing.assert_identical(added(patches, how).result(), patches.patch.merge(how))


@pytest.mark.parametrize("how", EVERY, ids=called)
def test_patches_that_come_twice_count_twice(how):
    patches = spoiled(cut(grid((8, 9))))
    twice = xr.concat(
        [patches, patches.isel(patch=[3, 0, 7]) + 1, patches.isel(patch=[3])], "patch"
    )
    in_order = [twice.isel(patch=slice(k, k + 4)) for k in range(0, twice.sizes["patch"], 4)]
    check(added(twice, how, source=patches, batches=in_order).result(), twice.patch.merge(how))


@pytest.mark.parametrize("how", EVERY, ids=called)
def test_some_of_the_patches_and_more_after_a_result(how):
    patches = spoiled(cut(grid()))
    merger = patches.patch.merger(how)
    some = patches.isel(patch=[9, 2, 17, 4])
    merger.add(some)
    check(merger.result(), some.patch.merge(how))
    merger.add(patches.isel(patch=[20, 30, 11]))
    more = patches.isel(patch=[9, 2, 17, 4, 20, 30, 11])
    check(merger.result(), more.patch.merge(how))


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([h for h in EVERY if not isinstance(h, xpatch.Learned)]),
    st.lists(st.integers(0, 11), min_size=1, max_size=20),
    st.integers(1, 7),
    st.sampled_from(["f4", "f8", "i2", "?"]),
)
def test_any_patches_in_any_batches(how, labels, size, dtype):
    patches = (
        cut(grid((6, 8), dtype), 3, 2) if dtype == "?" else spoiled(cut(grid((6, 8), dtype), 3, 2))
    )
    chosen = patches.isel(patch=[k % patches.sizes["patch"] for k in labels])
    batches = [chosen.isel(patch=slice(k, k + size)) for k in range(0, len(labels), size)]
    try:
        expected = chosen.patch.merge(how)
    except TypeError:
        return
    check(added(chosen, how, source=patches, batches=batches).result(), expected)


# ---------------------------------------------------------------------- values, and what is missing


def test_a_gap_in_the_last_batch_is_left_out_of_the_mean():
    ones = xr.DataArray(np.ones((1, 40)), dims=("y", "x"))
    patches = ones.patch.split(geometry={"x": 20}, sampler=xpatch.RegularStride(10))
    merger = patches.patch.merger("mean")
    merger.add(patches.isel(patch=[0]))
    merger.add(5 * patches.isel(patch=[2]))
    merger.add((3 * patches.isel(patch=[1])).where(patches["patch"][[1]] != 1))
    found = merger.result().values[0]
    assert np.array_equal(found, [1.0] * 20 + [5.0] * 20)


def test_skipna_false_lets_a_gap_spread():
    patches = spoiled(cut(grid()))
    for how in ["mean", "max", "var", "median", "first"]:
        expected = both(patches, how, skipna=False)
        assert int(expected.isnull().sum()) >= 5


@pytest.mark.parametrize("dtype", ["i2", "i8", "u1", "?", "f2", "c8", "M8[ns]", "U3"])
def test_patches_side_by_side_come_back_bit_by_bit(dtype):
    field = grid((8, 8), "i8")
    values = field.values + (2**60 if dtype == "i8" else 0)
    field = field.copy(data=values.astype(dtype))
    patches = field.patch.split(geometry={"y": 4, "x": 4})
    xr.testing.assert_identical(added(patches).result(), field)
    gap = patches.isel(patch=[2, 0])
    if dtype == "U3":  # of which none stands for missing
        return
    xr.testing.assert_identical(added(gap, source=patches).result(), gap.patch.merge())


def test_integers_that_come_twice_become_floats_as_in_merge():
    patches = grid((8, 8), "i2").patch.split(geometry={"y": 4, "x": 4})
    twice = xr.concat([patches, patches.isel(patch=[1]) + 3], "patch")
    merger = added(patches)
    assert merger.result().dtype == np.int16
    merger.add(patches.isel(patch=[1]) + 3)
    check(merger.result(), twice.patch.merge())
    assert merger.result().dtype == np.float64


@pytest.mark.parametrize("how", ["mean", "max", "median", "mode", "first", "count", "var"])
def test_numbers_that_stand_for_missing(how):
    for dtype, step in [("i2", 2), ("f4", 2), ("i2", 4)]:
        field = grid(dtype=dtype, _FillValue=3)
        both(cut(field, 4, step), how)


@pytest.mark.parametrize("how", ["mean", "first", "max", "count"])
def test_fill_value(how):
    patches = spoiled(cut(grid()))
    some = patches.isel(patch=[3, 4, 20])
    check(added(some, how, fill_value=-9).result(), some.patch.merge(how, fill_value=-9))


def test_infinities():
    patches = cut(grid())
    far = patches.copy(data=np.where(patches.values > 7, np.inf, patches.values))
    far[3] *= -1
    both(far, "mean")
    both(far, xpatch.OverlapAdd("hann"))


def test_dates_of_cftime_and_numpy():
    cftime = pytest.importorskip("cftime")
    days = np.array([cftime.DatetimeNoLeap(2000, 1, 1 + k) for k in range(12)], object)
    for values in (days, np.arange("2000-01-01", "2000-01-13", dtype="M8[D]").astype("M8[ns]")):
        field = xr.DataArray(values, {"x": np.arange(12.0)}, ("x",))
        patches = field.patch.split(geometry={"x": 4}, sampler=xpatch.RegularStride(2))
        for how in ("min", "last"):
            expected = patches.patch.merge(how)
            xr.testing.assert_identical(added(patches, how).result(), expected)


# -------------------------------------------------------------------------------- geometries


@pytest.mark.parametrize(
    "how",
    ["mean", "last", "most_central", "median", "argmax", "var", xpatch.OverlapAdd("hann")],
    ids=called,
)
@pytest.mark.parametrize("kind", ["wrap", "pad", "random", "window", "large", "line"])
def test_boxes(kind, how):
    field = grid((40, 44) if kind == "large" else (12, 16))
    if kind == "wrap":
        geometry, sampler = (
            xpatch.Rectangular(y=5, x=6, boundary={"x": "wrap"}),
            xpatch.RegularStride(3),
        )
    elif kind == "pad":
        geometry, sampler = xpatch.Rectangular(y=5, x=6, boundary="pad"), xpatch.RegularStride(4)
    elif kind == "large":  # too large to be merged cell by cell
        geometry, sampler = {"y": 20, "x": 18}, xpatch.RegularStride(7)
    elif kind == "line":
        geometry, sampler = {"x": 5}, xpatch.RegularStride(2)
    else:
        geometry, sampler = {"y": 5, "x": 6}, xpatch.Random(20, seed=0)
    window = "hann" if kind == "window" and how in ("mean", None) else None
    patches = field.patch.split(geometry=geometry, sampler=sampler, window=window)
    both(spoiled(patches), how)


def test_large_boxes_over_the_seam_and_beyond_the_edge():
    for boundary in ({"x": "wrap", "y": "pad"}, "pad"):
        geometry = xpatch.Rectangular(y=20, x=22, boundary=boundary)
        patches = grid((32, 44)).patch.split(geometry=geometry, sampler=xpatch.RegularStride(8))
        for how in ("mean", "max", "last", "sum", xpatch.OverlapAdd("hann")):
            both(spoiled(patches), how)


@pytest.mark.parametrize("how", EVERY, ids=called)
def test_lists_of_members(how):
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 9, 40), rng.uniform(40, 49, 40)
    field = xr.DataArray(
        mess((3, 40)), {"lon": ("station", lon), "lat": ("station", lat)}, ("time", "station")
    )
    patches = field.patch.split(geometry=xpatch.KNNGraph(5))
    both(spoiled(patches), how)


def test_space_and_time():
    time = np.arange("2000-01-01", "2000-01-21", dtype="M8[D]").astype("M8[ns]")
    field = xr.DataArray(
        mess((20, 8, 9)),
        {"time": time, "y": np.arange(8.0), "x": np.arange(9.0)},
        ("time", "y", "x"),
    )
    patches = field.patch.split(geometry=[{"y": 4, "x": 4}, xpatch.FixedLookback(5)])
    for how in ("mean", "last", "most_central", "median"):
        both(spoiled(patches), how)


def test_forecasts():
    time = np.arange("2000-01-01", "2000-02-10", dtype="M8[D]").astype("M8[ns]")
    field = xr.DataArray(mess(40), {"time": time}, ("time",), "t")
    patches = field.patch.split(geometry=xpatch.LookbackHorizon(6, 3))
    for how in (xpatch.Forecast(), xpatch.Forecast("mean")):
        both(patches, how)
        ahead = patches.patch.horizon * 2
        check(added(ahead, how, source=patches).result(), ahead.patch.merge(how))


# ------------------------------------------------------------------------------ outputs of models


def test_crop_scale_and_one_value_per_patch():
    patches = spoiled(cut(grid((20, 22)), 6, 4))
    both(patches.patch.crop(y=1, x=(0, 2)), "mean")
    fine = xr.DataArray(
        np.kron(patches.values, np.ones((2, 2))), {"patch": patches["patch"]}, ("patch", "y", "x")
    )
    both(fine, "mean", scale=2)
    both(fine, "median", scale={"y": 2, "x": 2})
    both(patches.mean(("y", "x")), "mean")
    both(patches.max(("y", "x")), "mode")


def test_new_channels_and_dims_in_another_order():
    patches = spoiled(cut(grid()))
    scores = xr.concat([patches, 2 * patches, -patches], "class").assign_coords(
        {"class": ["a", "b", "c"]}
    )
    both(scores, "mean")
    both(scores.transpose("x", "class", "patch", "y"), xpatch.OverlapAdd("hann"))
    for keep in (False, True):
        both(scores.fillna(0), xpatch.SoftVote(keep_probabilities=keep))
    both(scores.to_dataset(name="s").assign(t=2 * scores), xpatch.SoftVote(keep_probabilities=True))


def test_inverse_variance():
    patches = cut(grid()).astype(float)
    pair = xr.Dataset({"mean": spoiled(patches), "variance": 1 + patches})
    both(pair, xpatch.InvVarWeightedMean())
    both(pair, xpatch.InvVarWeightedMean(window="hann"))
    merger = patches.patch.merger(xpatch.InvVarWeightedMean())
    with pytest.raises(ValueError, match="positive variances"):
        merger.add(pair - 20)


@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_what_a_mask_hides_is_missing(dtype):
    patches = cut(grid()).astype(dtype)
    masked = np.ma.masked_less(patches.values, 40)
    merger = patches.patch.merger("mean")
    merger.add(masked, patch=patches["patch"])
    expected = patches.where(patches >= 40).patch.merge("mean")
    assert expected.isnull().any()
    np.testing.assert_allclose(merger.result(), expected)


def test_datasets_of_different_dims_and_what_is_carried():
    time = np.arange(3.0)
    field = xr.Dataset(
        {
            "t": grid().expand_dims(time=time).copy() * xr.DataArray(time + 1, dims="time"),
            "height": grid(dtype="i2"),
            "lapse": ("time", np.array([1, 2, 3], "i4")),
            "across": ("x", np.arange(15.0)),
        },
        attrs={"title": "weather"},
    )
    patches = cut(field)
    for how in ("mean", "max", "median", "last"):
        both(patches, how)
    each = xr.ones_like(patches["patch"]).astype("i4") * patches["lapse"]
    for own, message in ((patches["lapse"], "differs between"), (each, "lies on no cut dimension")):
        given = patches.assign(lapse=own)
        both(given, "max")
        merger = added(given)
        assert merger.result()["lapse"].dtype == np.int32
        with pytest.raises(ValueError, match=message):
            merger.add((given + np.int8(1)).isel(patch=[0]))
        check(merger.result(), given.patch.merge())  # nothing of what was refused went in


# ------------------------------------------------------------------------------ where patches are from


def test_lazy_patches(tmp_path):
    field = grid((16, 18))
    field.to_netcdf(tmp_path / "field.nc")
    stored = xr.open_dataarray(tmp_path / "field.nc")
    for source in (field.chunk(y=5), stored):
        patches = cut(source)
        check(added(patches, "mean").result().load(), patches.patch.merge("mean").load())
        batch = patches.isel(patch=[3, 1])
        patches.patch.merger("mean").add(batch)
        assert not batch.variable._in_memory  # what is added stays as it was
        merger = patches.patch.merger("max")
        for batch in patches.patch.batches(7, shuffle=True, seed=0):
            merger.add(batch)
        check(merger.result(), patches.patch.merge("max").load())
    stored.close()


def test_patches_read_back(tmp_path):
    field = grid().assign_coords(lon=(("y", "x"), mess((12, 15))), run=3)
    points = xr.DataArray(
        mess(30),
        {"lon": ("station", mess(30, "f8", 3)), "lat": ("station", mess(30, "f8", 4))},
        ("station",),
    )
    for k, patches in enumerate([cut(field), points.patch.split(geometry=xpatch.KNNGraph(4))]):
        patches.rename("t").to_netcdf(tmp_path / f"{k}.nc")
        with xr.open_dataarray(tmp_path / f"{k}.nc") as back:
            check(added(back, "mean").result(), back.patch.merge("mean").load())
            check(
                added(back, "max", source=patches).result(), patches.patch.merge("max").rename("t")
            )


def test_one_of_several_scenes_with_the_labels_of_all():
    west, east = grid(), grid((8, 9)) + 100
    patches = xpatch.concat([cut(west), cut(east)], scenes=["west", "east"])
    own = patches.isel(patch=patches["scene"] == "east")
    merger = own.patch.merger("max")
    for batch in parts(own):
        merger.add(batch.values, patch=batch["patch"].values)
    xr.testing.assert_equal(merger.result(), own.patch.merge("max"))
    with pytest.raises(ValueError, match="2 different scenes"):
        patches.patch.merger()


def test_patches_of_patches():
    outer = cut(grid((16, 16)), 8, 8)
    inner = outer.patch.split(geometry={"y": 4, "x": 4}, dim="inner")
    merger = inner.patch.merger("mean")
    for k in (3, 0, 2, 1):
        merger.add(inner.isel(inner=[k]))
    check(merger.result(), inner.patch.merge("mean"))


def test_lookback_and_horizon_of_one_field():
    time = np.arange("2000-01-01", "2000-02-10", dtype="M8[D]").astype("M8[ns]")
    field = xr.DataArray(mess(40), {"time": time}, ("time",), "t")
    patches = field.patch.split(geometry=xpatch.LookbackHorizon(6, 3))
    back, ahead = patches.patch.lookback, patches.patch.horizon
    both(back, "mean")
    both(ahead, "mean")


def test_several_scales_one_by_one():
    time = np.arange("2000-01-01", "2000-03-01", dtype="M8[D]").astype("M8[ns]")
    series = xr.DataArray(mess(60), {"time": time}, ("time",), name="t")
    tree = series.patch.split(xpatch.TimePatcher(xpatch.MultiScale([5, 20])))
    for node in tree.children.values():
        both(node.to_dataset(), "mean")


# ------------------------------------------------------------------------------ arrays of a loop


def test_arrays_with_labels():
    patches = spoiled(cut(grid()))
    expected = patches.patch.merge("mean")
    for wrap in (
        lambda a, k: (a, k),
        lambda a, k: ({"t": a}, k),
        lambda a, k: ({"values": a, "patch": k}, None),
        lambda a, k: (a.tolist(), k.tolist()),
    ):
        merger = patches.patch.merger("mean")
        for batch in parts(patches):
            values, labels = wrap(batch.values, batch["patch"].values)
            merger.add(values, patch=labels)
        xr.testing.assert_allclose(merger.result(), expected)


def test_tensors():
    torch = pytest.importorskip("torch")
    patches = cut(grid())
    merger = patches.patch.merger("mean", output_dims=("patch", "class", "y", "x"))
    net = torch.nn.Conv2d(1, 3, 1)
    for batch in parts(patches):
        out = net(torch.tensor(batch.values)[:, None])
        assert out.requires_grad
        merger.add(out, patch=torch.tensor(batch["patch"].values))
    whole = net(torch.tensor(patches.values)[:, None]).detach().numpy()
    expected = xr.DataArray(whole, {"patch": patches["patch"]}, ("patch", "class", "y", "x"))
    check(merger.result(), expected.patch.merge("mean").rename("t"))
    merger = patches.patch.merger("max")
    merger.add(torch.tensor(patches.values).to(torch.bfloat16), patch=patches["patch"])
    assert merger.result().dtype == np.float32


def test_tensors_that_numpy_knows_only_when_resolved():
    torch = pytest.importorskip("torch")
    patches = cut(grid())
    own = torch.tensor(patches.values)
    given = {
        "conjugate": (torch.complex(own, own).conj(), patches * (1 - 1j)),
        "sparse": (own.to_sparse(), patches),
        "eight bits": (torch.ones_like(own).to(torch.float8_e4m3fn), xr.ones_like(patches)),
    }
    for name, (tensor, values) in given.items():
        merger = patches.patch.merger("max" if name != "conjugate" else "mean")
        merger.add(tensor, patch=patches["patch"])
        expected = values.patch.merge("max" if name != "conjugate" else "mean")
        np.testing.assert_allclose(merger.result(), expected, err_msg=name)


def test_numbers_of_a_quantity_are_not_taken_without_its_unit():
    class Quantity:
        units = "m"

        def __init__(self, magnitude):
            self.magnitude = magnitude

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.magnitude)

    patches = cut(grid())
    with pytest.raises(TypeError, match=r"quantity in m.*dequantify"):
        patches.patch.merger("mean").add(Quantity(patches.values), patch=patches["patch"])


def test_output_dims_and_coords():
    patches = cut(grid())
    names = {"class": ["water", "wood"]}
    merger = patches.patch.merger(
        xpatch.SoftVote(), output_dims=("patch", "class", "y", "x"), output_coords=names
    )
    odds = np.stack([patches.values > 4, patches.values <= 4], axis=1).astype("f4")
    merger.add(odds, patch=patches["patch"])
    found = merger.result()
    assert np.array_equal(found, np.where(grid() > 4, "water", "wood"))
    ds = patches.to_dataset().patch.merger("max", output_dims={"score": ("patch", "class")})
    ds.add(
        {"t": patches.values, "score": patches.values.max((1, 2))[:, None]}, patch=patches["patch"]
    )
    assert dict(ds.result().sizes) == {"y": 12, "x": 15, "class": 1}


def test_datasets_of_arrays():
    field = grid().to_dataset().assign(u=2 * grid())
    patches = cut(field)
    merger = patches.patch.merger("max")
    for batch in parts(patches):
        merger.add({n: v.values for n, v in batch.items()}, patch=batch["patch"].values)
    xr.testing.assert_equal(merger.result(), field)


# ------------------------------------------------------------------------------ contributions


def test_contributions_on_disk(tmp_path):
    patches = spoiled(cut(grid((24, 26), dtype="f8")))
    twice = xr.concat([patches, patches.isel(patch=[5, 5, 8]) + 1], "patch")
    merger = patches.patch.merger("median", path=tmp_path / "kept", max_bytes=0)
    for batch in parts(twice):
        merger.add(batch)
    found = merger.result()
    assert found.chunks is not None
    check(found.load(), twice.patch.merge("median"))
    merger.add(patches.isel(patch=[0]) + 9)
    again = xr.concat([twice, patches.isel(patch=[0]) + 9], "patch")
    check(merger.result().load(), again.patch.merge("median"))
    with pytest.raises(FileExistsError, match="a new or an empty directory"):
        patches.patch.merger("median", path=tmp_path / "kept")


def test_lists_and_values_of_patches_on_disk(tmp_path):
    points = xr.DataArray(
        mess(30),
        {"lon": ("station", mess(30, "f8", 3)), "lat": ("station", mess(30, "f8", 4))},
        ("station",),
    )
    listed = points.patch.split(geometry=xpatch.KNNGraph(4))
    for k, patches in enumerate([listed, cut(grid()).mean(("y", "x"))]):
        merger = added(patches, "mode", path=tmp_path / str(k))
        check(merger.result().load(), patches.patch.merge("mode"))


def test_contributions_that_take_too_much_are_refused():
    patches = cut(grid())
    merger = patches.patch.merger("median", max_bytes=3 * 64)
    merger.add(patches.isel(patch=[0, 1, 2]))
    with pytest.raises(
        ValueError, match=r"more than max_bytes=192.*path=directory.*'most_central'"
    ):
        merger.add(patches.isel(patch=[3]))
    some = patches.isel(patch=[0, 1, 2])
    check(merger.result(), some.patch.merge("median"))
    added(patches, "mean", max_bytes=0)


def test_memory_is_that_of_the_field():
    field = xr.DataArray(np.ones((512, 512), "f4"), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 64, "x": 64}, sampler=xpatch.RegularStride(20))
    rest = patches.nbytes / field.nbytes
    assert rest > 8
    for how, states in (
        ("mean", 1),
        (xpatch.OverlapAdd("hann"), 1),
        ("max", 1),
        ("last", 3),
        ("var", 3),
    ):
        merger = patches.patch.merger(how)
        merger.add(patches.isel(patch=[0]))
        tracemalloc.start()
        for low in range(1, patches.sizes["patch"], 16):
            merger.add(patches.isel(patch=slice(low, low + 16)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1.2 * field.nbytes
        held = sum(s.nbytes for stream in merger.streams.values() for s in stream.state)
        assert held <= states * field.nbytes


def test_one_value_a_patch_is_kept_as_one_value():
    patches = cut(grid((40, 40)), 20, 10).mean(("y", "x"))
    merger = added(patches, "median", max_bytes=4 * patches.sizes["patch"])
    check(merger.result(), patches.patch.merge("median"))


# ------------------------------------------------------------------------------------- refused


def test_what_is_refused():
    patches = cut(grid())
    with pytest.raises(ValueError, match="nothing was added"):
        patches.patch.merger().result()
    with pytest.raises(ValueError, match="these are not patches"):
        grid().patch.merger()
    with pytest.raises(ValueError, match="goes through the patches in the order of time"):
        patches.patch.merger(xpatch.Sequential(lambda s, p: (s, p)))
    with pytest.raises(ValueError, match="takes one aggregation"):
        patches.patch.merger(("mean", "mean"))
    with pytest.raises(ValueError, match="meen"):
        patches.patch.merger("meen")
    with pytest.raises(TypeError, match="skipna"):
        patches.patch.merger(skipna="yes")
    with pytest.raises(ValueError, match="max_bytes must be"):
        patches.patch.merger(max_bytes=-1)
    with pytest.raises(TypeError, match="output_dims takes"):
        patches.patch.merger(output_dims="patch")


def test_batches_that_are_refused():
    patches = cut(grid())
    merger = patches.patch.merger("mean")
    values = patches.values
    with pytest.raises(ValueError, match="nothing says which patches these are"):
        merger.add(values[:2])
    with pytest.raises(ValueError, match="nothing says which patches these are"):
        merger.add(xr.DataArray(values[:2], dims=("patch", "y", "x")))
    with pytest.raises(ValueError, match=r"the split has 35 patches.*none labeled \[35\]"):
        merger.add(values[:2], patch=[0, 35])
    with pytest.raises(ValueError, match="none labeled"):
        merger.add(values[:1], patch=[-1])
    with pytest.raises(ValueError, match="one label for each of 2 patches"):
        merger.add(values[:2], patch=[0])
    with pytest.raises(TypeError, match="labels of patches are integers"):
        merger.add(values[:1], patch=[0.5])
    with pytest.raises(TypeError, match="add takes patches, arrays"):
        merger.add("t", patch=[0])
    with pytest.raises(ValueError, match="output_dims"):
        merger.add(values[:2, None], patch=[0, 1])
    with pytest.raises(ValueError, match="another split"):
        merger.add(cut(grid(), 4, 1).isel(patch=[0]))
    with pytest.raises(ValueError, match="another split"):
        merger.add(cut(grid().assign_coords(x=grid()["x"] + 7)).isel(patch=[0]))
    with pytest.raises(ValueError, match="cells along"):
        merger.add(values[:2, :3], patch=[0, 1])
    merger.add(values[:2], patch=[0, 1])
    with pytest.raises(ValueError, match="dtype float64 in this batch"):
        merger.add(values[:2].astype(float), patch=[2, 3])
    with pytest.raises(ValueError, match="the first batch was a DataArray"):
        merger.add(patches.isel(patch=[2]).to_dataset())
    with pytest.raises(ValueError, match="must be alike"):
        merger.add(patches.isel(patch=[2]).patch.crop(y=1))
    xr.testing.assert_identical(
        merger.result().drop_attrs(), patches.isel(patch=[0, 1]).patch.merge("mean")
    )


def test_classes_of_another_order_are_refused():
    patches = cut(grid())
    scores = xr.concat([patches, -patches], "class")
    merger = patches.patch.merger("mean")
    merger.add(scores.assign_coords({"class": ["a", "b"]}).isel(patch=[0]))
    with pytest.raises(ValueError, match="labels along 'class'"):
        merger.add(scores.assign_coords({"class": ["b", "a"]}).isel(patch=[1]))


def test_no_patches_add_nothing():
    patches = cut(grid())
    merger = patches.patch.merger("mean")
    merger.add(patches.isel(patch=[]))
    assert bool(merger.result().isnull().all())
    merger.add(patches)
    xr.testing.assert_equal(merger.result(), grid())


@pytest.mark.parametrize("rest", [{}, {...: "median"}])
def test_each_head_has_its_aggregation(rest):
    field = xr.Dataset(
        {n: (("y", "x"), np.random.default_rng(k).random((12, 16))) for k, n in enumerate("abc")}
    )
    patches = field.patch.split({"y": 4, "x": 4}, sampler=xpatch.RegularStride(2))
    how = {"a": xpatch.OverlapAdd("hann"), "b": "mode", **rest}
    merger = patches.patch.merger(how)
    order = np.random.default_rng(0).permutation(patches.sizes["patch"])
    for some in np.array_split(order, 4):
        batch = patches.isel(patch=some)
        merger.add({n: v.values for n, v in batch.items()}, patch=batch["patch"].values)
    result, expected = merger.result(), patches.patch.merge(how)
    assert list(result) == ["a", "b", "c"]
    xr.testing.assert_allclose(result, expected)
    with pytest.raises(KeyError, match="'z', which is no variable"):
        patches.patch.merger({"z": "mean"}).add(patches)
