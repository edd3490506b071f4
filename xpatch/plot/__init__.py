"""Pictures of patches."""

from xpatch.plot.coverage import coverage_of
from xpatch.plot.plot import plot

__all__ = ["coverage_of", "plot"]
