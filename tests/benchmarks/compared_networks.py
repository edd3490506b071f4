"""Networks that are run on a field by xpatch, MONAI, and loops around torchgeo and xbatcher; see `comparison`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

import xpatch
from tests.benchmarks.compared import CUT, SIZE, STEP, net, row, scene, tensor

GAUSS = xpatch.OverlapAdd("gaussian")
CLASSES = ("patch", "class", "y", "x")


def sliding(field: xr.DataArray, network: Any, overlap: float = 0.25, **options: Any) -> Any:
    """Run the inferer of MONAI."""
    from monai.inferers import sliding_window_inference

    with torch.no_grad():
        return sliding_window_inference(tensor(field), SIZE, 4, network, overlap, **options)


def chips(field: xr.DataArray, network: Any, margin: int = 0, step: int = STEP) -> Any:
    """Run a loop over torchgeo's grid, and stitch by hand: mean of what overlaps, without a margin inside of the field."""
    from torchgeo.datasets import RasterDataset
    from torchgeo.samplers import GridGeoSampler

    with tempfile.TemporaryDirectory() as folder:
        field.rio.to_raster(f"{folder}/a.tif")
        data = RasterDataset([f"{folder}/a.tif"])
        boxes = list(GridGeoSampler(data, SIZE, step))
        left, top = field.rio.bounds()[0], field.rio.bounds()[3]
        at = [(round((top - y.stop) / 10), round((x.start - left) / 10)) for x, y, _ in boxes]
        return stitched(field, network, at, (data[box]["image"] for box in boxes), margin)


def stitched(field: Any, network: Any, at: Any, images: Iterable[Any], margin: int) -> Any:
    """Put tiles back; those that reach out of the field are cut."""
    ny, nx = field.shape[1:]
    total, count, most = None, torch.zeros(ny, nx), (ny - SIZE, nx - SIZE)
    for start, image in zip(at, images, strict=True):
        with torch.no_grad():
            out = network(image[None])[0]
        total = torch.zeros(len(out), ny, nx) if total is None else total
        low = [max(0, s) + margin * (s > 0) for s in start]
        high = [
            min(n, s + SIZE) - margin * (s < m)
            for n, s, m in zip((ny, nx), start, most, strict=True)
        ]
        to = tuple(map(slice, low, high))
        own = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
        total[:, *to] += out[:, *own]
        count[to] += 1
    return total / count


def off(found: Any, expected: Any) -> str:
    """Tell how far results are from what they should be."""
    found, expected = np.asarray(found).squeeze(), np.asarray(expected).squeeze()
    error, missing = np.abs(found - expected), np.isnan(found)
    far = (error[~missing] > 1e-3).mean()
    return f"largest error {error[~missing].max():.0e}, {far:.1%} of cells off by 0.001, {missing.mean():.1%} without a value"


ONE = "identity, 300 × 500 cells, patches 64 every 48"


@row(ONE, "xpatch")
def _() -> str:
    return off(scene().patch.apply(lambda p: p, aggregation=GAUSS, **CUT), scene())


@row(ONE, "monai sliding_window_inference")
def _() -> str:
    return off(sliding(scene(), nn.Identity(), mode="gaussian"), scene())


@row(ONE, "torchgeo GridGeoSampler, by hand")
def _() -> str:
    return off(chips(scene(), nn.Identity()), scene())


@row(ONE, "xbatcher, by hand")
def _() -> str:
    import xbatcher

    field = scene().drop_vars("spatial_ref")
    total, count = xr.zeros_like(field), xr.zeros_like(field)
    lap = {"y": SIZE - STEP, "x": SIZE - STEP}
    for batch in xbatcher.BatchGenerator(field, CUT["geometry"], lap):
        total.loc[batch.coords] += batch
        count.loc[batch.coords] += 1
    return off(total / count.where(count > 0), field)


SEEN = "two 3 × 3 convolutions, beside the whole field at once"


@row(SEEN, "xpatch, margin 2")
def _() -> str:
    how = xpatch.OverlapAdd(xpatch.Boxcar(margin=2))
    found = scene().patch.apply(net(), aggregation=how, output_dims=CLASSES, **CUT)
    return off(found, net()(tensor(scene())).detach())


@row(SEEN, "xpatch, gaussian")
def _() -> str:
    found = scene().patch.apply(net(), aggregation=GAUSS, output_dims=CLASSES, **CUT)
    return off(found, net()(tensor(scene())).detach())


@row(SEEN, "monai, gaussian")
def _() -> str:
    return off(sliding(scene(), net(), mode="gaussian"), net()(tensor(scene())).detach())


@row(SEEN, "monai, map of weights that is 0 at the rim")
def _() -> str:
    weights = nn.functional.pad(torch.ones(SIZE - 4, SIZE - 4), (2, 2, 2, 2))
    return off(sliding(scene(), net(), roi_weight_map=weights), net()(tensor(scene())).detach())


