"""Arrays on the device that is chosen, and how much of its memory may be taken."""

import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment.device import CPU, CUDA, chosen

SHARE = 8  # of the free memory of a GPU, one part is taken at once: several processes may use it
ON_CPU = 2**28  # bytes that are taken at once

_resident: dict[tuple[int, str], Tensor] = {}


def free(device: str) -> int:
    """Return how many bytes may be taken at once."""
    if device != CUDA:
        return ON_CPU
    unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()  # held by torch for what comes next
    return (int(torch.cuda.mem_get_info()[0]) + unused) // SHARE


def moved(array: NDArray[np.generic]) -> Tensor:
    """Return an array as a tensor on the chosen device: on the CPU without a copy."""
    return torch.from_numpy(array).to(chosen())


def resident(array: NDArray[np.generic], device: str) -> Tensor:
    """Return an array as a tensor on a device: on the CPU without a copy, and copied to a GPU once for its lifetime."""
    if device == CPU:
        return torch.from_numpy(array)
    key = id(array), device
    if key not in _resident:
        _resident[key] = torch.from_numpy(array).to(device)
        weakref.finalize(array, _resident.pop, key, None)
    return _resident[key]


def fits(array: NDArray[np.generic], device: str) -> bool:
    """Return whether an array is on a device already, or fits into what may be taken of its memory."""
    return device == CPU or (id(array), device) in _resident or array.nbytes <= free(device)
