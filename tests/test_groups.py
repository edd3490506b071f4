"""Groups: what contributions to an element come to, against pandas, flox and loops."""

from __future__ import annotations

import subprocess
import sys
import warnings

import flox
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xpatch

KINDS = ("float", "gaps", "int", "bool", "dates", "complex")
FUNCS = ("min", "max", "var", "std", "count", "first", "last", "any", "all", "argmax")


def points(n=150, seed=0):
    rng = np.random.default_rng(seed)
    lonlat = rng.uniform([0, 40], [10, 50], (n, 2))
    coords = {"lon": ("obs", lonlat[:, 0]), "lat": ("obs", lonlat[:, 1])}
    return xr.DataArray(rng.random(n), coords, ("obs",), name="t")


def knn(seed=0):
    """Patches of 40 of 150 points, so that some elements have no patch and others several."""
    return points(seed=seed).patch.split(
        geometry=xpatch.KNNGraph(6), sampler=xpatch.Random(40, seed=1)
    )


def caps(seed=0):
    lat, lon = np.arange(40.0, 52), np.arange(0.0, 15)
    field = xr.DataArray(
        np.random.default_rng(seed).random((12, 15)), {"lat": lat, "lon": lon}, ("lat", "lon")
    )
    return field.patch.split(geometry=xpatch.SphericalCap(250), sampler=xpatch.Random(20, seed=2))


