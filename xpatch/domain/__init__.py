"""What a field lies on, told by inspecting its coordinates."""

from xpatch.domain.base import Domain
from xpatch.domain.detect import domain_of, variables_of
from xpatch.domain.lattice import GridDomain, Lattice, RasterDomain

__all__ = ["Domain", "GridDomain", "Lattice", "RasterDomain", "domain_of", "variables_of"]
