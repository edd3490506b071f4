"""Samplers: where the anchors are."""

from xpatch.sampler.base import Sampler
from xpatch.sampler.classes import ByClass
from xpatch.sampler.explicit import Explicit
from xpatch.sampler.located import AlongTrack, FibonacciSphere
from xpatch.sampler.poisson import PoissonDisk
from xpatch.sampler.random import Random
from xpatch.sampler.stride import EveryElement, JitteredStride, RegularStride
from xpatch.sampler.valid import Valid
from xpatch.sampler.within import Within

__all__ = [
    "AlongTrack",
    "ByClass",
    "EveryElement",
    "Explicit",
    "FibonacciSphere",
    "JitteredStride",
    "PoissonDisk",
    "Random",
    "RegularStride",
    "Sampler",
    "Valid",
    "Within",
]
