"""The main job on real data: ``python -m xpatch.demo``.

A digital elevation model is detrended tile by tile, and a month of sea surface temperature around the
equator is low-passed in the Fourier domain of each tile. Both run on overlapping patches; the figures
show the result beside that of tiles without overlap.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xpatch


def elevation() -> xr.DataArray:
    """Load matplotlib's elevation model of the Jacksboro fault, int16, as a georeferenced raster."""
    import rioxarray  # noqa: F401  registers .rio
    from matplotlib.cbook import get_sample_data

    with np.load(get_sample_data("jacksboro_fault_dem.npz", asfileobj=False)) as dem:
        z, dx, dy = dem["elevation"], float(dem["dx"]), float(dem["dy"])
        west, north = float(dem["xmin"]), float(dem["ymin"])
    rows, columns = z.shape
    field = xr.DataArray(
        z,
        {
            "y": north - dy * (np.arange(rows) + 0.5),
            "x": west + dx * (np.arange(columns) + 0.5),
        },
        ("y", "x"),
        name="elevation",
        attrs={"long_name": "elevation", "units": "m"},
    )
    return field.rio.write_crs("EPSG:4326")


def sea_surface() -> xr.DataArray:
    """Load a month of OSTIA sea surface temperature within 5° of the equator, land missing."""
    import iris_sample_data

    path = Path(iris_sample_data.__file__).parent / "sample_data" / "ostia_monthly.nc"
    with xr.open_dataset(path, decode_coords="all", decode_timedelta=False) as ds:
        month = ds["surface_temperature"].isel(time=0).load()
    month = month.drop_vars(["forecast_reference_time", "forecast_period"]).drop_encoding()
    return month.assign_attrs(grid_mapping="latitude_longitude")


def detrend(patches: xr.DataArray) -> xr.DataArray:
    """Subtract from each patch the plane that fits it best."""
    ny, nx = patches.sizes["y"], patches.sizes["x"]
    y, x = np.mgrid[0:ny, 0:nx]
    design = np.stack([np.ones(ny * nx), y.ravel(), x.ravel()], axis=-1)
    values = patches.values.reshape(-1, ny * nx).astype(float)
    plane = values @ np.linalg.pinv(design).T @ design.T
    return patches.copy(data=(values - plane).reshape(patches.shape))


def low_pass(patches: xr.DataArray, keep: float = 0.3) -> xr.DataArray:
    """Keep the lowest share of the frequencies of each patch; missing cells stay missing."""
    known = patches.notnull()
    values = patches.fillna(0).values
    spectrum = np.fft.rfft2(values, axes=(-2, -1))
    fy = np.abs(np.fft.fftfreq(values.shape[-2]))[:, None]
    fx = np.fft.rfftfreq(values.shape[-1])[None]
    spectrum[..., np.hypot(fy, fx) > keep / 2] = 0
    smooth = np.fft.irfft2(spectrum, s=values.shape[-2:], axes=(-2, -1))
    return patches.copy(data=smooth.astype(patches.dtype)).where(known)


def run(out: Path) -> list[dict[str, Any]]:
    """Run both jobs, write figures and georeferenced results to ``out``, and give the numbers."""
    out.mkdir(parents=True, exist_ok=True)
    return [_elevation(out), _sea_surface(out)]


def _elevation(out: Path) -> dict[str, Any]:
    start = time.perf_counter()
    dem = elevation()
    geometry = xpatch.Rectangular(y=64, x=64)
    patches = dem.patch.split(geometry=geometry, sampler=xpatch.RegularStride(y=32, x=32))
    tiles = dem.patch.split(geometry=geometry)
    blend = xpatch.OverlapAdd("hann")
    seamless = detrend(patches).patch.merge(blend).rename("relief")
    seams = detrend(tiles).patch.merge().rename("relief")
    error = float(abs(patches.patch.merge(blend) - dem).max())
    seamless.astype("f4").rio.to_raster(out / "relief.tif")
    _picture(out / "elevation.png", dem, tiles, patches, seams, seamless, "terrain", "RdBu_r")
    return _row("elevation (DEM)", patches, dem, error, start)