def filled(patches, kind, seed=3):
    """Give patches other values, of which many are equal; empty slots keep whatever is drawn."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-3, 4, patches.shape)
    if kind == "bool":
        values = drawn > 1
    elif kind == "dates":
        values = drawn.astype("m8[D]") + np.datetime64("2020-01-10", "ns")
        values[rng.random(patches.shape) < 0.3] = np.datetime64("NaT")
    elif kind == "complex":
        values = drawn + 1j * rng.integers(-1, 2, patches.shape)
        values[rng.random(patches.shape) < 0.2] = np.nan
    else:
        values = drawn if kind == "int" else drawn.astype(float)
        if kind == "gaps":
            values[rng.random(patches.shape) < 0.4] = np.nan
            values[rng.random(patches.shape) < 0.1] = -np.inf
    return patches.copy(data=values)


def contributions(patches):
    """Give the contributions to each element, in the order of labels: ``{element: [(label, value)]}``."""
    plan = patches.xindexes["patch"].plans[0]
    labels = patches["patch"].values
    found: dict[int, list] = {}
    for row in np.argsort(labels, kind="stable"):
        cells = plan.hood.parts[0].cells(labels[[row]])[0]
        values = patches.values[row].reshape(-1)
        for cell, value in zip(cells, values, strict=True):
            if cell >= 0:
                found.setdefault(int(cell), []).append((int(labels[row]), value))
    return found


def by_hand(pairs, func, skipna):
    """Reduce one list of contributions."""
    if skipna:
        pairs = [(k, v) for k, v in pairs if not pd.isnull(v)]
    labels = [k for k, _ in pairs]
    values = np.array([v for _, v in pairs])
    if func in ("any", "all"):
        return bool(getattr(np, func)(values != 0))
    if func == "count":
        return sum(not pd.isnull(v) for v in values)
    if not len(values):
        return -1 if func == "argmax" else None
    if func == "argmax":
        null = pd.isnull(values)
        if null.any():
            return labels[int(null.argmax())]
        return labels[max(range(len(values)), key=lambda i: (_key(values[i]), -i))]
    if func in ("first", "last"):
        return values[0 if func == "first" else -1]
    return getattr(np, func)(values)


def _key(v):
    return (v.real, v.imag) if isinstance(v, complex) else v


def pairs_of(kinds, funcs):
    """Give kinds of values and what is defined of them."""
    numeric = ("any", "all", "var", "std")
    return [(k, f) for k in kinds for f in funcs if k != "dates" or f not in numeric]


def check(patches, func, skipna, merged):
    found = np.asarray(merged.values).reshape(-1)
    given = contributions(patches)
    for cell, value in enumerate(found):
        if cell not in given:
            assert (
                value == {"argmax": -1, "count": 0}[func]
                if func in ("argmax", "count")
                else (pd.isnull(value))
            )
            continue
        want = by_hand(given[cell], func, skipna)
        if want is None or pd.isnull(want):
            assert pd.isnull(value), (cell, value, given[cell])
        elif func in ("var", "std"):
            np.testing.assert_allclose(value, want, atol=1e-12)
        else:
            assert value == want, (cell, value, given[cell])


@pytest.mark.parametrize("make", [knn, caps])
@pytest.mark.parametrize(("kind", "func"), pairs_of(KINDS, FUNCS))
@pytest.mark.parametrize("skipna", [None, False])
def test_lists_as_by_hand(make, kind, func, skipna):
    patches = filled(make(), kind)
    order = np.random.default_rng(4).permutation(patches.sizes["patch"])
    patches = patches.isel(patch=order)
    skips = skipna is None and kind not in ("int", "bool")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        merged = patches.patch.merge(func, skipna=skipna)
        check(patches, func, skips, merged)
        lazy = patches.chunk(patch=7).patch.merge(func, skipna=skipna)
        assert lazy.chunks is not None
        assert lazy.dtype == merged.dtype
        same = xr.testing.assert_allclose if func in ("var", "std") else xr.testing.assert_identical
        same(lazy.compute(), merged)


@pytest.mark.parametrize("func", ["min", "max", "var", "std", "count", "first", "last"])
def test_lists_as_pandas(func):
    patches = filled(knn(), "gaps").where(lambda p: np.isfinite(p))
    found = contributions(patches)
    rows = [(cell, v) for cell, pairs in found.items() for _, v in pairs]
    frame = pd.DataFrame(rows, columns=["cell", "v"]).groupby("cell")["v"]
    want = getattr(frame, func)(**({"ddof": 0} if func in ("var", "std") else {}))
    merged = patches.patch.merge(func).values[want.index]
    np.testing.assert_allclose(merged, want.to_numpy(), atol=1e-12)


@pytest.mark.parametrize("func", FUNCS)
@pytest.mark.parametrize("chunks", [None, {"patch": 9}])
def test_flox_groups_lists(func, chunks, monkeypatch):
    calls = []
    real = flox.groupby_reduce

    def counted(*args, **kwargs):
        calls.append(kwargs["func"])
        assert kwargs["engine"] == "numpy"
        assert "fill_value" in kwargs
        assert isinstance(args[0], np.ndarray)
        return real(*args, **kwargs)

    monkeypatch.setattr(flox, "groupby_reduce", counted)
    patches = filled(knn(), "gaps")
    patches = patches if chunks is None else patches.chunk(chunks)
    patches.patch.merge(func).load()
    means = {"var": "nanvar", "std": "nanvar", "first": "min", "last": "min", "argmax": "nanargmax"}
    wanted = means.get(func, func)
    assert any(name in (wanted, f"nan{wanted}") for name in calls)


def test_large_integers_and_equal_values_of_argmax():
    patches = knn().astype(int)
    data = np.where(np.arange(40)[:, None] % 2, 2**62, 2**62 + 1) + 0 * patches.values
    patches = patches.copy(data=data)
    check(patches, "argmax", False, patches.patch.merge("argmax"))


# -------------------------------------------------------------------------------------- boxes


def boxes(kind, leave_out=0.0, listed=False, dims=2):
    rng = np.random.default_rng(5)
    names = ("z", "y", "x")[-dims:]
    shape = (9, 23, 17)[-dims:]
    field = xr.DataArray(rng.random(shape), dims=names)
    size = dict.fromkeys(names, 5)
    sampler = xpatch.Random(30, seed=3) if listed else xpatch.RegularStride(dict.fromkeys(names, 3))
    patches = filled(field.patch.split(geometry=size, sampler=sampler), kind)
    keep = np.flatnonzero(rng.random(patches.sizes["patch"]) >= leave_out)
    return patches.isel(patch=rng.permutation(keep)), shape


def on_boxes(patches, shape, func, skips):
    plan = patches.xindexes["patch"].plans[0]
    labels = patches["patch"].values
    found = {}
    for row in np.argsort(labels, kind="stable"):
        start = plan.hood.starts(labels[[row]])[0]
        for inner in np.ndindex(patches.shape[1:]):
            cell = tuple(np.add(start, inner))
            found.setdefault(cell, []).append((int(labels[row]), patches.values[(row, *inner)]))
    out = np.full(shape, None, object)
    for cell, pairs in found.items():
        out[cell] = by_hand(pairs, func, skips)
    return out


@pytest.mark.parametrize(("kind", "func"), pairs_of(KINDS[1:], ["any", "all", "argmax"]))
@pytest.mark.parametrize("how", [{}, {"leave_out": 0.3}, {"listed": True}, {"dims": 1}])
@pytest.mark.parametrize("skipna", [None, False])
def test_boxes_as_by_hand(kind, func, how, skipna):
    patches, shape = boxes(kind, **how)
    skips = skipna is None and kind not in ("int", "bool")
    want = on_boxes(patches, shape, func, skips)
    merged = patches.patch.merge(func, skipna=skipna)
    for got, value in zip(merged.values.reshape(-1), want.reshape(-1), strict=True):
        if value is None:
            assert got == -1 if func == "argmax" else np.isnan(got)
        else:
            assert got == value
    assert merged.dtype == np.int64 if func == "argmax" else merged.dtype.kind in "bf"
    lazy = patches.chunk(patch=8).patch.merge(func, skipna=skipna)
    assert lazy.dtype == merged.dtype
    xr.testing.assert_identical(lazy.compute(), merged)


def test_truth_is_bool_where_everything_is_covered():
    field = xr.DataArray(np.arange(24.0).reshape(4, 6), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 2, "x": 3})
    for func in ("any", "all"):
        xr.testing.assert_identical(patches.patch.merge(func), field != 0)
    part = patches.isel(patch=[0])
    assert part.patch.merge("any").dtype == float
    assert part.patch.merge("any", fill_value=False).dtype == bool


def test_numbers_that_stand_for_missing():
    field = xr.DataArray(np.array([[3, -9, 0, -9]]), dims=("y", "x"), attrs={"_FillValue": -9})
    patches = field.patch.split(geometry={"y": 1, "x": 2})
    assert patches.patch.merge("any").values.tolist() == [[True, False, False, False]]
    assert patches.patch.merge("all").values.tolist() == [[True, True, False, True]]
    argmax = patches.patch.merge("argmax")
    assert argmax.values.tolist() == [[0, -1, 1, -1]]
    assert "_FillValue" not in argmax.attrs
    part = patches.isel(patch=[1]).patch.merge("any")
    assert np.isnan(part.values[0, :2]).all()
    assert "_FillValue" not in part.attrs


def test_argmax_of_tapered_values_is_refused():
    field = xr.DataArray(np.ones((8, 8)), dims=("y", "x"))
    patches = field.patch.split(geometry={"y": 4, "x": 4}, window="hann")
    for func in ("argmax", "any", "all"):
        with pytest.raises(ValueError, match="needs the values themselves"):
            patches.patch.merge(func)


def test_truth_of_dates_is_refused():
    with pytest.raises(TypeError, match="compare them first"):
        filled(knn(), "dates").patch.merge("any")


def test_argmax_in_space_and_time():
    time = pd.date_range("2000-01-01", periods=12)
    field = xr.DataArray(
        np.random.default_rng(0).random((12, 9, 9)), {"time": time}, ("time", "y", "x")
    )
    patcher = xpatch.SpatioTemporalPatcher(
        xpatch.Patcher({"y": 5, "x": 5}, xpatch.RegularStride(4)),
        xpatch.TimePatcher(xpatch.FixedLookback(4), xpatch.RegularTimeStride(2)),
    )
    patches = patcher.split(field)
    noisy = patches.copy(data=np.random.default_rng(1).random(patches.shape))
    most, where = noisy.patch.merge("max"), noisy.patch.merge("argmax")
    back = noisy.copy(data=np.broadcast_to(noisy["patch"].values[:, None, None, None], noisy.shape))
    for label in np.unique(where.values):
        if label >= 0:
            own = noisy.sel(patch=[label]).patch.merge("max", like=field)
            at = where.values == label
            np.testing.assert_array_equal(own.values[at], most.values[at])
    assert (where.values[np.isnan(most.values)] == -1).all()
    xr.testing.assert_identical(noisy.chunk(patch=3).patch.merge("argmax").compute(), where)
    assert back.patch.merge("min").where(where >= 0).max() <= noisy["patch"].max()


def test_argmax_of_a_dataset():
    patches = filled(knn(), "gaps")
    both = xr.Dataset({"a": patches, "b": -patches})
    merged = both.patch.merge("argmax")
    xr.testing.assert_equal(merged["a"], patches.patch.merge("argmax"))
    xr.testing.assert_equal(merged["b"], (-patches).patch.merge("argmax"))


# ----------------------------------------------------------------- aggregations of flox itself


def spread(group_idx, array, *, axis=-1, size=None, fill_value=None, dtype=None):
    """Largest minus smallest, of each group."""
    out = np.full((*array.shape[:-1], size), np.nan if fill_value is None else fill_value, float)
    for g in np.unique(group_idx):
        rows = array[..., group_idx == g]
        out[..., g] = rows.max(-1) - rows.min(-1)
    return out


SPREAD = flox.Aggregation("spread", numpy=spread, chunk=None, combine=None, final_dtype=float)


@pytest.mark.parametrize("kind", ["float", "gaps", "int"])
@pytest.mark.parametrize("chunks", [None, {"patch": 6}])
@pytest.mark.parametrize("make", [knn, caps])
def test_an_aggregation_of_flox_takes_lists(kind, chunks, make, monkeypatch):
    patches = filled(make(), kind).where(np.isfinite) if kind == "gaps" else filled(make(), kind)
    given = patches if chunks is None else patches.chunk(chunks)
    merged = given.patch.merge(SPREAD)
    want = patches.patch.merge("max") - patches.patch.merge("min")
    assert merged.dtype == float
    np.testing.assert_array_equal(merged.values, want.values)


@pytest.mark.parametrize(
    "how", [{}, {"leave_out": 0.3}, {"listed": True}, {"dims": 1}, {"dims": 3}]
)
@pytest.mark.parametrize("chunks", [None, {"patch": 8}])
def test_an_aggregation_of_flox_takes_boxes(how, chunks):
    patches, _ = boxes("gaps", **how)
    patches = patches.where(np.isfinite)
    given = patches if chunks is None else patches.chunk(chunks)
    want = patches.patch.merge("max") - patches.patch.merge("min")
    xr.testing.assert_identical(given.patch.merge(SPREAD).compute(), want)


def test_an_aggregation_of_flox_is_one_call_in_memory(monkeypatch):
    calls = []
    real = flox.groupby_reduce
    monkeypatch.setattr(flox, "groupby_reduce", lambda *a, **k: calls.append(k) or real(*a, **k))
    patches, _ = boxes("int")
    patches.patch.merge(SPREAD)
    assert [c["func"] for c in calls if c["expected_groups"].size > 1] == [SPREAD]


def test_an_aggregation_of_flox_by_name():
    patches = knn()
    total = flox.Aggregation("sum", numpy="sum", chunk="sum", combine="sum", fill_value=0)
    xr.testing.assert_allclose(patches.patch.merge(total), patches.patch.merge("sum"))
    patcher = xpatch.Patcher(xpatch.KNNGraph(6), aggregation=total)
    assert repr(patcher.aggregation) == "Grouped('sum')"


@pytest.mark.parametrize("wrong", [flox, np.max, 3])
def test_other_objects_are_refused(wrong):
    with pytest.raises(TypeError, match="must be a name or an object of Aggregation"):
        knn().patch.merge(wrong)


def test_flox_is_imported_when_lists_are_merged():
    code = (
        "import sys, numpy as np, xarray as xr, xpatch\n"
        "p = xr.DataArray(np.ones((8, 8)), dims=('y', 'x')).patch.split(geometry={'y': 4, 'x': 4})\n"
        "p.patch.merge('any'), p.patch.merge('argmax')\n"
        "print('flox' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
