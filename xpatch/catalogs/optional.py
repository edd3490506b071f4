"""Packages that only catalogs need, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any


def optional(name: str, extra: str = "catalog") -> Any:
    """Import a module, or say how to get it.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        raise ImportError(
            f"catalogs need {package}: pip install 'xarray-patch[{extra}]'"
        ) from error
