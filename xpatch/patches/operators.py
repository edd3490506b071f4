"""The accessor is not the coordinate: what would treat it as one raises, and names the coordinate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from xpatch.patches.index import splits_of

SIGNS = {
    "==": "eq",
    "!=": "ne",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
}
SUMS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "divmod()": "divmod",
    "**": "pow",
    "@": "matmul",
    "&": "and",
    "|": "or",
    "^": "xor",
    "<<": "lshift",
    ">>": "rshift",
}
CALLS = {
    "-": "neg",
    "+": "pos",
    "~": "invert",
    "abs()": "abs",
    "round()": "round",
    "len()": "len",
    "in": "contains",
    "iteration": "iter",
    "int()": "int",
    "float()": "float",
    "an array": "array",
    "a function of NumPy": "array_ufunc",
}


def _refusing(use: str) -> Callable[..., NoReturn]:
    def refuse(self: NotTheCoordinate, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(self._told(use))

    return refuse


class NotTheCoordinate:
    """Raises a TypeError where an accessor is compared, counted with, walked over, or made an array.

    Otherwise ``obj.isel(patch=obj.patch == 3)`` would silently be the first patch, and
    ``obj.where(obj.patch != 3)`` all of them.
    """

    def _coordinate(self) -> str:
        """Say what is meant: the labels of the patches."""
        raise NotImplementedError

    def _told(self, use: str) -> str:
        return (
            f".patch is the accessor of xpatch, not a coordinate, and cannot be used in {use}; the "
            f"labels of the patches are {self._coordinate()}"
        )

    def __bool__(self) -> bool:
        return True  # as ever, and not by len

    __hash__ = object.__hash__


def patch_labels(obj: Any) -> str:
    """Say how the labels of the patches of ``obj`` are had."""
    return " and ".join(f'obj["{d}"]' for d in splits_of(obj) or ("patch",))


for _use, _name in (SIGNS | CALLS).items():
    setattr(NotTheCoordinate, f"__{_name}__", _refusing(_use))
for _use, _name in SUMS.items():
    setattr(NotTheCoordinate, f"__{_name}__", _refusing(_use))
    setattr(NotTheCoordinate, f"__r{_name}__", _refusing(_use))
