"""What a field lies on, told by inspecting its coordinates."""

from xpatch.domain.base import Domain
from xpatch.domain.describe import variables_of
from xpatch.domain.detect import domain_of, register_domain
from xpatch.domain.dggs import DGGSDomain
from xpatch.domain.elements import Elements, MeshDomain, PointDomain, VectorDomain
from xpatch.domain.geoslice import GeoSlice
from xpatch.domain.lattice import GridDomain, Lattice, RasterDomain
from xpatch.domain.sites import Sites

__all__ = [
    "DGGSDomain",
    "Domain",
    "Elements",
    "GeoSlice",
    "GridDomain",
    "Lattice",
    "MeshDomain",
    "PointDomain",
    "RasterDomain",
    "Sites",
    "VectorDomain",
    "domain_of",
    "register_domain",
    "variables_of",
]