def _sea_surface(out: Path) -> dict[str, Any]:
    start = time.perf_counter()
    sst = sea_surface()
    anomaly = sst - sst.mean()
    # Padding lets the cells on the rim be covered as often as any other: with an analysis window a
    # rim that only the foot of one window covers would amplify whatever the model does there.
    boundary = {"longitude": "wrap", "latitude": "pad"}
    geometry = xpatch.Rectangular(latitude=12, longitude=24, boundary=boundary)
    stride = xpatch.RegularStride(latitude=6, longitude=12)
    blend = xpatch.OverlapAdd("hann")
    patches = anomaly.patch.split(geometry=geometry, sampler=stride, window="hann")
    tiles = anomaly.patch.split(geometry={"latitude": 9, "longitude": 24})
    seamless = low_pass(patches).patch.merge(blend)
    seams = low_pass(tiles).patch.merge()
    error = float(abs(patches.patch.merge(blend) - anomaly).max())
    seamless.to_netcdf(out / "sst_low_pass.nc")
    _picture(out / "sst.png", anomaly, tiles, patches, seams, seamless, "RdBu_r", "RdBu_r")
    return _row("sea surface temperature", patches, anomaly, error, start)


def _row(name: str, patches: Any, field: Any, error: float, start: float) -> dict[str, Any]:
    covered = float((patches.patch.merge("count") > 0).where(field.notnull()).mean())
    return {
        "field": name,
        "shape": " × ".join(map(str, field.shape)),
        "patches": patches.sizes["patch"],
        "covered": covered,
        "error": error,
        "seconds": time.perf_counter() - start,
    }


def _picture(
    path: Path,
    field: Any,
    tiles: Any,
    patches: Any,
    seams: Any,
    seamless: Any,
    base: str,
    cmap: str,
) -> None:
    """Draw field → patches → model → field, with the same color limits for both results."""
    import matplotlib.pyplot as plt

    y, x = field.dims
    wide = field.sizes[x] > 4 * field.sizes[y]
    shape, size = ((4, 1), (9, 7)) if wide else ((2, 2), (9.5, 7.4))
    figure, axes = plt.subplots(*shape, figsize=size, layout="constrained")
    axes = axes.ravel()
    high = float(np.nanquantile(abs(seamless), 0.98))
    low = -high
    style: dict[str, Any] = {"x": x, "y": y, "add_labels": False}
    field.plot(ax=axes[0], cmap=base, robust=wide, **style)
    patches.patch.plot(field, coverage=False, axes=axes[1:2], cmap=base, robust=wide)
    seams.plot(ax=axes[2], cmap=cmap, vmin=low, vmax=high, **style)
    seamless.plot(ax=axes[3], cmap=cmap, vmin=low, vmax=high, **style)
    titles = (
        "field",
        f"{patches.sizes['patch']} overlapping patches",
        f"model on {tiles.sizes['patch']} tiles side by side",
        "model on the overlapping patches, merged",
    )
    for ax, title in zip(axes, titles, strict=True):
        ax.set(title=title, xlabel="", ylabel="")
        if not wide:
            ax.set_aspect("equal")
            ax.locator_params(nbins=5)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(prog="python -m xpatch.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("xpatch-demo"), help="folder of results")
    out = parser.parse_args(arguments).out
    try:
        import iris_sample_data  # noqa: F401
        import matplotlib
        import netCDF4  # noqa: F401
        import rioxarray  # noqa: F401
    except ImportError as error:
        raise SystemExit(f"the demo needs {error.name}: pip install 'xarray-patch[demo]'") from None
    matplotlib.use("Agg")
    rows = run(out)
    print(f"{'field':<26}{'shape':>12}{'patches':>9}{'covered':>9}{'identity error':>16}{'s':>6}")
    for row in rows:
        print(
            f"{row['field']:<26}{row['shape']:>12}{row['patches']:>9}{row['covered']:>9.0%}"
            f"{row['error']:>16.1e}{row['seconds']:>6.1f}"
        )
    for path in sorted(out.iterdir()):
        print(path)


if __name__ == "__main__":
    main()
