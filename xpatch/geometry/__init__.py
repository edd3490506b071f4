"""Geometries: the shape of a neighborhood."""

from xpatch.geometry.base import Anchors, Frame, Geometry, MemberGeometry, Places
from xpatch.geometry.boxes import Rectangular, as_geometry, several_grids
from xpatch.geometry.centered import CenteredGrid
from xpatch.geometry.graphs import KNNGraph, RadiusGraph, SphericalCap
from xpatch.geometry.hops import KHopGraph
from xpatch.geometry.parents import Parents
from xpatch.geometry.polygons import PolygonIntersection

__all__ = [
    "Anchors",
    "CenteredGrid",
    "Frame",
    "Geometry",
    "KHopGraph",
    "KNNGraph",
    "MemberGeometry",
    "Parents",
    "Places",
    "PolygonIntersection",
    "RadiusGraph",
    "Rectangular",
    "SphericalCap",
    "as_geometry",
    "several_grids",
]
