"""The network of the README runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xpatch

torch = pytest.importorskip("torch")
README = Path(__file__).parent.parent / "README.md"


@pytest.mark.skipif(not README.exists(), reason="no README beside the tests")
def test_the_network_of_the_readme(tmp_path, monkeypatch):
    rioxarray = pytest.importorskip("rioxarray")
    text = README.read_text(encoding="utf-8")
    (code,) = re.findall(r"^<!-- network -->\n```python\n(.*?)^```", text, flags=re.S | re.M)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    label = (rng.random((384, 512)) > 0.9).astype("u1")
    image = np.stack([label, label * 2]).astype("f4")
    image[:, 200:230, 300:370] = np.nan  # clouds
    coords = {"y": 5_000_000 - 10.0 * np.arange(384), "x": 300_000 + 10.0 * np.arange(512)}
    scene = xr.Dataset({"image": (("band", "y", "x"), image), "label": (("y", "x"), label)}, coords)
    scene = scene.rio.write_crs("EPSG:32633")
    net = torch.nn.Conv2d(2, 2, 1).eval()
    with torch.no_grad():
        net.weight[...] = torch.tensor([[[[-1.0]], [[0.0]]], [[[1.0]], [[0.0]]]])
        net.bias[...] = torch.tensor([1.0, 0.0])
    steps = []
    names = {"scene": scene, "net": net, "xpatch": xpatch}
    names["step"] = lambda out, target: steps.append((out.shape, target.shape, target.dtype))
    exec(code, names)
    assert steps
    assert set(steps) == {((16, 2, 64, 64), (16, 64, 64), torch.uint8)}
    label[200:230, 300:370] = 255
    with rioxarray.open_rasterio("map.tif") as written:
        assert written.rio.nodata == 255
        np.testing.assert_array_equal(written[0], label)
        assert written.rio.crs.to_epsg() == 32633
