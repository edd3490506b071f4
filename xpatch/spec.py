"""What every specification object (geometry, sampler, window, aggregation) shares."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import inspect
import itertools
import numbers
import reprlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy as np
import pandas as pd

T = TypeVar("T", bound="Spec")


class DimMap(dict):
    """A hashable mapping from dimension names to values."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


SIZE = "one size for all is Rectangular(64), sizes by dimension are Rectangular(y=64, x=64)"
STRIDE = "strides are those of the sampler, RegularStride(32) or RegularStride(y=32, x=32)"
OTHER_WORDS = {  # of other libraries, which ours take for names of dimensions
    **dict.fromkeys(("shape", "patch_size", "window_size", "kernel_size"), SIZE),
    **dict.fromkeys(("stride", "strides", "patch_step"), STRIDE),
    "overlap": "overlaps are those of the sampler, RegularStride(overlap=8)",
    **dict.fromkeys(("days", "hours", "months", "years"), "durations are text, '30D', '6h', '1MS', '1YS'"),
    **dict.fromkeys(("mask", "where"), "barriers are those of KHopGraph(hops, where=sea), which is a field; cells "
                    "that are missing are left out by Valid(sampler, fraction)"),
    "geometry": "a specification is made a patcher by Patcher.from_spec(spec)",
}  # fmt: skip

SYNONYMS = {"average": "mean", "avg": "mean", "majority": "mode", "vote": "mode", "blend": "overlapadd"}  # fmt: skip


def hint_of(names: Iterable[Any]) -> str:
    """Say what is meant by names of dimensions that are words of other libraries."""
    hints = dict.fromkeys(OTHER_WORDS[n] for n in names if isinstance(n, str) and n in OTHER_WORDS)
    return "".join(f"; {hint}" for hint in hints)


def by_dim(value: Any, dims: Mapping[str, Any], what: str) -> Any:
    """Join ``f(value)`` and ``f(y=…, x=…)`` into one value: a scalar, a tuple or a `DimMap`."""
    if value is not None and dims:
        raise TypeError(
            f"{what} was given both as {value!r} and by dimension ({', '.join(dims)}); use one"
            f"{hint_of(dims)}"
        )
    if isinstance(value, Mapping):
        return DimMap(value)
    if dims:
        return DimMap(dims)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "iuf":
        value = value.tolist()
    return tuple(value) if isinstance(value, list | np.ndarray) else value


def per_dim(value: Any, dims: tuple[Hashable, ...], what: str) -> dict[Hashable, Any]:
    """Spread a scalar, tuple or mapping over ``dims``; a mapping may leave dims out.

    Raises
    ------
    KeyError
        If a mapping names a dimension that is not in ``dims``.
    ValueError
        If a tuple does not have one entry for each of ``dims``.
    """
    if isinstance(value, Mapping):
        unknown = [d for d in value if d not in dims]
        if unknown:
            raise KeyError(
                f"{what} names dimension {unknown[0]!r}, which is not one of {list(dims)}"
                f"{hint_of(unknown)}"
            )
        return dict(value)
    if isinstance(value, tuple):
        if len(value) != len(dims):
            raise ValueError(
                f"{what}={value!r} has {len(value)} entries for the {len(dims)} dimensions "
                f"{list(dims)}; give one for each, or name them: {what}={{dim: value}}"
            )
        return dict(zip(dims, value, strict=True))
    return dict.fromkeys(dims, value)


class _Signature:
    """Says that a class takes what its ``__init__`` takes, whatever ``__new__`` looks at."""

    def __get__(self, instance: object, cls: type) -> inspect.Signature:
        own = inspect.signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=list(own.parameters.values())[1:])


class Spec:
    """Base of the frozen dataclasses that say what to do: printed as written, compared by value."""

    __signature__ = _Signature()

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Raise a TypeError that names the keywords there are, if one is another."""
        known, needed, takes_any = keywords(cls)  # type: ignore[arg-type]
        wrong = [] if takes_any else [name for name in given if name not in known]
        if wrong:
            missing = [n for n in needed[len(args) :] if n not in given]
            call = hint_of(wrong)
            if missing and len(wrong) == 1 and not call:
                call = f": {cls.__name__}({missing[0]}={_short(given[wrong[0]])})"
            raise TypeError(
                f"{cls.__name__} has no {wrong[0]}=; it takes {', '.join(known) or 'nothing'}{call}"
            )
        return super().__new__(cls)

    def __repr__(self) -> str:
        parts = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            default = (
                field.default_factory()
                if field.default_factory is not dataclasses.MISSING
                else field.default
            )
            if _same(value, default):
                continue
            spread = field.name in ("size", "step") and isinstance(value, DimMap)
            if spread and all(str(k).isidentifier() for k in value):
                parts += [f"{k}={v!r}" for k, v in value.items()]
            elif default is dataclasses.MISSING or not parts:
                keyword = "" if default is dataclasses.MISSING else f"{field.name}="
                parts.append(f"{keyword}{_short(value)}")
            else:
                parts.append(f"{field.name}={_short(value)}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def to_dict(self) -> dict[str, Any]:
        """Give the specification as JSON-able values, ``{"class": name, field: value, …}``."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        values = {f.name: encode(getattr(self, f.name)) for f in fields}
        return {"class": type(self).__name__, **values}


