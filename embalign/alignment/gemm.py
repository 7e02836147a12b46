"""The fast route for float32 matrix products, taken only after its accuracy has been measured on this machine.

torch's default float32 product runs at about half the speed of oneDNN's on recent x86 CPUs. The setting that routes
products to oneDNN may lose float32 accuracy on CPUs with bf16 matrix units: hence the probe.
"""

import functools

import torch

LARGEST_RELATIVE_ERROR = 1e-5


@functools.cache
def use_fast_gemm() -> bool:
    """Set one thread and, if its relative error is at most 1e-5, oneDNN's route; return whether it is in use.

    One thread a process: at the sizes of an alignment map two threads are slower, and sums on two threads may differ
    in the last bit, which would make results depend on the number of workers.
    """
    torch.set_num_threads(1)
    route = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # set at run time, unknown to type checkers
    default = route.fp32_precision
    route.fp32_precision = "bf16"
    if probe_relative_error() <= LARGEST_RELATIVE_ERROR:
        return True
    route.fp32_precision = default
    return False


def probe_relative_error() -> float:
    """Return the relative Frobenius error of a float32 product of training size against float64."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(256, 896, generator=generator)
    right = torch.randn(896, 1024, generator=generator)
    exact = left.double() @ right.double()
    return float(torch.linalg.norm((left @ right).double() - exact) / torch.linalg.norm(exact))
