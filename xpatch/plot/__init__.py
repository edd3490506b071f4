"""Pictures of patches."""

from xpatch.plot.plot import coverage_of, plot

__all__ = ["coverage_of", "plot"]
