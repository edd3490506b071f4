"""A network of torch as a function of patches. torch is never imported here: who has a network has imported it."""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

SHARED = ("float16", "float32", "float64")  # dtypes of parameters that NumPy has, too


def is_network(func: Any) -> bool:
    """Whether ``func`` is a `torch.nn.Module`."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(func, torch.nn.Module)


class Network:
    """Calls a `torch.nn.Module` with the values of patches.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    """

    def __init__(self, module: Any):
        self.module = module

    @classmethod
    def of(cls, module: Any) -> Network:
        """Take a module as it is for evaluation: one that is being trained is not touched.

        In training mode the result of a patch would depend on those beside it in the batch, and running means
        would go on changing.
        """
        tensors = [*module.parameters(), *module.buffers()]
        if any(t.is_meta for t in tensors):
            raise ValueError(
                "parameters of the network are on the device 'meta', which holds no values; load them"
            )
        return cls(_evaluated(module, tensors) if module.training else module)

    def __call__(self, batch: Any) -> Any:
        """Give what the network makes of a batch, on the device and in the precision of its parameters."""
        torch: Any = sys.modules["torch"]
        with torch.no_grad():  # inference_mode would spoil what a module caches for training
            return self.module(self._tensor(batch, torch))

    def _tensor(self, batch: Any, torch: Any) -> Any:
        if not isinstance(batch, xr.DataArray):
            raise TypeError(
                f"a torch.nn.Module takes one tensor, and these patches are a Dataset of {list(batch.data_vars)}: "
                "take one, field[name], stack variables, field.to_dataarray('band'), or pass a function that calls the "
                "network"
            )
        first = next(
            (p for p in self.module.parameters() if p.dtype.is_floating_point or p.is_complex()),
            None,
        )
        if first is None:
            return torch.from_numpy(_own(batch.values, batch.dtype))
        name = str(first.dtype).removeprefix("torch.")
        dtype = np.dtype(name if name in SHARED or first.is_complex() else "float32")
        if not np.can_cast(batch.dtype, dtype, "same_kind"):
            raise TypeError(
                f"patches are {batch.dtype}, and the parameters of the network {name}: cast the field first"
            )
        return torch.from_numpy(_own(batch.values, dtype)).to(first.device, first.dtype)


def _evaluated(module: Any, tensors: list[Any]) -> Any:
    """Give a copy in evaluation mode, which shares parameters and buffers."""
    try:
        copied = copy.deepcopy(module, {id(t): t for t in tensors})
    except Exception as error:
        raise ValueError(
            "the network is in training mode, and cannot be copied to evaluate it; call net.eval() first"
        ) from error
    return copied.eval()


def _own(values: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """Give an array that torch takes: in the order of the machine, writable, of steps that are not negative."""
    return np.require(values, dtype.newbyteorder("="), ["C", "W"])
