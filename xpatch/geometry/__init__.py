"""Geometries: the shape of a neighborhood."""

from xpatch.geometry.base import Anchors, Frame, Geometry, MemberGeometry, Places
from xpatch.geometry.boxes import Rectangular, as_geometry, several_grids
from xpatch.geometry.graphs import KNNGraph, RadiusGraph, SphericalCap
from xpatch.geometry.hops import KHopGraph
from xpatch.geometry.polygons import PolygonIntersection

__all__ = [
    "Anchors",
    "Frame",
    "Geometry",
    "KHopGraph",
    "KNNGraph",
    "MemberGeometry",
    "Places",
    "PolygonIntersection",
    "RadiusGraph",
    "Rectangular",
    "SphericalCap",
    "as_geometry",
    "several_grids",
]