@row(SEEN, "torchgeo, by hand, margin 2")
def _() -> str:
    return off(chips(scene(), net(), margin=2), net()(tensor(scene())).detach())


@row("the same map of weights: xpatch − MONAI", "monai and xpatch")
def _() -> str:
    from monai.data.utils import compute_importance_map

    weights = compute_importance_map((SIZE, SIZE), mode="gaussian")
    how = xpatch.OverlapAdd(weights.numpy())
    own = scene().patch.apply(net(), aggregation=how, output_dims=CLASSES, **CUT)
    plain = scene().patch.apply(net(), aggregation=GAUSS, output_dims=CLASSES, **CUT)
    theirs = sliding(scene(), net(), mode="gaussian")[0].numpy()
    return f"{np.abs(own - theirs).max():.0e}; with xpatch's own gaussian, which has no floor of 0.001, {np.abs(plain - theirs).max():.0e}"


HEAD = "a head of stride 4 on 302 × 502 cells, beside the means of 4 × 4 cells of the whole field"


@row(HEAD, "xpatch")
def _() -> str:
    try:
        scene(302, 502).patch.apply(nn.AvgPool2d(4), scale=1 / 4, output_dims=CLASSES, **CUT)
    except ValueError as error:
        refused = str(error)[:80]
    small = scene().patch.apply(nn.AvgPool2d(4), scale=1 / 4, output_dims=CLASSES, **CUT)
    mean = nn.functional.avg_pool2d(tensor(scene()), 4)
    return f"refused ({refused} …); 300 × 500: {off(small, mean)}, cells of {small.rio.resolution()[0]:.0f} m"


@row(HEAD, "monai")
def _() -> str:
    from monai.data import MetaTensor

    found, mean = (
        sliding(scene(302, 502), nn.AvgPool2d(4)),
        nn.functional.avg_pool2d(tensor(scene(302, 502)), 4),
    )
    fits = off(sliding(scene(), nn.AvgPool2d(4)), nn.functional.avg_pool2d(tensor(scene()), 4))
    meta = MetaTensor(tensor(scene()), affine=torch.diag(torch.tensor([10.0, 10, 1, 1])))
    from monai.inferers import sliding_window_inference

    cell = sliding_window_inference(meta, SIZE, 4, nn.AvgPool2d(4)).affine[0, 0]
    return f"{off(found, mean)}; 300 × 500: {fits}, affine of {cell:.0f} m"


VALUE = "one value a patch, 300 × 500 cells, patches 64 every 64"


@row(VALUE, "xpatch")
def _() -> str:
    means = scene().patch.split(CUT["geometry"]).mean(("y", "x"))
    return f"{means.sizes['patch']} patches, a grid of {means.patch.merge(to='anchors').shape[1:]}"


@row(VALUE, "monai")
def _() -> str:
    found = sliding(scene(), nn.AdaptiveAvgPool2d(1), 0.0)
    return f"a grid of {tuple(found.shape[2:])}"


LABEL = "a head of logits and one of labels 1, 5, 9: labels that are no class"


def two(batch: torch.Tensor) -> dict[str, torch.Tensor]:
    """Give logits and labels."""
    logits = net()(batch)
    return {"logits": logits, "label": torch.tensor([1.0, 5, 9])[logits.argmax(1, keepdim=True)]}


@row(LABEL, "xpatch, mode")
def _() -> str:
    def heads(batch: Any) -> dict[str, torch.Tensor]:
        return {
            n: v if n == "logits" else v[:, 0] for n, v in two(torch.tensor(batch.values)).items()
        }

    dims = {"logits": CLASSES, "label": ("patch", "y", "x")}
    with torch.no_grad():
        found = scene().patch.apply(
            heads, output_dims=dims, aggregation={"label": "mode", ...: GAUSS}, **CUT
        )
    return f"{(~found['label'].isin([1, 5, 9])).mean():.1%}"


@row(LABEL, "monai, a dict")
def _() -> str:
    return f"{(~np.isin(sliding(scene(), two)['label'].numpy(), [1, 5, 9])).mean():.1%}"


CLOUD = "a network that gives NaN for one patch: NaN in cells that other patches cover"


def cloud(patches: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give a network that sees a cloud in the patch in the middle."""
    seen = iter(range(10**6))

    def function(batch: torch.Tensor) -> torch.Tensor:
        return torch.stack([b * torch.nan if next(seen) == patches // 2 else b for b in batch])

    return function


@row(CLOUD, "xpatch")
def _() -> str:
    n = scene().patch.split(**CUT).sizes["patch"]
    found = scene().patch.apply(lambda p: p.where(p["patch"] != n // 2), **CUT)
    return f"{int(found[0].isnull().sum())} cells are NaN, of the 4096 of the patch"


@row(CLOUD, "monai")
def _() -> str:
    n = scene().patch.split(**CUT).sizes["patch"]
    return f"{int(sliding(scene(), cloud(n))[0, 0].isnan().sum())} cells are NaN, of the 4096 of the patch"
