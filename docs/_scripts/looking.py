"""Draw the pictures of ``docs/howto/looking.md``: ``python docs/_scripts/looking.py``."""

import numpy as np
import shapely
import uxarray as ux
import xarray as xr
import xvec  # noqa: F401  registers .xvec
from figures import save
from scipy.spatial import ConvexHull, Voronoi

import xpatch
from xpatch import sphere
from xpatch.demo import elevation


def waves(lon, lat):
    """A smooth field on the sphere."""
    lam, phi = np.deg2rad(lon), np.deg2rad(lat)
    return np.sin(2 * lam) * np.cos(phi) ** 2 + 0.6 * np.sin(3 * phi)


def grid():
    """Boxes of a raster."""
    dem = elevation()
    patches = dem.patch.split(geometry={"y": 96, "x": 96}, sampler=xpatch.RegularStride(48))
    save(patches.patch.plot(dem, cmap="gist_earth"), "look-grid", 60, 128)


def caps():
    """Caps on a global grid."""
    lat, lon = np.arange(-88, 90, 4.0), np.arange(0, 360, 4.0)
    field = xr.DataArray(waves(*np.meshgrid(lon, lat)), {"lat": lat, "lon": lon}, name="anomaly")
    patches = field.patch.split(
        geometry=xpatch.SphericalCap(1800), sampler=xpatch.FibonacciSphere(40)
    )
    save(patches.patch.plot(field, cmap="RdBu_r"), "look-caps", 70, 256)


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
    save(patches.patch.plot(field, cmap="RdBu_r"), "look-curvilinear", 70, 256)


def mesh():
    """Faces within four steps of each other."""
    lon, lat = sphere.fibonacci(900)
    hull = ConvexHull(sphere.unit_vectors(lon, lat))
    faces = ux.Grid.from_topology(lon, lat, hull.simplices.astype(np.int64), fill_value=-1)
    values = waves(faces.face_lon.values, faces.face_lat.values)
    field = ux.UxDataArray(values, dims=("n_face",), uxgrid=faces, name="anomaly")
    patches = field.patch.split(geometry=xpatch.KHopGraph(4), sampler=xpatch.Random(40, seed=0))
    save(patches.patch.plot(field, cmap="Greys"), "look-mesh", 70, 256)


def stations():
    """The nearest neighbors of stations."""
    rng = np.random.default_rng(0)
    lon, lat = rng.normal(12, 4, 250), rng.normal(60, 3, 250)
    where = {"lon": ("station", lon), "lat": ("station", lat)}
    field = xr.DataArray(waves(9 * lon, 3 * lat), where, ("station",), name="rain")
    patches = field.patch.split(geometry=xpatch.KNNGraph(8))
    save(patches.patch.plot(field, cmap="Blues"), "look-stations", 70, 256)


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
    patches = field.patch.split(geometry=xpatch.RadiusGraph(8.0))
    save(patches.patch.plot(field, cmap="Greys"), "look-polygons", 70, 256)


if __name__ == "__main__":
    for draw in (grid, caps, curvilinear, mesh, stations, polygons):
        draw()
