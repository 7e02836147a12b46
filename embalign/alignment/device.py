"""The device that maps are trained and searched on: the CPU or, chosen with ``cuda``, an NVIDIA GPU.

Products are float32 on both: a GPU's shorter formats change ranks. torch is imported when a GPU is asked for.
"""

import contextlib
import functools
from collections.abc import Iterator
from contextvars import ContextVar
from importlib import metadata
from typing import Any

from embalign.errors import DeviceError
from embalign.lazy import lazy

DEVICES = CPU, CUDA = ("cpu", "cuda")

LARGE = 2**30  # multiplications: a core does them in the time that processes may wait for their turns on a GPU

_device = ContextVar("device", default=CPU)
cuda, backends, built = lazy("torch").cuda, lazy("torch").backends, lazy("torch").version


def chosen() -> str:
    """Return the device of this thread: ``cpu`` unless it is inside `using`."""
    return _device.get()


@contextlib.contextmanager
def using(device: str) -> Iterator[None]:
    """Train and search on a device inside the `with` block. Raises DeviceError for one that cannot be used."""
    prepare(device)
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def suited(multiplications: int) -> contextlib.AbstractContextManager[None]:
    """Return a `with` block on the device of this thread, or on the CPU for work that is not worth the way to a GPU."""
    return using(CPU) if multiplications < LARGE else contextlib.nullcontext()


@functools.cache
def prepare(device: str) -> None:
    """Set a device to full float32. Raises DeviceError, which names what torch finds, where it cannot be used."""
    if device not in DEVICES:
        raise DeviceError(f"device {device!r} is unknown: choose one of {', '.join(DEVICES)}")
    if device == CPU:
        return
    if not cuda.is_available():
        raise DeviceError(f"device cuda: {_what_is_missing()}, or choose cpu")
    backends.resolve().cuda.matmul.fp32_precision = "ieee"


def described(device: str) -> dict[str, Any]:
    """Return what provenance says of a device: its kind; of a GPU also its name and the version of CUDA."""
    if device == CPU:
        return {"kind": CPU}
    return {"kind": device, "gpu": str(cuda.get_device_name()), "cuda": str(built.cuda)}


def _what_is_missing() -> str:
    version = metadata.version("torch")
    if built.cuda is None:
        return f"torch {version} is built without CUDA; install a build of torch for your CUDA driver"
    return (
        f"torch {version}, built for CUDA {built.cuda}, finds {cuda.device_count()} GPUs that it can use; "
        "check the driver with nvidia-smi"
    )
