"""xpatch: split any xarray field into patches, run any model on them, merge the field again."""

from xpatch.accessor import register
from xpatch.aggregation import (
    Aggregation,
    Count,
    First,
    HardVote,
    InvVarWeightedMean,
    Last,
    Learned,
    Max,
    Mean,
    Median,
    Min,
    Mode,
    MostCentral,
    OverlapAdd,
    Quantile,
    SoftVote,
    Std,
    Sum,
    Var,
    WeightedSum,
)
from xpatch.api import apply, merge, split
from xpatch.domain import Domain, GridDomain, RasterDomain, domain_of
from xpatch.geometry import Geometry, Rectangular
from xpatch.index import PatchIndex
from xpatch.patcher import Patcher
from xpatch.running import PatchFailure
from xpatch.sampler import (
    AlongTrack,
    EveryElement,
    Explicit,
    JitteredStride,
    PoissonDisk,
    Random,
    RegularStride,
    Sampler,
    Valid,
)
from xpatch.window import Boxcar, Custom, Gaussian, Hann, Tukey, Window
from xpatch.writing import write

__version__ = "0.1.0"

register()

__all__ = [
    "Aggregation",
    "AlongTrack",
    "Boxcar",
    "Count",
    "Custom",
    "Domain",
    "EveryElement",
    "Explicit",
    "First",
    "Gaussian",
    "Geometry",
    "GridDomain",
    "Hann",
    "HardVote",
    "InvVarWeightedMean",
    "JitteredStride",
    "Last",
    "Learned",
    "Max",
    "Mean",
    "Median",
    "Min",
    "Mode",
    "MostCentral",
    "OverlapAdd",
    "PatchFailure",
    "PatchIndex",
    "Patcher",
    "PoissonDisk",
    "Quantile",
    "Random",
    "RasterDomain",
    "Rectangular",
    "RegularStride",
    "Sampler",
    "SoftVote",
    "Std",
    "Sum",
    "Tukey",
    "Valid",
    "Var",
    "WeightedSum",
    "Window",
    "apply",
    "domain_of",
    "merge",
    "split",
    "write",
]
