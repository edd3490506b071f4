"""CF ragged arrays: which observations belong to which profile, trajectory or station."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray import Variable

CONTIGUOUS, INDEXED = "sample_dimension", "instance_dimension"


@dataclasses.dataclass(frozen=True)
class Counts:
    """A variable that says which samples each instance has.

    Parameters
    ----------
    name : hashable
        Of contiguous ragged arrays the number of samples of each instance, along ``instance``; of
        indexed ones the number of the instance of each sample, along ``sample``.
    instance, sample : hashable
        The dimensions of instances and of samples.
    contiguous : bool
        Which of both it is.
    """

    name: Hashable
    instance: Hashable
    sample: Hashable
    contiguous: bool

    def samples(self, obj: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give where the samples of each instance begin, shape (instance + 1,), and the samples.

        Raises
        ------
        ValueError
            If the numbers are not those of the samples that there are.
        """
        values = np.asarray(obj.variables[self.name].values)
        n, count = obj.sizes[self.instance], obj.sizes[self.sample]
        whole = values.dtype.kind in "iu" or (
            values.dtype.kind == "f" and bool((np.isfinite(values) & (values % 1 == 0)).all())
        )
        if not whole or (values < 0).any():
            what = "a missing number" if values.dtype.kind == "f" and np.isnan(values).any() else ""
            what = what or ("a negative number" if whole else "what is no whole number")
            raise ValueError(f"{self._says()}, and holds {what}; {self._mend()}")
        numbers = values.astype(np.int64)
        if self.contiguous:
            offsets = np.concatenate([[0], np.cumsum(numbers)])
            if offsets[-1] != count:
                raise ValueError(
                    f"{self._says()}, in all {int(offsets[-1])}, but there are {count} along "
                    f"{self.sample!r}, as when instances or samples were left out on their own; "
                    f"{self._mend()}"
                )
            return offsets, np.arange(count)
        if numbers.max(initial=-1) >= n:
            raise ValueError(
                f"{self._says()}, up to {int(numbers.max())}, but there are {n} along "
                f"{self.instance!r}, counted from 0; {self._mend()}"
            )
        each = np.bincount(numbers, minlength=n)
        return np.concatenate([[0], np.cumsum(each)]), np.argsort(numbers, kind="stable")

    def _says(self) -> str:
        if self.contiguous:
            return f"{self.name!r} says how many samples each {self.instance!r} has"
        return f"{self.name!r} says of which {self.instance!r} each sample is"

    def _mend(self) -> str:
        return f"mend {self.name!r}, or leave the samples out: field.drop_dims({self.sample!r})"


def counts_of(obj: Any) -> tuple[Counts, ...]:
    """Find the variables of a Dataset by which CF says that other variables are ragged arrays."""
    if not isinstance(obj, xr.Dataset):
        return ()
    found = []
    for name, variable in obj.variables.items():
        if not is_count(variable) or variable.ndim != 1:
            continue
        (own,) = variable.dims
        contiguous = CONTIGUOUS in variable.attrs
        other = variable.attrs[CONTIGUOUS if contiguous else INDEXED]
        if other in obj.sizes and other != own:
            instance, sample = (own, other) if contiguous else (other, own)
            found.append(Counts(name, instance, sample, contiguous))
    return tuple(found)


def is_count(variable: Variable) -> bool:
    """Whether CF says that a variable counts samples, or instances."""
    return CONTIGUOUS in variable.attrs or INDEXED in variable.attrs
