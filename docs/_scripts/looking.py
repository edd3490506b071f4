"""Draw the pictures of ``docs/howto/looking.md``: ``python docs/_scripts/looking.py``."""

import numpy as np
import rioxarray  # noqa: F401  registers .rio
import shapely
import uxarray as ux
import xarray as xr
import xdggs
import xvec  # noqa: F401  registers .xvec
from figures import STATIC, save
from scipy.spatial import ConvexHull, Voronoi

import xpatch
from xpatch import sphere
from xpatch.demo import elevation

DPI = 100


def waves(lon, lat):
    """A smooth field on the sphere."""
    lam, phi = np.deg2rad(lon), np.deg2rad(lat)
    return np.sin(2 * lam) * np.cos(phi) ** 2 + 0.6 * np.sin(3 * phi)


def grid():
    """Boxes of a raster."""
    dem = elevation()
    patches = dem.patch.split(geometry={"y": 96, "x": 96}, sampler=xpatch.RegularStride(48))
    (STATIC / "look-card.html").write_text(patches.patch._repr_html_() + "\n")
    save(patches.patch.plot(dem, cmap="gist_earth"), "look-grid", DPI, 128)


def caps():
    """Caps on a global grid."""
    lat, lon = np.arange(-88, 90, 4.0), np.arange(0, 360, 4.0)
    field = xr.DataArray(waves(*np.meshgrid(lon, lat)), {"lat": lat, "lon": lon}, name="anomaly")
    patches = field.patch.split(
        geometry=xpatch.SphericalCap(1800), sampler=xpatch.FibonacciSphere(40)
    )
    save(patches.patch.plot(field, cmap="RdBu_r"), "look-caps", DPI, 256)


def curvilinear():
    """Boxes of a grid that is bent, across the dateline."""
    rows, columns = np.meshgrid(np.linspace(-20, 20, 60), np.linspace(-30, 30, 80), indexing="ij")
    a = np.deg2rad(35)
    turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    lon, lat = sphere.degrees_of(sphere.unit_vectors(columns, rows) @ turn.T)
    lon = (lon + 175 + 180) % 360 - 180
    coords = {
        "lat": (("y", "x"), lat, {"standard_name": "latitude"}),
        "lon": (("y", "x"), lon, {"standard_name": "longitude"}),
    }
    field = xr.DataArray(waves(2 * lon, lat), coords, ("y", "x"), name="anomaly")
    patches = field.patch.split(geometry={"y": 20, "x": 20}, sampler=xpatch.RegularStride(10))
    save(patches.patch.plot(field, cmap="RdBu_r"), "look-curvilinear", DPI, 256)


def cube():
    """Hops on a cubed sphere, across the borders of its faces."""
    edges = np.linspace(-np.pi / 4, np.pi / 4, 17)
    a, b = np.meshgrid(*[np.tan((edges[1:] + edges[:-1]) / 2)] * 2)
    one = np.ones_like(a)
    faces = [(one, a, b), (-a, one, b), (-b, a, one)]
    faces += [(-one, -b, -a), (b, -one, -a), (b, a, -one)]
    x, y, z = np.moveaxis(np.stack([np.stack(f) for f in faces]), 1, 0)
    lon, lat = np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    dims = ("nf", "Ydim", "Xdim")
    coords = {
        "lats": (dims, lat, {"standard_name": "latitude"}),
        "lons": (dims, lon, {"standard_name": "longitude"}),
    }
    field = xr.DataArray(waves(lon, lat), coords, dims, name="anomaly")
    patches = field.patch.split(geometry=xpatch.KHopGraph(4), sampler=xpatch.Random(60, seed=1))
    save(patches.patch.plot(field), "look-cube", DPI, 256)


def healpix():
    """Rings around cells of HEALPix."""
    grid = {"grid_name": "healpix", "level": 4, "indexing_scheme": "nested"}
    ids = {"cell_ids": ("cells", np.arange(12 * 4**4), grid)}
    field = xr.DataArray(np.zeros(12 * 4**4), ids, ("cells",), "anomaly").pipe(xdggs.decode)
    where = field.dggs.cell_centers()
    field = field.copy(data=waves(where.longitude.values, where.latitude.values))
    patches = field.patch.split(geometry=xpatch.KHopGraph(4), sampler=xpatch.Random(60, seed=2))
    save(patches.patch.plot(field), "look-healpix", DPI, 256)


