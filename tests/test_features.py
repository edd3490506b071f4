"""`to_features`: boxes and masks of patches on the ground, each object once."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

import xpatch
from xpatch.training.nms import kept

geopandas = pytest.importorskip("geopandas")
shapely = pytest.importorskip("shapely")
rasterio = pytest.importorskip("rasterio")
rioxarray = pytest.importorskip("rioxarray")
pyproj = pytest.importorskip("pyproj")

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul")


def raster(ny=40, nx=50, epsg=32633, north=True, x0=500_000.0):
    y = 6_000_000 - 10 * (np.arange(ny) + 0.5)
    x = x0 + 10 * (np.arange(nx) + 0.5)
    field = xr.DataArray(
        np.zeros((ny, nx), "f4"), {"y": y if north else y[::-1], "x": x}, ("y", "x"), name="b4"
    )
    return field.rio.write_crs(epsg)


def tiles(field, size=20, stride=10, **how):
    sampler = xpatch.RegularStride(stride)
    return field.patch.split(xpatch.Rectangular(y=size, x=size, **how), sampler=sampler)


def one_box(patches, row, box):
    """Give boxes of which there is one, in one patch."""
    return [[box] if k == row else np.zeros((0, 4)) for k in range(patches.sizes["patch"])]


def corners(shape):
    return {tuple(np.round(c, 6)) for c in shapely.get_coordinates(shape)}


def ground(transform, box):
    """Give the corners of a box by rasterio, which counts pixels from their centers."""
    x0, y0, x1, y1 = box
    pairs = [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]
    rows, columns = np.array(pairs).T
    xs, ys = rasterio.transform.xy(transform, rows, columns, offset="ul")
    return {(round(x, 6), round(y, 6)) for x, y in zip(xs, ys, strict=True)}


# ------------------------------------------------------------------------------- where they lie


@pytest.mark.parametrize("north", [True, False])
@pytest.mark.parametrize("row", [0, 4, 11])
def test_pixels_count_from_the_corner_of_their_patch(north, row):
    patches = tiles(raster(north=north))
    box = [2.5, 3, 7, 9.25]
    found = patches.patch.to_features(one_box(patches, row, box))
    own = patches.patch[row].rio.transform()
    assert corners(found.geometry[0]) == ground(own, box)
    assert found.crs.to_epsg() == 32633
    assert found["patch"].tolist() == [row]
    assert list(found.columns) == ["patch", "geometry"]
    assert found.geometry[0].exterior.is_ccw


@pytest.mark.parametrize("turn", [0, 20])
def test_rotated_rasters_and_those_without_labels(tmp_path, turn):
    transform = Affine(10, 0, 500_000, 0, -10, 6_000_000) @ Affine.rotation(turn)
    transform = transform @ Affine.shear(turn / 2)
    with rasterio.open(
        tmp_path / "in.tif", "w", driver="GTiff", height=40, width=50, count=1, dtype="float32",
        crs="EPSG:32633", transform=transform,
    ) as out:  # fmt: skip
        out.write(np.zeros((1, 40, 50), "f4"))
    field = rioxarray.open_rasterio(tmp_path / "in.tif", parse_coordinates=False)
    patches = tiles(field)
    box = [2, 3, 7, 9]
    found = patches.patch.to_features(one_box(patches, 6, box))
    own = transform @ Affine.translation(10 * (6 % 4), 10 * (6 // 4))
    assert corners(found.geometry[0]) == ground(own, box)
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 3:9, 2:7] = True
    empty = np.zeros((0, 20, 20), bool)
    same = patches.patch.to_features(masks=[mask if k == 6 else empty for k in range(12)])
    assert same.geometry[0].equals_exact(found.geometry[0], 1e-6) or same.geometry[0].equals(
        found.geometry[0]
    )


def test_without_labels_cells_are_counted_as_in_footprints():
    patches = tiles(
        xr.DataArray(np.zeros((40, 50)), dims=("row", "column")).rename(row="y", column="x")
    )
    whole = patches.patch.to_features([[[0, 0, 20, 20]]] * 12, iou_threshold=None)
    assert whole.crs is None
    assert whole.geometry.geom_equals(
        patches.patch.footprints().geometry.reset_index(drop=True)
    ).all()


def test_uneven_labels_and_degrees():
    lat, lon = np.array([0.0, 1, 3, 6, 10]), np.array([10.0, 20, 30, 40])
    field = xr.DataArray(np.zeros((5, 4)), {"lat": lat, "lon": lon}, ("lat", "lon"))
    patches = field.patch.split({"lat": 2, "lon": 2})
    found = patches.patch.to_features(one_box(patches, 3, [0.5, 0.5, 2, 2]))
    # cells of latitude 2 to 4.5 and 4.5 to 8, of longitude 25 to 35 and 35 to 45
    assert found.total_bounds.tolist() == [30, 3.25, 45, 8]
    assert found.crs.to_epsg() == 4326


def test_cropped_patches_and_parts_of_the_set():
    patches = tiles(raster())
    cropped = patches.patch.crop(y=(2, 3), x=4)
    box = [1, 2, 5, 6]
    at = patches.patch.to_features(one_box(patches, 5, [5, 4, 9, 8])).geometry[0]
    assert cropped.patch.to_features(one_box(cropped, 5, box)).geometry[0].equals(at)
    some = cropped.isel(patch=[7, 5, 5])
    found = some.patch.to_features([[], [box], [box]])
    assert found.geometry[0].equals(at)
    assert found["patch"].tolist() == [5]  # the same patch twice is the same object twice
    with pytest.raises(ValueError, match="15 rows and 12 columns"):
        cropped.patch.to_features(one_box(cropped, 5, [0, 0, 12, 16]))


def test_patches_of_files(tmp_path):
    patches = tiles(raster())
    patches.to_dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)
    opened = xr.open_zarr(tmp_path / "a.zarr", consolidated=False, decode_coords="all")
    boxes = one_box(patches, 5, [1, 2, 5, 6])
    own, read = patches.patch.to_features(boxes), opened["b4"].patch.to_features(boxes)
    assert read.crs == own.crs
    assert read.geometry.geom_equals(own.geometry).all()
    assert (
        opened.isel(patch=[5])
        .patch.to_features([[[1, 2, 5, 6]]])
        .geometry.geom_equals(own.geometry)
        .all()
    )


def test_nothing_of_the_patches_is_computed():
    import dask.array as da

    def fail(block):
        raise RuntimeError

    data = da.zeros((40, 50), chunks=20).map_blocks(fail, dtype="f4", meta=np.zeros((0, 0), "f4"))
    patches = tiles(raster().copy(data=data)).expand_dims(band=3, axis=1)
    assert len(patches.patch.to_features(one_box(patches, 5, [1, 2, 5, 6]))) == 1


# ---------------------------------------------------------------------- padding, and the seam


def test_padding_is_cut_off():
    patches = tiles(raster(25, 25), 20, 20, boundary="pad")
    assert patches.sizes["patch"] == 4
    found = patches.patch.to_features([[], [], [], [[2, 3, 9, 8], [6, 6, 9, 9], [0, 0, 4, 4]]])
    assert found.total_bounds.tolist() == [500_200, 5_999_750, 500_250, 5_999_800]
    assert found.geometry.area.tolist() == [3 * 2 * 100, 16 * 100]  # the second lies outside


def test_around_the_seam_an_object_has_two_parts_and_is_found_once():
    lon, lat = np.arange(5.0, 360, 10), np.arange(-85.0, 90, 10)
    field = xr.DataArray(np.zeros((18, 36)), {"lat": lat, "lon": lon}, ("lat", "lon"))
    geometry = xpatch.Rectangular(lat=18, lon=12, boundary={"lon": "wrap", "lat": "shift"})
    patches = field.patch.split(geometry, sampler=xpatch.RegularStride({"lat": 18, "lon": 6}))
    starts = patches.patch.anchors["lon"].values - 65
    assert starts.tolist() == [0, 60, 120, 180, 240, 300]
    # 340 to 20 in the patch from 300 on; 0 to 20 is all that the first sees of another object
    boxes = [[[0, 2, 2, 5]], [], [], [], [[10, 2, 12, 5]], [[4, 2, 8, 5], [7, 8, 8.5, 9]]]
    scores = [[0.5], [], [], [], [0.6], [0.9, 0.7]]
    found = patches.patch.to_features(boxes, scores=scores, iou_threshold=0.45)
    assert found["score"].tolist() == [0.9, 0.7]
    west, east = sorted(p.bounds for p in found.geometry[0].geoms)
    assert west == (0, -70, 20, -40)
    assert east == (340, -70, 360, -40)
    assert found.geometry[1].bounds == (10, -10, 25, 0)


# --------------------------------------------------------------------------------- each once


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    area = lambda c: (c[2] - c[0]) * (c[3] - c[1])  # noqa: E731
    return common / (area(a) + area(b) - common)


def brute(boxes, scores, labels, threshold):
    """Greedy suppression, pair by pair."""
    left = sorted(range(len(boxes)), key=lambda k: -scores[k])
    out = []
    while left:
        best = left.pop(0)
        out.append(best)
        left = [
            k for k in left
            if labels[k] != labels[best] or iou(boxes[k], boxes[best]) <= threshold
        ]  # fmt: skip
    return sorted(out)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_suppression_is_that_of_a_loop_over_pairs(seed, threshold):
    rng = np.random.default_rng(seed)
    low = rng.random((40, 2)) * 20
    boxes = np.concatenate([low, low + 0.5 + rng.random((40, 2)) * 10], axis=1)
    scores, labels = rng.permutation(40) / 40, rng.integers(0, 2, 40)
    shapes = shapely.box(*boxes.T)
    found = np.flatnonzero(kept(shapes, scores, labels, threshold))
    assert found.tolist() == brute(boxes, scores, labels, threshold)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_objects_of_overlapping_patches_are_as_of_a_loop_over_all(seed):
    """Of patches in a shuffled order, some of them missing."""
    rng = np.random.default_rng(seed)
    patches = tiles(raster(60, 70), 20, 9)
    order = rng.permutation(patches.sizes["patch"])[:15]
    some = patches.isel(patch=order)
    boxes, scores, labels, flat = [], [], [], []
    for k in range(15):
        low = rng.integers(0, 10, (6, 2)) * 1.0
        own = np.concatenate([low, low + rng.integers(3, 10, (6, 2))], axis=1)
        boxes.append(own)
        scores.append(rng.random(6))
        labels.append(rng.choice(["ship", "oil"], 6))
        x0, y1 = (float(v) for v in (some[k].x.min() - 5, some[k].y.max() + 5))
        flat += [[x0 + 10 * a, y1 - 10 * d, x0 + 10 * c, y1 - 10 * b] for a, b, c, d in own]
    found = some.patch.to_features(boxes, labels, scores, iou_threshold=0.3)
    every = brute(flat, np.concatenate(scores), np.concatenate(labels), 0.3)
    np.testing.assert_allclose(found.bounds.values, np.array(flat)[every], atol=1e-6)
    np.testing.assert_array_equal(found["score"], np.concatenate(scores)[every])
    np.testing.assert_array_equal(found["label"], np.concatenate(labels)[every])
    np.testing.assert_array_equal(found["patch"], order[np.array(every) // 6])
    one = some.patch.to_features(boxes, labels, scores, iou_threshold=0.3, per_class=False)
    assert len(one) == len(brute(flat, np.concatenate(scores), [0] * 90, 0.3))


def test_parts_that_a_border_cut_off_go_by_the_smaller_area():
    patches = tiles(raster(20, 30))  # columns 0 to 20 and 10 to 30
    assert len(patches.patch.to_features([[[12, 4, 20, 8]], [[2, 4, 16, 8]]])) == 1  # 8 of 14
    boxes = [[[17, 4, 20, 8]], [[7, 4, 17, 8]]]  # 3 of 10
    assert len(patches.patch.to_features(boxes)) == 2
    found = patches.patch.to_features(boxes, scores=[[0.9], [0.1]], metric="ios")
    assert found.geometry.area.tolist() == [10 * 4 * 100]  # the whole, whatever the part scores


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_each_object_of_a_scene_is_found_once_though_borders_cut_it(seed):
    """A network that finds all objects, and what it sees of those that are cut."""
    rng = np.random.default_rng(seed)
    patches = tiles(raster(45, 64), 20, 12)  # objects are at most as long as patches overlap
    places = rng.permutation(
        np.stack(np.meshgrid(range(0, 56, 10), range(0, 37, 10)), -1).reshape(-1, 2)
    )
    low = places[:8] + rng.integers(0, 2, (8, 2))
    truth = np.concatenate([low, low + rng.integers(1, 8, (8, 2))], axis=1)
    boxes = []
    for one in range(patches.sizes["patch"]):
        at = patches[one]
        corner = np.array([(at.x[0] - 500_005) / 10, (5_999_995 - at.y[0]) / 10] * 2).round()
        seen = np.clip(truth - corner, 0, 20)
        boxes.append(seen[(seen[:, 2:] > seen[:, :2]).all(axis=1)])
    scores = [rng.random(len(b)) for b in boxes]
    found = patches.patch.to_features(boxes, scores=scores, metric="ios")
    bounds = found.bounds.values
    columns = np.stack(
        [bounds[:, 0] - 5e5, 6e6 - bounds[:, 3], bounds[:, 2] - 5e5, 6e6 - bounds[:, 1]], 1
    )
    assert sorted((columns / 10).round().tolist()) == sorted(truth.astype(float).tolist())


def test_without_scores_the_largest_stays_and_none_keeps_all():
    patches = tiles(raster(20, 30))
    boxes = [[[12, 4, 19, 8]], [[2, 4, 10, 8]]]
    assert patches.patch.to_features(boxes)["patch"].tolist() == [1]
    assert len(patches.patch.to_features(boxes, iou_threshold=None)) == 2


@pytest.mark.parametrize("dtype", ["u1", "bool", "i8"])
def test_scores_of_any_dtype_go_from_the_highest_down(dtype):
    patches = tiles(raster(20, 20))
    low = np.iinfo(dtype).min if dtype != "bool" else False
    scores = [np.array([low, 1]).astype(dtype)]
    found = patches.patch.to_features([[[0, 0, 4, 5], [0, 0, 4, 4]]], scores=scores)
    assert found.score.tolist() == [1]


def test_steps_in_time_are_no_duplicates():
    field = raster(20, 30).expand_dims(time=np.array(["2024-01-01", "2024-01-06"], "M8[ns]"))
    patches = field.patch.split(
        {"time": 1, "y": 20, "x": 20}, sampler=xpatch.RegularStride({"time": 1, "y": 10, "x": 10})
    )
    assert patches.sizes["patch"] == 4
    boxes = [[[12, 4, 19, 8]], [[2, 4, 9, 8]]] * 2  # the same ship on both days
    found = patches.patch.to_features(boxes)
    assert found["time"].tolist() == field.time.to_index().tolist()
    assert found["patch"].tolist() == [0, 2]


@pytest.mark.parametrize("window", [xpatch.FixedLookback(2), xpatch.CalendarPeriod("1MS")])
def test_windows_in_time_of_places(window):
    time = np.arange("2024-01-30", "2024-03-03", dtype="M8[D]").astype("M8[ns]")
    field = raster(20, 30).expand_dims(time=time)
    patches = field.patch.split([xpatch.Rectangular(y=20, x=20), window])
    first = patches.patch.anchors["place"].values == 0
    boxes = [[[12, 4, 19, 8]] if west else [[2, 4, 9, 8]] for west in first]
    found = patches.patch.to_features(boxes)  # of both places, but of each window
    assert found["patch"].tolist() == patches["patch"].values[first].tolist()
    np.testing.assert_array_equal(found["time"], patches.patch.anchors["time"].values[first])


# ---------------------------------------------------------------------------------- scenes


def test_scenes_are_kept_apart_and_in_one_crs():
    fields = [raster(20, 30), raster(20, 30), raster(20, 30, epsg=32634)]
    patches = xpatch.concat([tiles(f) for f in fields], scenes=["a", "b", "c"])
    order = [5, 0, 3, 1, 2, 4]
    boxes = [[[12, 4, 19, 8]], [[2, 4, 9, 8]]]  # the same place in both patches
    given = [boxes[k % 2] for k in order]
    with pytest.raises(ValueError, match=r"several CRSs.*to_crs='EPSG:4326'"):
        patches.isel(patch=order).patch.to_features(given)
    found = patches.isel(patch=order).patch.to_features(given, to_crs="EPSG:3035")
    assert found["scene"].tolist() == ["c", "a", "b"]
    assert found["patch"].tolist() == [5, 0, 3]
    for k, epsg in enumerate((32634, 32633, 32633)):
        back = found.to_crs(epsg).bounds.values[k]
        np.testing.assert_allclose(back, [500_120, 5_999_920, 500_190, 5_999_960], atol=1e-3)
    x, y = pyproj.Transformer.from_crs(32634, 3035, always_xy=True).transform(500_120, 5_999_960)
    assert np.abs(shapely.get_coordinates(found.geometry[0]) - [x, y]).sum(axis=1).min() < 1e-3
    same = patches.isel(patch=[0, 3]).patch.to_features(given[:2])
    assert same.crs.to_epsg() == 32633
    assert same["scene"].tolist() == ["a", "b"]


# ----------------------------------------------------------------------- what networks give


def test_masks_become_their_outlines():
    patches = tiles(raster(20, 30))
    masks = np.zeros((2, 2, 20, 20))
    masks[0, 0, 4:8, 12:18] = 0.8
    masks[0, 0, 5, 13] = 0.3  # a hole
    masks[0, 1, 0, 0] = masks[0, 1, 1, 1] = 1  # two parts
    masks[1, 0, 4:8, 2:8] = 0.5
    found = patches.patch.to_features(masks, scores=[[0.9, 0.3], [0.8, 0.7]])
    assert found["score"].tolist() == [0.9, 0.3]  # the same object in both; an empty mask is none
    first = shapely.box(500_120, 5_999_920, 500_180, 5_999_960)
    assert found.geometry[0].equals(first - shapely.box(500_130, 5_999_940, 500_140, 5_999_950))
    assert found.geometry[1].geom_type == "MultiPolygon"
    assert found.geometry[1].area == 200
    assert found.is_valid.all()
    assert found.geometry.geom_equals(
        patches.patch.to_features(masks=masks >= 0.5, scores=[[0.9, 0.3], [0.8, 0.7]]).geometry
    ).all()
    strict = patches.patch.to_features(masks, mask_threshold=0.6)
    assert strict["patch"].tolist() == [0, 0]


def test_patches_without_objects_may_have_empty_lists_of_masks():
    patches = tiles(raster(20, 30))
    found = patches.patch.to_features(masks=[np.ones((1, 20, 20), bool), []])
    assert found["patch"].tolist() == [0]


def test_dicts_and_tensors():
    torch = pytest.importorskip("torch")
    patches = tiles(raster(20, 30))
    plain = patches.patch.to_features(
        [[[12, 4, 19, 8]], [[1, 1, 3, 3], [2, 4, 9, 8]]], [[2], [1, 2]], [[0.5], [0.75, 0.25]]
    )
    boxes = [
        torch.tensor(b, requires_grad=True)
        for b in ([[12.0, 4, 19, 8]], [[1.0, 1, 3, 3], [2, 4, 9, 8]])
    ]
    labels = [torch.tensor([2]), torch.tensor([1, 2])]
    scores = [torch.tensor([0.5], dtype=torch.bfloat16), torch.tensor([0.75, 0.25])]
    dicts = [
        {"boxes": b, "labels": k, "scores": s}
        for b, k, s in zip(boxes, labels, scores, strict=True)
    ]
    for found in (
        patches.patch.to_features(boxes, labels, scores),
        patches.patch.to_features(dicts),
    ):
        assert found.geometry.geom_equals(plain.geometry).all()
        assert found["label"].tolist() == [2, 1]
        assert found["score"].tolist() == [0.5, 0.75]
    masks = [torch.zeros((1, 1, 20, 20)), torch.zeros((0, 1, 20, 20))]
    masks[0][0, 0, 4:8, 12:19] = 1
    rcnn = [
        {**d, "masks": m}
        for d, m in zip([dicts[0], {"boxes": torch.zeros((0, 4))}], masks, strict=True)
    ]
    rcnn[1] |= {"labels": torch.zeros(0), "scores": torch.zeros(0)}
    assert patches.patch.to_features(rcnn).geometry[0].equals(plain.geometry[0])
    assert len(patches.patch.to_features(m.numpy() for m in masks)) == 1


def test_no_objects_at_all():
    patches = tiles(raster())
    found = patches.patch.to_features([[]] * 12, [[]] * 12, [[]] * 12)
    assert len(found) == 0
    assert found.crs.to_epsg() == 32633
    assert {"label", "score", "patch"} <= set(found.columns)
    assert len(patches.patch.to_features(one_box(patches, 3, [4, 4, 4, 9]))) == 0  # no area
    assert len(patches.isel(patch=[]).patch.to_features([])) == 0


# ------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ({"boxes": [[]] * 3}, ValueError, "12 patches, in their order, got 3"),
        ({"boxes": ([] for _ in range(3))}, ValueError, "got 3"),
        ({"boxes": ([] for _ in range(14))}, ValueError, "got more than 12"),
        ({"boxes": [[]] * 12, "scores": [[]] * 11}, ValueError, "scores must have one entry"),
        ({}, TypeError, "boxes or masks"),
        ({"boxes": {"boxes": []}}, TypeError, r"as a list, got dict"),
        ({"boxes": np.zeros((12, 4))}, ValueError, r"shape \(n, 4\).*\(4,\)"),
        ({"row": [0, 0, 3]}, ValueError, r"shape \(n, 4\)"),
        ({"row": [5, 5, 3, 9]}, ValueError, "from corner and size"),
        ({"row": [5, 5, np.nan, 9]}, ValueError, "from corner and size"),
        ({"row": [5, 5, 21, 9]}, ValueError, r"must lie in their patch.*patch 4.*np\.clip"),
        ({"row": [-1, 5, 20, 9]}, ValueError, "must lie in their patch"),
        ({"row": [100, 100, 120, 130]}, ValueError, "must lie in their patch"),
        ({"row": [1, 1, 2, 2], "scores": [[]] * 12}, ValueError, r"scores of patch 4 must have shape \(1,\)"),
        ({"row": [1, 1, 2, 2], "labels": [[1]] * 12}, ValueError, r"labels of patch 0 must have shape \(0,\)"),
        ({"row": [1, 1, 2, 2], "iou_threshold": 1.5}, ValueError, "between 0 and 1"),
        ({"row": [1, 1, 2, 2], "metric": "giou"}, ValueError, "metric must be one of"),
        ({"masks": np.zeros((12, 1, 28, 28))}, ValueError, r"shape \(n, 20, 20\)"),
        ({"masks": np.zeros((12, 20, 20))}, ValueError, "one mask an object"),
    ],
)  # fmt: skip
def test_what_boxes_must_be(how, kind, said):
    patches = tiles(raster())
    if "row" in how:
        how = {"boxes": one_box(patches, 4, how["row"])} | {
            k: v for k, v in how.items() if k != "row"
        }
    with pytest.raises(kind, match=said):
        patches.patch.to_features(**how)


def test_scores_are_one_number_a_box():
    patches = tiles(raster(20, 20))
    for scores, said in (
        ([[[0.1, 0.9]]], "argmax"),
        ([[np.nan]], "NaN"),
        ([["a"]], "must be numbers"),
    ):
        with pytest.raises(ValueError, match=said):
            patches.patch.to_features([[[1, 1, 2, 2]]], scores=scores)


def test_patches_that_have_no_pixels():
    grid = xr.DataArray(
        np.zeros((18, 36)), {"lat": np.arange(-85.0, 90, 10), "lon": np.arange(0.0, 360, 10)}
    )
    caps = grid.patch.split(geometry=xpatch.SphericalCap(1500), sampler=xpatch.FibonacciSphere(5))
    with pytest.raises(TypeError, match="lists of members"):
        caps.patch.to_features([[]] * 5)
    series = xr.DataArray(
        np.zeros(30),
        {"time": np.arange("2024-01-01", "2024-01-31", dtype="M8[D]").astype("M8[ns]")},
        ("time",),
    )
    windows = series.patch.split(xpatch.FixedLookback(3))
    with pytest.raises(TypeError, match="windows in time"):
        windows.patch.to_features([[]] * windows.sizes["patch"])
    lat, lon = np.meshgrid(np.arange(8.0), np.arange(9.0), indexing="ij")
    swath = xr.DataArray(
        np.zeros((8, 9)),
        {"lat": (("j", "i"), lat + lon / 9), "lon": (("j", "i"), lon - lat / 9)},
        ("j", "i"),
    )
    with pytest.raises(TypeError, match="curvilinear"):
        swath.patch.split({"j": 4, "i": 4}).patch.to_features([[]] * 6)
    with pytest.raises(ValueError, match="not patches"):
        raster().patch.to_features([[]])


def test_images_that_lie_on_their_side_are_refused():
    patches = tiles(raster().transpose("x", "y"))
    with pytest.raises(ValueError, match=r"transpose\(\.\.\., 'y', 'x'\)"):
        patches.patch.to_features([[]] * 12)
    assert len(patches.transpose("patch", "y", "x").patch.to_features([[]] * 12)) == 0


def test_arrays_of_other_patches_and_single_patches():
    patches = tiles(raster())
    boxes = xr.DataArray(
        np.ones((12, 1, 4)) * [1, 2, 5, 6], {"patch": patches["patch"]}, ("patch", "box", "side")
    )
    assert len(patches.patch.to_features(boxes, iou_threshold=None)) == 12
    with pytest.raises(ValueError, match=r"boxes\.sel\(patch="):
        patches.patch.to_features(boxes[::-1])
    with pytest.raises(ValueError, match=r"isel\(patch=\[…\]\)"):
        patches.isel(patch=3).patch.to_features([[]])


def test_grids_of_two_resolutions_have_pixels_of_their_own():
    axis = np.arange(4.0)
    coords = {
        "y": -10 * axis - 5,
        "x": 10 * axis + 5,
        "y20": -20 * axis[:2] - 10,
        "x20": 20 * axis[:2] + 10,
    }
    field = xr.Dataset(
        {"b4": (("y", "x"), np.zeros((4, 4))), "b5": (("y20", "x20"), np.zeros((2, 2)))}, coords
    )
    patches = field.patch.split(xpatch.Rectangular({("y", "x"): 2, ("y20", "x20"): 1}))
    boxes = [[], [], [], [[0, 0, 1, 1]]]
    assert patches["b4"].patch.to_features(boxes).total_bounds.tolist() == [20, -30, 30, -20]
    assert patches["b5"].patch.to_features(boxes).total_bounds.tolist() == [20, -40, 40, -20]
    with pytest.raises(ValueError, match="2 grids"):
        patches.patch.to_features(boxes)


def test_patches_of_patches_are_refused():
    inner = tiles(raster()).patch.split({"y": 10, "x": 10}, dim="chip")
    with pytest.raises(ValueError, match="patches of patches"):
        inner.patch.to_features([[]] * inner.sizes["chip"])


def test_without_a_crs_there_is_none_to_transform_from():
    patches = tiles(xr.DataArray(np.zeros((20, 20)), dims=("y", "x")))
    with pytest.raises(ValueError, match="write_crs"):
        patches.patch.to_features([[]], to_crs=4326)


def test_without_geopandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(ImportError, match=r"xarray-patch\[vector\]"):
        tiles(raster(20, 20)).patch.to_features([[]])


@pytest.mark.parametrize("threshold", ["a", float("nan"), 2, True])
def test_a_threshold_of_masks_that_is_none(threshold):
    patches = xr.DataArray(np.zeros((4, 4)), dims=("y", "x")).patch.split({"y": 4, "x": 4})
    with pytest.raises((TypeError, ValueError), match="mask_threshold"):
        patches.patch.to_features(None, masks=[np.ones((1, 4, 4))], mask_threshold=threshold)
