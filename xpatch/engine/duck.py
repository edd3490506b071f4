"""Arrays of other libraries as NumPy's: of torch, jax, cupy, sparse and any that knows `__array__` or DLPack."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray import Variable
from xarray.core import indexing

CPU = 1  # as DLPack numbers devices


def is_array(value: Any) -> bool:
    """Whether `numpy_of` may know what to do with ``value``."""
    ways = ("__array__", "__dlpack__", "todense")
    return any(hasattr(value, name) for name in ways) or has_units(value)


def is_duck(variable: Variable) -> bool:
    """Whether the data are an array in memory, or chunks of arrays, of another library than NumPy."""
    data: Any = variable._data
    if has_units(data):
        return True
    if variable.chunks is not None:
        return not isinstance(getattr(data, "_meta", np.empty(0)), np.ndarray)
    return not (variable._in_memory or isinstance(data, indexing.ExplicitlyIndexed))


def plain(variable: Variable) -> Variable:
    """Give a variable on NumPy, or on chunks of NumPy."""
    data: Any = variable._data
    if variable.chunks is not None and not has_units(data):
        meta = np.empty((0,) * variable.ndim, variable.dtype)
        data = data.map_blocks(numpy_of, dtype=variable.dtype, meta=meta)
    else:
        data = numpy_of(data)
    return Variable(variable.dims, data, variable.attrs, variable.encoding)


def has_units(array: Any) -> bool:
    """Whether an array is a quantity, as of pint."""
    return hasattr(array, "magnitude") and hasattr(array, "units")


def check_units(array: Any, what: str) -> None:
    """Raise a TypeError if units would be lost: what is added up here are numbers."""
    if has_units(array):
        raise TypeError(
            f"{what} is a quantity in {array.units}, of which only the numbers would be taken; let the units be an "
            "attribute, which comes back with the field: obj.pint.dequantify(), and merged.pint.quantify() after"
        )


def numpy_of(array: Any) -> NDArray[Any]:
    """Move an array to NumPy; half-precision numbers that NumPy lacks (bfloat16) become float32.

    Raises
    ------
    TypeError
        If it has units, or the library has no way to NumPy.
    """
    if isinstance(array, np.ndarray):
        return array
    check_units(array, "the array")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return _of_tensor(array, torch)
    if hasattr(array, "todense"):
        array = array.todense()
    found = _converted(array)
    if found.ndim != len(getattr(array, "shape", found.shape)):
        raise TypeError(
            f"{type(array).__name__} cannot be taken as a NumPy array; convert it first"
        )
    lacks = found.dtype.kind == "V" and found.dtype.names is None
    return found.astype(np.float32) if lacks else found


def _of_tensor(tensor: Any, torch: Any) -> NDArray[Any]:
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in (
        torch.float16,
        torch.float32,
        torch.float64,
    ):
        tensor = tensor.float()
    found: NDArray[Any] = tensor.numpy()
    return found


def _converted(array: Any) -> NDArray[Any]:
    """Ask the library itself to bring the values to the host, then NumPy to ask for them."""
    if hasattr(array, "__cuda_array_interface__") and hasattr(array, "get"):
        array = array.get()
    if hasattr(array, "__array__"):
        return np.asarray(array)
    if hasattr(array, "__dlpack__"):
        if array.__dlpack_device__()[0] != CPU:
            return np.from_dlpack(array, device="cpu")
        return np.from_dlpack(array)
    return np.asarray(array)