def windows():
    """Windows in time over their series."""
    days = np.arange("2000-01-01", "2002-01-01", dtype="M8[D]").astype("M8[ns]")
    noise = np.random.default_rng(0).normal(0, 0.2, days.size)
    values = 14 + 4 * np.sin(np.arange(days.size) / 58) + noise
    attrs = {"units": "°C", "long_name": "sea surface temperature"}
    field = xr.DataArray(values, {"time": days}, ("time",), "sst", attrs)
    patcher = xpatch.TimePatcher(
        xpatch.LookbackHorizon(60, 20), sampler=xpatch.RegularTimeStride(60)
    )
    save(field.patch.split(patcher).patch.plot(field), "look-windows", DPI, 64)


def transect():
    """Boxes along one dimension."""
    km = np.arange(0.0, 400)
    values = 200 + 60 * np.sin(km / 40) + np.random.default_rng(0).normal(0, 6, km.size)
    coords = {"distance": ("distance", km, {"units": "km"})}
    field = xr.DataArray(values, coords, ("distance",), "depth", {"units": "m"})
    patches = field.patch.split(
        geometry=xpatch.Rectangular(distance=64), sampler=xpatch.RegularStride(32)
    )
    save(patches.patch.plot(field), "look-transect", DPI, 64)


def scenes():
    """Patches of two scenes."""
    own = []
    for north in (0, 3000):
        labels = {"y": 5e6 - north - 10.0 * np.arange(100), "x": 4e5 + 10.0 * np.arange(150)}
        scene = xr.DataArray(np.zeros((100, 150)), labels, ("y", "x")).rio.write_crs(32632)
        own.append(scene.patch.split(geometry={"y": 32, "x": 32}))
    both = xpatch.concat(own, scenes=["north", "south"])
    save(both.patch.plot(), "look-scenes", DPI, 32)


def mesh():
    """Faces within four steps of each other."""
    lon, lat = sphere.fibonacci(900)
    hull = ConvexHull(sphere.unit_vectors(lon, lat))
    faces = ux.Grid.from_topology(lon, lat, hull.simplices.astype(np.int64), fill_value=-1)
    values = waves(faces.face_lon.values, faces.face_lat.values)
    field = ux.UxDataArray(values, dims=("n_face",), uxgrid=faces, name="anomaly")
    patches = field.patch.split(geometry=xpatch.KHopGraph(4), sampler=xpatch.Random(40, seed=0))
    save(patches.patch.plot(field, cmap="Greys"), "look-mesh", DPI, 256)


def stations():
    """The nearest neighbors of stations."""
    rng = np.random.default_rng(0)
    lon, lat = rng.normal(12, 4, 250), rng.normal(60, 3, 250)
    where = {"lon": ("station", lon), "lat": ("station", lat)}
    field = xr.DataArray(waves(9 * lon, 3 * lat), where, ("station",), name="rain")
    patches = field.patch.split(geometry=xpatch.KNNGraph(8))
    save(patches.patch.plot(field, cmap="Blues"), "look-stations", DPI, 256)


def polygons():
    """Districts that touch each other."""
    rng = np.random.default_rng(1)
    cells = Voronoi(rng.random((400, 2)) * 100)
    regions = [cells.regions[k] for k in cells.point_region]
    shapes = [shapely.Polygon(cells.vertices[r]) for r in regions if r and -1 not in r]
    shapes = [s & shapely.box(0, 0, 100, 100) for s in shapes]
    shapes = np.array([s for s in shapes if not s.is_empty], dtype=object)
    field = xr.DataArray(rng.random(len(shapes)), {"district": shapes}, ("district",), name="share")
    field = field.xvec.set_geom_indexes("district", crs="EPSG:32633")
    patches = field.patch.split(geometry=xpatch.RadiusGraph(8.0), sampler=xpatch.Random(40, seed=0))
    save(patches.patch.plot(field, cmap="Greys", alpha=0.7), "look-polygons", DPI, 256)


if __name__ == "__main__":
    lists = (caps, curvilinear, cube, healpix, mesh, stations, polygons)
    for draw in (grid, *lists, windows, transect, scenes):
        draw()
