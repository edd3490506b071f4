"""`Numbered`: labels of patches of several fields, which keep the recipe of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xarray import IndexVariable, Variable

from xpatch.patches.encoding import RECIPE


class Numbered(IndexVariable):
    """Labels of patches of several fields: who puts on the attributes of one field keeps the recipe.

    So does xarray where it aligns the patches of several fields.
    """

    __slots__ = ("_recipe",)
    _recipe: str

    @classmethod
    def of(cls, variable: Variable, recipe: str) -> Numbered:
        """Give labels that know the recipe of all fields."""
        out = cls(variable.dims, variable._data, variable._attrs, variable._encoding, fastpath=True)
        out._recipe = recipe
        return out

    @property
    def attrs(self) -> dict[Any, Any]:
        return super().attrs

    @attrs.setter
    def attrs(self, value: Mapping[Any, Any]) -> None:
        recipe = getattr(self, "_recipe", None)
        own = {**value, RECIPE: recipe} if RECIPE in value and recipe is not None else dict(value)
        self._attrs = own

    def _replace(self, *args: Any, **kwargs: Any) -> Any:
        out = super()._replace(*args, **kwargs)
        if hasattr(self, "_recipe"):
            out._recipe = self._recipe
        return out
