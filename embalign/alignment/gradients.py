"""Closed-form gradients of the losses in the mapped vectors z, as the training loop uses them.

Each returns (loss, gradient) of shapes () and (batch, d). Without autograd a training step is two matrix products and
a few element-wise passes. The definitions, and the oracle in the tests, are in :mod:`embalign.alignment.losses`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from embalign.alignment.losses import FFTNorm, negligible, reciprocal


def cosine_gradient(z: Tensor, unit_target: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of ``cosine_loss``: with u = z/|z|, dL/dz = -(t - (u.t) u) / (|z| batch); t must have length 1."""
    _, inverse, u = _polar(z)
    cosine = (u * unit_target).sum(dim=1, keepdim=True)
    gradient = torch.addcmul(unit_target, u, cosine, value=-1)
    gradient.mul_(inverse * (-1 / len(z)))
    return 1 - cosine.mean(), gradient


def spectral_gradient(z: Tensor, target_amplitude: Tensor, norm: FFTNorm = "backward") -> tuple[Tensor, Tensor]:
    """Gradient of ``spectral_loss`` (raw) for a precomputed |RFFT(target)|.

    With F = RFFT(z), e = |F| - |target| and K bins: dL/dz_n = sum_k Re(G_k exp(2 pi i k n / d)) where
    G = 2 e F / (|F| K batch). An inverse real FFT counts every bin but the first and, for even d, the last twice;
    the weights undo that.
    """
    d = z.shape[1]
    spectrum = torch.fft.rfft(z, dim=1, norm=norm)
    magnitude = spectrum.abs()
    error = magnitude - target_amplitude
    bins = magnitude.shape[1]
    weights = torch.full((bins,), (1.0 if norm == "ortho" else d) / (bins * len(z)), dtype=z.dtype)
    weights[0] *= 2
    if d % 2 == 0:
        weights[-1] *= 2
    slope = (error / magnitude).masked_fill_(magnitude <= negligible(z.dtype), 0).mul_(weights)
    torch.view_as_real(spectrum).mul_(slope.unsqueeze(-1))  # a complex product would cost four times as much
    return error.square().mean(), torch.fft.irfft(spectrum, n=d, dim=1, norm=norm)


def norm_gradient(z: Tensor, target_length: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of ``norm_loss``: 2 (|z| - |t|) u / batch; `target_length` is (batch, 1)."""
    length, _, u = _polar(z)
    error = length - target_length
    return error.square().mean(), u * (2 / len(z) * error)


def mse_gradient(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient of ``mse_loss``: 2 (z - t) / (batch d)."""
    error = z - target
    return error.square().mean(), error * (2 / z.numel())


def through_normalization(z: Tensor, gradient_of_unit: Tensor) -> Tensor:
    """Pull a gradient in u = z/|z| back to z: (g - (g.u) u) / |z|, and 0 for a zero vector."""
    _, inverse, u = _polar(z)
    tangent = torch.addcmul(gradient_of_unit, u, (gradient_of_unit * u).sum(dim=1, keepdim=True), value=-1)
    return tangent * inverse


def _polar(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Length, its reciprocal (0 where negligible) and direction of each row."""
    length = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    inverse = reciprocal(length)
    return length, inverse, z * inverse
