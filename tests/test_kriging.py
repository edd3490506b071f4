"""Kriging in moving windows, as the how-to does it, against PyKrige."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pykrige.ok import OrdinaryKriging

import xpatch

SILL, RANGE, NUGGET, NEAR = 4.0, 30.0, 0.3, 12


def variogram(h):
    return SILL * (1 - np.exp(-3 * h / RANGE)) + NUGGET * (h > 0)


def test_moving_windows_are_those_of_pykrige():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 100, (2, 80))
    z = np.sin(x / 15) + np.cos(y / 20) + 0.2 * rng.normal(size=80)
    stations = xr.DataArray(z, {"x": ("site", x), "y": ("site", y)}, ("site",), name="z")
    to_x, to_y = rng.uniform(5, 95, (2, 25))
    near = stations.patch.split(
        geometry=xpatch.KNNGraph(NEAR), sampler=xpatch.Explicit({"x": to_x, "y": to_y})
    )
    at = np.stack([near.patch.offsets.d_x.values, near.patch.offsets.d_y.values], -1)
    system = np.ones((25, NEAR + 1, NEAR + 1))
    system[:, :NEAR, :NEAR] = variogram(np.linalg.norm(at[:, :, None] - at[:, None], axis=-1))
    system[:, NEAR, NEAR] = 0
    right = np.ones((25, NEAR + 1))
    right[:, :NEAR] = variogram(near.patch.distance.values)
    weights = np.linalg.solve(system, right[..., None])[..., 0]
    mean = (weights[:, :NEAR] * near.values).sum(axis=1)
    variance = (weights * right).sum(axis=1)
    model = {"psill": SILL, "range": RANGE, "nugget": NUGGET}
    kriging = OrdinaryKriging(x, y, z, variogram_model="exponential", variogram_parameters=model)
    expected = kriging.execute("points", to_x, to_y, n_closest_points=NEAR, backend="loop")
    np.testing.assert_allclose(mean, expected[0], rtol=1e-9)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-9)
