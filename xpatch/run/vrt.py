"""The description of a file of plain numbers that GDAL reads: a virtual raster (VRT)."""

from __future__ import annotations

import sys
from xml.etree import ElementTree as ET

from xpatch.run.bands import Bands
from xpatch.run.packing import TYPES

__all__ = ["vrt"]


def vrt(bands: Bands, file: str) -> str:
    """Give the XML of a raster of which the bands lie one after the other in a file beside it."""
    shape = {"rasterXSize": str(bands.width), "rasterYSize": str(bands.height)}
    root = ET.Element("VRTDataset", shape)
    if bands.crs is not None:
        ET.SubElement(root, "SRS").text = bands.crs.to_wkt()
    if bands.affine is not None:
        a, b, c, d, e, f = bands.affine
        ET.SubElement(root, "GeoTransform").text = ", ".join(map(repr, (c, a, b, f, d, e)))
    metadata = ET.SubElement(root, "Metadata")
    for key, value in bands.tags.items():
        ET.SubElement(metadata, "MDI", {"key": key}).text = value
    for number, name in enumerate(bands.names):
        _band(root, bands, file, number, name)
    return ET.tostring(root, encoding="unicode").replace("\0", "")  # where GDAL would stop to read


def _band(root: ET.Element, bands: Bands, file: str, number: int, name: str) -> None:
    size = bands.dtype.itemsize
    attrs = {
        "dataType": TYPES[bands.dtype],
        "band": str(number + 1),
        "subClass": "VRTRawRasterBand",
    }
    band = ET.SubElement(root, "VRTRasterBand", attrs)
    said = {
        "Description": name,
        "UnitType": bands.units[number],
        "NoDataValue": "" if bands.nodata is None else str(bands.nodata),
        "Offset": "" if bands.packing.offset == 0 else repr(bands.packing.offset),
        "Scale": "" if bands.packing.scale == 1 else repr(bands.packing.scale),
    }
    for tag, text in said.items():
        if text:
            ET.SubElement(band, tag).text = text
    ET.SubElement(band, "SourceFilename", {"relativeToVRT": "1"}).text = file
    where = {
        "ImageOffset": number * bands.height * bands.width * size,
        "PixelOffset": size,
        "LineOffset": bands.width * size,
        "ByteOrder": "LSB" if sys.byteorder == "little" else "MSB",
    }
    for tag, at in where.items():
        ET.SubElement(band, tag).text = str(at)
