"""`register_aggregation`: names for aggregations of other packages."""

from __future__ import annotations

from typing import Any

from xpatch.aggregation import AGGREGATIONS, Aggregation
from xpatch.spec import Spec, folded, subclasses
from xpatch.window import WINDOWS


def register_aggregation(name: str, cls: type[Aggregation]) -> None:
    """Give a class of aggregations a name, by which `merge` and patchers then know it.

    Without a name an aggregation works as well, ``merge(MyAggregation())``, and is written and read
    with the patches, as long as its class was imported.

    Parameters
    ----------
    name : str
        Upper and lower case, ``_`` and ``-`` make no difference.
    cls : type
        A subclass of `Aggregation`. To register it again, such as in a cell of a notebook that runs
        twice, replaces it.

    Raises
    ------
    TypeError
        If ``cls`` is no class of aggregations, or the name is no str.
    ValueError
        If the name is that of another class or of a window, or if another specification has a class
        of the same name, of which files could not tell it.

    See Also
    --------
    register_domain : The same for what fields lie on.

    Examples
    --------
    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True, repr=False)
    ... class UpperQuartile(xpatch.Quantile):
    ...     q: float = 0.75
    >>> xpatch.register_aggregation("upper_quartile", UpperQuartile)
    >>> patches = xr.DataArray(np.arange(4.0), dims="x").patch.split(geometry={"x": 2})
    >>> patches.patch.merge("upper_quartile").values
    array([0., 1., 2., 3.])
    """
    if not (isinstance(cls, type) and issubclass(cls, Aggregation)):
        raise TypeError(
            f"register_aggregation takes a subclass of xpatch.Aggregation, got {cls!r}; "
            "class MyAggregation(xpatch.Aggregation), with a method reducer(dtype, skipna)"
        )
    if not isinstance(name, str) or not folded(name):
        raise TypeError(f"the name of an aggregation must be a str that is not empty, got {name!r}")
    taken = AGGREGATIONS.get(folded(name), WINDOWS.get(folded(name)))
    if taken is not None and not _again(cls, taken):
        raise ValueError(
            f"the name {name!r} is that of {taken.__module__}.{taken.__qualname__}; use another for "
            f"{cls.__qualname__}"
        )
    alike = [c for c in subclasses(Spec) if c.__name__ == cls.__name__]
    if strange := [c for c in alike if not _again(cls, c)]:
        raise ValueError(
            f"there is a class {strange[0].__module__}.{strange[0].__qualname__} already, from which files "
            f"could not tell {cls.__module__}.{cls.__qualname__}; call the class otherwise"
        )
    AGGREGATIONS[folded(name)] = cls


def _again(cls: type, other: Any) -> bool:
    """Whether a class is another one, or was defined in its place."""
    return (cls.__module__, cls.__qualname__) == (other.__module__, other.__qualname__)