@functools.cache
def keywords(cls: type) -> tuple[list[str], list[str], bool]:
    """Give the arguments of a class, those without default, and whether it takes any others."""
    parameters = inspect.signature(cls).parameters.values()
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return [p.name for p in named], [p.name for p in named if p.default is p.empty], takes_any


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.timedelta64) != isinstance(b, np.timedelta64):
        return False  # numpy would take a number for a length of time
    try:
        return bool(a is b or a == b)
    except ValueError:  # arrays
        return False


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) or hasattr(value, "sizes") or hasattr(value, "geom_type"):
        return f"<{type(value).__name__} {getattr(value, 'shape', '')}>"
    if isinstance(value, list | tuple) and len(value) > 6:
        return f"<{len(value)} entries>"
    return repr(value)


PLAIN = {int, float, str, bool, type(None)}  # what JSON holds as it is
ENCODED: tuple[type, ...] = (Spec, Mapping, tuple, list, str, int, float, bool)
ENCODED += (np.generic, np.ndarray, datetime.timedelta, pd.offsets.BaseOffset)


def encode(value: Any) -> Any:
    """Turn a field of a specification into JSON-able values; functions become None."""
    if isinstance(value, Spec):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {"class": "DimMap", "items": [[str(k), encode(v)] for k, v in value.items()]}
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.timedelta64 | datetime.timedelta | pd.offsets.BaseOffset):
        return _duration(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind in "iufb" else None
    if isinstance(value, tuple | list):
        return _encode_each(value)
    return value if isinstance(value, str | int | float | bool) else None


def _encode_each(values: Sequence[Any]) -> list[Any]:
    """Encode entries, which may be a million anchors: by the types that there are, not one by one."""
    types = set(map(type, values))
    if types <= PLAIN:
        return list(values)
    if types <= {tuple, list} and set(map(type, itertools.chain.from_iterable(values))) <= PLAIN:
        return list(map(list, values))
    if not any(issubclass(t, ENCODED) for t in types):
        return [None] * len(values)
    return [encode(v) for v in values]


def _duration(value: Any) -> str | None:
    """Write a length of time as pandas reads it; None if it cannot be said in a word."""
    if isinstance(value, np.timedelta64) and np.datetime_data(value)[0] in ("Y", "M"):
        return f"{value.astype('m8[M]').astype(int)}MS"
    if not isinstance(value, pd.offsets.BaseOffset):
        return f"{pd.Timedelta(value) // pd.Timedelta('1us')}us"
    kwds = value.kwds if type(value) is pd.DateOffset else {}
    if kwds and set(kwds) <= {"months", "years"}:
        return f"{value.n * (kwds.get('months', 0) + 12 * kwds.get('years', 0))}MS"
    return None if kwds else str(value.freqstr)


def decode(value: Any) -> Any:
    """Rebuild what `encode` made.

    Raises
    ------
    ValueError
        If the class is unknown, or a function that cannot be written is missing.
    """
    if isinstance(value, list):
        return tuple(decode(v) for v in value)
    if not isinstance(value, Mapping):
        return value
    name = value.get("class")
    if name == "DimMap":
        return DimMap({k: decode(v) for k, v in value["items"]})
    cls = classes().get(str(name))
    if name == "DataArray":
        raise ValueError(
            "the specification holds a DataArray (weights, labels or where), which is not written with it; "
            "build it again in code"
        )
    if cls is None:
        raise ValueError(f"unknown specification class {name!r}")
    fields = {k: decode(v) for k, v in value.items() if k != "class"}
    for field in dataclasses.fields(cls):
        key = field.name.rstrip("_")
        if field.default is dataclasses.MISSING and fields.get(key) is None and key != "size":
            raise ValueError(
                f"{name} holds a {key!r} that cannot be written (a function or an object); "
                f"build it again in code: {name}({key}=…)"
            )
    return cls(**fields)


def decode_as(value: Any, base: type[T]) -> T | None:
    """Rebuild what `encode` made of a specification of some kind, or of None.

    Raises
    ------
    ValueError
        If it is of another kind, or cannot be built.
    """
    if value is None:
        return None
    if not issubclass(kind_of(value), base):
        raise ValueError(f"{str(value)[:80]} is no {base.__name__}")
    try:
        out: T = decode(value)
    except (TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{str(value)[:80]} cannot be built ({error})") from None
    return out


def kind_of(value: Any) -> type:
    """Give the class of what `encode` made, which may hold what cannot be built again; object if it is not known."""
    found = classes().get(str(value.get("class"))) if isinstance(value, Mapping) else None
    return found or object


def classes() -> dict[str, Any]:
    """Give all classes of specifications by name."""
    return {c.__name__: c for c in subclasses(Spec)}


def subclasses(cls: type) -> Iterable[type]:
    """Give the subclasses of a class, and theirs."""
    direct: list[type] = cls.__subclasses__()
    for sub in direct:
        yield sub
        yield from subclasses(sub)


def folded(name: str) -> str:
    """Give a name as it is looked up: "most_central" and "MostCentral" are one."""
    return name.lower().replace("_", "").replace("-", "")


def named(value: Any, base: type[T], table: Mapping[str, type[T]], what: str) -> T:
    """Turn a name, a class or an instance into an instance of ``base``."""
    if isinstance(value, str):
        key = folded(value)
        if key not in table:
            meant = SYNONYMS.get(key)
            hint = f"it is {meant!r} here; " if meant in table else ""
            raise ValueError(f"unknown {what} {value!r}; {hint}known are {sorted(table)}")
        value = table[key]
    if isinstance(value, type) and issubclass(value, base):
        try:
            return value()
        except TypeError as error:
            raise ValueError(
                f"{what} {value.__name__!r} needs arguments: {value.__name__}(…) ({error})"
            ) from None
    if not isinstance(value, base):
        raise TypeError(
            f"{what} must be a name or an object of {base.__name__}, got {reprlib.repr(value)}; names are "
            f"{sorted(table)}"
        )
    return value


MOST = 10**8  # anchors that are listed one by one, which takes some gigabytes


def is_number(value: Any) -> bool:
    """Whether ``value`` is one real number: of Python, of NumPy, or an array without dimensions."""
    if isinstance(value, bool | np.bool_ | np.timedelta64 | str | Mapping | list | tuple):
        return False  # to NumPy a timedelta64 is a signed integer
    if isinstance(value, numbers.Real):
        return True
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf"


def is_integer(value: Any) -> bool:
    """Whether ``value`` is an int of Python or NumPy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def check_number(value: Any, what: str) -> None:
    """Raise a TypeError unless ``value`` is one number."""
    if not is_number(value):
        raise TypeError(f"{what} must be one number, got {value!r}")


def check_fraction(value: Any, what: str) -> None:
    """Raise unless ``value`` is a number between 0 and 1."""
    if not is_number(value):
        several = isinstance(value, list | tuple) or np.ndim(value)
        hint = "; give one number, and do it again for each other" if several else ""
        raise TypeError(f"{what} must be a number between 0 and 1, got {value!r}{hint}")
    if not 0 <= value <= 1:
        raise ValueError(f"{what} must lie between 0 and 1, got {value!r}")


def check_flag(value: Any, what: str, also: str = "") -> None:
    """Raise unless ``value`` is True or False; ``also`` names what else it may be."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{what} must be True or False{also}, got {value!r}")


def check_seed(value: Any, what: str) -> None:
    """Raise unless ``value`` is something that `numpy.random.default_rng` takes.

    Raises
    ------
    TypeError
        If it is no int, no sequence of ints, no None and nothing of `numpy.random`.
    ValueError
        If it is negative.
    """
    known = np.random.SeedSequence | np.random.BitGenerator | np.random.Generator
    if value is None or isinstance(value, known):
        return
    numbers_ = value if isinstance(value, list | tuple | np.ndarray) else [value]
    if not all(is_integer(n) for n in numbers_):
        raise TypeError(
            f"seed of {what} must be an int ≥ 0, or None for other anchors at each call, got {value!r}"
        )
    if any(n < 0 for n in numbers_):
        raise ValueError(f"seed of {what} must be an int ≥ 0, got {value!r}")


def check_amount(count: Any, what: str, mend: str) -> None:
    """Raise a ValueError if ``count`` anchors are more than can be listed."""
    if not count <= MOST:
        raise ValueError(f"{what} gives {count:.3g} anchors, more than {MOST:,} at once; {mend}")


def check_patches(value: Any, what: str, *words: str) -> None:
    """Raise unless ``value`` is a number of patches, None, "auto" or one of ``words``."""
    if is_integer(value):
        if value < 1:
            raise ValueError(f"{what} must be a positive number of patches, got {value!r}")
    elif value is not None and not (isinstance(value, str) and value in ("auto", *words)):
        known = ", ".join(map(repr, (*words, "auto")))
        raise TypeError(f"{what} must be {known}, None or a number of patches, got {value!r}")
