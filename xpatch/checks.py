"""Checks of arguments: they say what was expected, what came, and how to mend it."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

MOST = 10**8  # anchors that are listed one by one, which takes some gigabytes


def is_number(value: Any) -> bool:
    """Whether ``value`` is one real number: of Python, of NumPy, or an array without dimensions."""
    if isinstance(value, bool | np.bool_ | str | Mapping | list | tuple):
        return False
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


def check_patches(value: Any, what: str) -> None:
    """Raise unless ``value`` is a number of patches, None or "auto"."""
    if is_integer(value):
        if value < 1:
            raise ValueError(f"{what} must be a positive number of patches, got {value!r}")
    elif value is not None and not (isinstance(value, str) and value == "auto"):
        raise TypeError(f"{what} must be 'auto', None or a number of patches, got {value!r}")
