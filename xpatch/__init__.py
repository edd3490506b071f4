"""xpatch: split any xarray field into patches, run any model on them, merge the field again."""

from xpatch.accessor import register
from xpatch.aggregation import (
    Aggregation,
    All,
    Any,
    ArgMax,
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
from xpatch.api import concat, merge, split
from xpatch.catalogs.geodata import field
from xpatch.catalogs.table import catalog
from xpatch.domain import (
    Domain,
    GeoSlice,
    GridDomain,
    MeshDomain,
    PointDomain,
    RasterDomain,
    VectorDomain,
    domain_of,
    register_domain,
)
from xpatch.geometry import (
    Geometry,
    KHopGraph,
    KNNGraph,
    PolygonIntersection,
    RadiusGraph,
    Rectangular,
    SphericalCap,
)
from xpatch.models.fit_predict import fit_predict
from xpatch.models.least_squares import LeastSquares
from xpatch.patcher import Patcher, SpatioTemporalPatcher, TimePatcher
from xpatch.patches.index import PatchIndex
from xpatch.registry import register_aggregation
from xpatch.report import PatchFailure
from xpatch.run.apply import apply
from xpatch.run.write import write
from xpatch.sampler import (
    AlongTrack,
    ByClass,
    EveryElement,
    Explicit,
    FibonacciSphere,
    JitteredStride,
    PoissonDisk,
    Random,
    RegularStride,
    Sampler,
    Valid,
    Within,
)
from xpatch.time.aggregation import Forecast, Sequential, TemporalMean
from xpatch.time.geometry import FixedLookback, LookbackHorizon, PhaseWindow
from xpatch.time.period import CalendarPeriod
from xpatch.time.sampler import (
    CausalRolling,
    EventTriggered,
    ExplicitTimes,
    RandomTime,
    RegularTimeStride,
)
from xpatch.time.scales import HierarchicalCombine, MultiScale
from xpatch.time.window import CausalBoxcar, ExponentialDecay, Periodic, TaperedTukey
from xpatch.window import Boxcar, Custom, Gaussian, Hann, Tukey, Window

__version__ = "0.1.0"

register()

__all__ = [
    "Aggregation",
    "All",
    "AlongTrack",
    "Any",
    "ArgMax",
    "Boxcar",
    "ByClass",
    "CalendarPeriod",
    "CausalBoxcar",
    "CausalRolling",
    "Count",
    "Custom",
    "Domain",
    "EventTriggered",
    "EveryElement",
    "Explicit",
    "ExplicitTimes",
    "ExponentialDecay",
    "FibonacciSphere",
    "First",
    "FixedLookback",
    "Forecast",
    "Gaussian",
    "GeoSlice",
    "Geometry",
    "GridDomain",
    "Hann",
    "HardVote",
    "HierarchicalCombine",
    "InvVarWeightedMean",
    "JitteredStride",
    "KHopGraph",
    "KNNGraph",
    "Last",
    "Learned",
    "LeastSquares",
    "LookbackHorizon",
    "Max",
    "Mean",
    "Median",
    "MeshDomain",
    "Min",
    "Mode",
    "MostCentral",
    "MultiScale",
    "OverlapAdd",
    "PatchFailure",
    "PatchIndex",
    "Patcher",
    "Periodic",
    "PhaseWindow",
    "PointDomain",
    "PoissonDisk",
    "PolygonIntersection",
    "Quantile",
    "RadiusGraph",
    "Random",
    "RandomTime",
    "RasterDomain",
    "Rectangular",
    "RegularStride",
    "RegularTimeStride",
    "Sampler",
    "Sequential",
    "SoftVote",
    "SpatioTemporalPatcher",
    "SphericalCap",
    "Std",
    "Sum",
    "TaperedTukey",
    "TemporalMean",
    "TimePatcher",
    "Tukey",
    "Valid",
    "Var",
    "VectorDomain",
    "WeightedSum",
    "Window",
    "Within",
    "apply",
    "catalog",
    "concat",
    "domain_of",
    "field",
    "fit_predict",
    "merge",
    "register_aggregation",
    "register_domain",
    "split",
    "write",
]
