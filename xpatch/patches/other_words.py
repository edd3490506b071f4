"""Words of other libraries for what is called otherwise here: an error that says what to type."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xpatch.spec import OTHER_WORDS, SIZE, STRIDE

SETS = "shares have names, sets({'train': 0.8, 'test': 0.2}, block=…)"
LOADERS = "patches.patch.batches(16), patches.patch.source(), or xpatch.torch.Stream(patches, 16) for a DataLoader"
WRITE = "xpatch.write(field, 'map.tif') or xpatch.write(field, 'out.zarr')"
WEIGHTS = (
    "cut the field where values are wanted, field.patch.split(KNNGraph(8), sampler=Explicit(grid)), "
    "and weigh its members by patches.patch.distance"
)
LABELS = "labels are those of the coordinate, patches['patch'].values; .patch is what can be asked of patches"
KEYWORDS = OTHER_WORDS | {
    **dict.fromkeys(("size", "sizes", "tile_size", "chip_size", "input_dims", "y", "x", "lat", "lon"), SIZE),
    **dict.fromkeys(("step", "steps", "input_overlap"), STRIDE),
    **dict.fromkeys(("radius", "radius_km", "km"), "a radius is that of a geometry, SphericalCap(300)"),
    **dict.fromkeys(("k", "neighbors", "n_neighbors"), "neighbors are a geometry, KNNGraph(8)"),
    **dict.fromkeys(("hops", "rings"), "hops are a geometry, KHopGraph(2)"),
    **dict.fromkeys(("seed", "n_samples", "n"), "draws are a sampler, Random(100, seed=0)"),
    **dict.fromkeys(("boundary", "padding", "pad", "mode"), "borders are those of the geometry, "
                    "Rectangular(64, boundary='pad')"),
    **dict.fromkeys(("train", "test", "val"), SETS),
    "window": "patches are blended by an aggregation, OverlapAdd('hann')",
    "coupling": "one time for each place is SpatioTemporalPatcher(Patcher(…), TimePatcher(…), coupling='coupled')",
}  # fmt: skip
METHODS = {
    **dict.fromkeys(("values", "data", "to_numpy", "dtype", "size", "shape"), LABELS),
    **dict.fromkeys(("dataset", "loader", "dataloader", "to_torch", "generator"), LOADERS),
    **dict.fromkeys(("write", "save", "to_raster", "to_tif", "to_zarr", "to_netcdf"), WRITE),
    **dict.fromkeys(("krige", "kriging", "interp", "interpolate", "regrid"), WEIGHTS),
    **dict.fromkeys(("map", "map_blocks", "predict_on"), "field.patch.apply(model, {'y': 64, 'x': 64})"),
    **dict.fromkeys(("unpatch", "stitch", "reassemble", "blend"), "patches.patch.merge(OverlapAdd('hann'))"),
    **dict.fromkeys(("patchify", "tile", "tiles", "chips", "extract"), "field.patch.split({'y': 64, 'x': 64})"),
    **dict.fromkeys(("train_test_split", "random_split"), "patches.patch.sets({'train': 0.8, 'test': 0.2}, block=…)"),
    **dict.fromkeys(("neighbors", "nearest"), "field.patch.split(KNNGraph(8))"),
    **dict.fromkeys(("edge_index", "adjacency", "graph"), "patches.patch.edges"),
    **dict.fromkeys(("hops", "rings"), "field.patch.split(KHopGraph(2)), and how many steps each is, patches.patch.distance"),
}  # fmt: skip


@functools.cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Read a signature once: each call of a method of the accessor asks for it."""
    return inspect.signature(function).parameters


def check_keywords(function: Callable[..., Any], names: Iterable[str]) -> None:
    """Raise a TypeError that says what is meant, if ``function`` has no argument of one of these names."""
    parameters = _parameters(function)
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            hint = KEYWORDS.get(name)
            known = ", ".join(list(parameters)[1:])
            raise TypeError(
                f"{function.__name__} has no {name}=; it takes {known}{f'; {hint}' if hint else ''}"
            )


def no_method(name: str, known: Iterable[str] = ()) -> str:
    """Say that the accessor has no ``name``, and what is meant: a word of others, or one of ``known``."""
    if hint := METHODS.get(name.lower()):
        return f".patch has no {name!r}: {hint}"
    near = difflib.get_close_matches(name, [n for n in known if not n.startswith("_")], 1)
    return f".patch has no {name!r}" + (f"; did you mean .patch.{near[0]}?" if near else "")
