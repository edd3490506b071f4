"""Windows: what the cells of a patch weigh."""

from xpatch.window.profiles import (
    SMALLEST,
    Blackman,
    Boxcar,
    ByDim,
    Custom,
    Gaussian,
    Hamming,
    Hann,
    Squared,
    Tukey,
    Window,
    is_boxcar,
    member_weights,
    slice_weights,
)
from xpatch.window.weight_map import WINDOWS, WeightMap, as_window

__all__ = [
    "SMALLEST",
    "WINDOWS",
    "Blackman",
    "Boxcar",
    "ByDim",
    "Custom",
    "Gaussian",
    "Hamming",
    "Hann",
    "Squared",
    "Tukey",
    "WeightMap",
    "Window",
    "as_window",
    "is_boxcar",
    "member_weights",
    "slice_weights",
]
