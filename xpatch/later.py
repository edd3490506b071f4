"""Modules that are imported when they are first asked: importing xpatch stays quick."""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """A module by name."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)
