"""Methods and properties of the accessor that are functions of other modules, imported when they are asked for."""

from __future__ import annotations

import functools
import importlib
import re
import types
from typing import Any

from xpatch.patches.other_words import check_keywords


class Forward:
    """A method that is a function, with its signature and its whole docstring.

    Parameters
    ----------
    module : str
        Where the function is.
    """

    def __init__(self, module: str):
        self.module = module

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, accessor: Any, owner: type | None = None) -> Any:
        found = method(self.module, self.name)
        return found if accessor is None else types.MethodType(found, accessor)


class ForwardProperty(Forward):
    """A property that is a function of the object, with its whole docstring."""

    def __get__(self, accessor: Any, owner: type | None = None) -> Any:
        found = method(self.module, self.name)
        return property(found) if accessor is None else found(accessor)

    def __set__(self, accessor: Any, value: Any) -> None:
        raise AttributeError(f"{self.name!r} is what patches say of themselves, and cannot be set")


@functools.cache
def method(module: str, name: str) -> Any:
    """Give a function as a method: its docstring without the parameter that the object is."""
    function = getattr(importlib.import_module(module), name)
    out = types.FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    out.__kwdefaults__, out.__annotations__ = function.__kwdefaults__, function.__annotations__
    first = function.__code__.co_varnames[0]
    out.__doc__ = re.sub(
        rf"(Parameters\n +-+\n)( +){first} : .*?\n(?=\2\w)",
        r"\1",
        function.__doc__ or "",
        flags=re.S,
    )
    out.__module__ = module

    @functools.wraps(out)
    def checked(accessor: Any, *args: Any, **given: Any) -> Any:
        check_keywords(out, given)
        return out(accessor._obj, *args, **given)

    return checked
