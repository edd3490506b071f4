"""Labels in km under a CRS in m: sea ice and satellite disks come so. And other units of lengths."""

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
import xarray as xr

import xpatch

UTM = pyproj.CRS(32632)


def field(unit):
    scale = {"m": 1000.0, "km": 1.0, "": 1000.0}[unit]
    axes = {"y": 5098 - 2.0 * np.arange(50), "x": 500 + 2.0 * np.arange(40)}
    coords = {
        d: (d, v * scale, {"units": unit, "standard_name": f"projection_{d}_coordinate"})
        for d, v in axes.items()
    }
    values = np.arange(2000.0).reshape(50, 40)
    coords["spatial_ref"] = ((), 0, {"crs_wkt": UTM.to_wkt()})
    return xr.DataArray(values, coords, ("y", "x"), name="ice")


GEOMETRIES = {
    "cap": xpatch.SphericalCap(15),
    "box": xpatch.Rectangular("20km"),
    "slots": xpatch.CenteredGrid("20km", "20km", "4km"),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_patches_are_those_of_labels_in_meters(name):
    mine, theirs = (field(u).patch.split(GEOMETRIES[name]) for u in ("km", "m"))
    np.testing.assert_array_equal(mine, theirs)
    assert mine.sizes["patch"] > 10
    xr.testing.assert_identical(mine.patch.merge("first"), field("km"))


def test_places_go_to_the_right_cells_and_come_back():
    cell = (7, 11)
    km = field("km")
    at = gpd.GeoSeries(
        [shapely.Point(*(float(km[d][k]) * 1000 for d, k in zip("xy", cell[::-1], strict=True)))],
        crs=UTM,
    )
    around = xpatch.Explicit(at.to_crs(4326))
    patches = km.patch.split({"y": 1, "x": 1}, sampler=around)
    assert patches.item() == km.values[cell]
    outline = patches.patch.footprints(4326).geometry.iloc[0]
    want = at.buffer(1000, cap_style="square").to_crs(4326).iloc[0]
    assert outline.symmetric_difference(want).area < 1e-3 * want.area
    places = patches.patch.places
    np.testing.assert_allclose([places.x.item(), places.y.item()], [km.x[cell[1]], km.y[cell[0]]])
    same = field("m").patch.split({"y": 1, "x": 1}, sampler=xpatch.Explicit(patches))
    assert same.item() == patches.item()


def test_areas_are_in_square_meters():
    np.testing.assert_allclose(field("km").patch.area, 4e6)
    np.testing.assert_allclose(field("m").patch.area, 4e6)


def test_labels_without_units_are_in_those_of_the_crs():
    assert "kilometre" not in repr(field("").patch.domain)
    assert "kilometre" in repr(field("km").patch.domain)


def test_files(tmp_path):
    km = field("km")
    km.patch.split(xpatch.SphericalCap(15)).to_netcdf(tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc") as stored:
        merged = stored["ice"].patch.merge()
    np.testing.assert_allclose(merged, km)
    assert merged.x.attrs["units"] == "km"


UNITS = {
    "ft": 0.3048,
    "foot": 0.3048,
    "us-ft": 1200 / 3937,
    "US survey foot": 1200 / 3937,
    "US_survey_feet": 1200 / 3937,
    "cm": 0.01,
    "mm": 0.001,
    "KM": 1000,
    "Metres": 1,
    "nmi": 1852,
    "mile": 1609.344,
}


def lattice(unit, step, crs=UTM):
    coords = {d: (d, step * np.arange(60.0), {"units": unit}) for d in "yx"}
    coords["spatial_ref"] = ((), 0, {"crs_wkt": crs.to_wkt()})
    return xr.DataArray(np.zeros((60, 60)), coords, ("y", "x"))


@pytest.mark.parametrize("unit", UNITS)
def test_sizes_and_areas_go_by_any_known_unit(unit):
    """Cells of 3 m, in boxes of 30 m."""
    field = lattice(unit, 3 / UNITS[unit])
    np.testing.assert_allclose(field.patch.area, 9, rtol=1e-9)
    assert field.patch.split(geometry=xpatch.Rectangular("30m")).sizes == {
        "patch": 36,
        "y": 10,
        "x": 10,
    }
    line = field.isel(y=0).rename(x="s").reset_index("s").reset_coords("s", drop=True)
    line = line.assign_coords(x=("s", field.x.values, {"units": unit}), y=("s", np.zeros(60)))
    near = line.patch.split(geometry=xpatch.Rectangular(x="30.1m"))
    assert near.sizes["s"] == 11


@pytest.mark.parametrize("unit", ["ft", "us-ft", "US survey foot", "foot", ""])
def test_labels_may_say_the_feet_of_their_crs(unit):
    """EPSG:2263 is in US survey feet, which many files call ft."""
    field = lattice(unit, 10.0, pyproj.CRS(2263))
    np.testing.assert_allclose(field.patch.area, (12000 / 3937) ** 2, rtol=1e-5)
    assert field.patch.split(geometry=xpatch.Rectangular("100ft")).sizes["y"] == 10
    assert field.patch.domain.crs.equals(pyproj.CRS(2263))


@pytest.mark.parametrize("unit", ["degrees", "furlong", "Mm", "1"])
def test_units_that_are_not_known_are_refused_everywhere(unit):
    field = lattice(unit, 3.0)
    with pytest.raises(
        ValueError, match=f"in '{unit}', which is no length that is known: km, m, cm"
    ):
        field.patch.split(geometry=xpatch.Rectangular("30m"))
    with pytest.raises(ValueError, match="no length that is known"):
        _ = field.patch.area


LENGTHS = {
    "1nmi": 1852.0,
    "1 mi": 1609.344,
    "5000ft": 1524.0,
    "3937 us-ft": 1200.0,
    "2 nautical miles": 3704.0,
    "1 KM": 1000.0,
    "3 kilometers": 3000.0,
    "1e3 metre": 1000.0,
}


@pytest.mark.parametrize("text", LENGTHS)
def test_lengths_in_text(text):
    field = lattice("m", 100.0)
    size = field.patch.split(geometry=xpatch.Rectangular(text)).sizes["x"]
    assert size == round(LENGTHS[text] / 100)


@pytest.mark.parametrize("text", ["\u0663km", "3 Mm", "3 M", "30 parsec", "3", "km", "3 km km"])
def test_text_that_is_no_length(text):
    with pytest.raises(ValueError, match="units are km, m, cm, mm, ft, us-ft, mi, nmi and deg"):
        xpatch.Rectangular(text)


def in_km(crs):
    return field("km").assign_coords(spatial_ref=((), 0, {"crs_wkt": crs.to_wkt()}))


@pytest.mark.parametrize(
    "crs",
    [
        pyproj.CRS("EPSG:25832+5773"),
        pyproj.CRS("+proj=utm +zone=32 +ellps=intl +towgs84=1,2,3 +units=m +type=crs"),
        pyproj.CRS(25832).to_3d(),
    ],
    ids=["compound", "bound", "3-D"],
)
def test_labels_in_km_under_a_crs_that_is_made_of_others(crs):
    km = in_km(crs)
    np.testing.assert_allclose(km.patch.area, 4e6)
    units = [a.unit_conversion_factor for a in km.patch.domain.crs.axis_info]
    assert units == [1000, 1000, 1][: len(units)]  # heights stay in meters


def test_units_of_a_vertical_coordinate_do_not_count():
    high = field("m").expand_dims(z=("z", [0.0, 1.0], {"units": "km", "axis": "Z"})[1])
    high = high.assign_coords(z=("z", [0.0, 1.0], {"units": "km", "axis": "Z"}))
    assert "kilometre" not in repr(high.patch.domain)
    no_unit = high.assign_coords(x=("x", high.x.values), y=("y", high.y.values))
    assert "kilometre" not in repr(no_unit.patch.domain)
