"""Losses between mapped and teacher vectors: pure, differentiable functions of two (batch, d) tensors.

    L = cosine_loss(z_s, z_t) + lambda * spectral_loss(z_s, z_t)

Every function has a finite gradient wherever its inputs are finite, the zero vector included. Training uses the closed
forms of :mod:`embalign.alignment.gradients`; these are the definitions that those are tested against.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

Convention = Literal["raw", "unit"]
FFTNorm = Literal["backward", "ortho"]


def cosine_loss(z_s: Tensor, z_t: Tensor) -> Tensor:
    """Return 1 minus the mean cosine, in [0, 2]; a zero vector has cosine 0 with everything and gradient 0."""
    _check(z_s, z_t)
    cosines: Tensor = (normalize(z_s) * normalize(z_t)).sum(dim=1)
    return 1 - cosines.mean()


def spectral_loss(z_s: Tensor, z_t: Tensor, *, convention: Convention = "raw", norm: FFTNorm = "backward") -> Tensor:
    """Return MSE(|RFFT(z_s)|, |RFFT(z_t)|) over the floor(d/2)+1 bins and the batch, as a 0-d tensor.

    Args:
        z_s: mapped draft vectors, (batch, d).
        z_t: teacher vectors, (batch, d).
        convention: ``raw`` takes both as they are; ``unit`` normalises both to length 1 first.
        norm: scaling of the FFT. One objective in both scalings needs lambda_ortho = d * lambda_backward.

    Half precision is computed in float32, since the CPU has no half-precision FFT. Raises ValueError for shapes that
    differ, are not two-dimensional or are empty, and for an unknown convention or norm.
    """
    _check(z_s, z_t)
    if convention not in ("raw", "unit"):
        raise ValueError(f"convention {convention!r} is unknown: choose 'raw' or 'unit'")
    if norm not in ("backward", "ortho"):
        raise ValueError(f"FFT norm {norm!r} is unknown: choose 'backward' or 'ortho'")
    if convention == "unit":
        z_s, z_t = normalize(z_s), normalize(z_t)
    return (amplitude(z_s, norm) - amplitude(z_t, norm)).square().mean()


def norm_loss(z_s: Tensor, z_t: Tensor) -> Tensor:
    """Return the mean squared difference of the vectors' lengths: what a spectral loss does to the norm alone."""
    _check(z_s, z_t)
    return (length(z_s) - length(z_t)).square().mean()


def mse_loss(z_s: Tensor, z_t: Tensor) -> Tensor:
    """Return the mean squared difference over dimensions and batch: amplitude and phase together."""
    _check(z_s, z_t)
    return (z_s - z_t).square().mean()


def amplitude(z: Tensor, norm: FFTNorm = "backward") -> Tensor:
    """Return |RFFT(z)| along the last dimension; its gradient at a zero bin is taken as 0, the centre of the cone."""
    if z.dtype in (torch.float16, torch.bfloat16):
        z = z.float()
    spectrum = torch.view_as_real(torch.fft.rfft(z, dim=-1, norm=norm))
    return length(spectrum)


def normalize(z: Tensor) -> Tensor:
    """Return the rows of `z` at length 1.

    A row shorter than the square root of the smallest normal number counts as zero, with direction and gradient 0: the
    true gradient there is larger than the number format holds.
    """
    unit: Tensor = _Direction.apply(z)  # type: ignore[no-untyped-call]  # torch does not type apply
    return unit


def length(vectors: Tensor) -> Tensor:
    """Return the Euclidean length over the last dimension; its gradient at the zero vector is 0."""
    lengths: Tensor = _Length.apply(vectors)  # type: ignore[no-untyped-call]  # torch does not type apply
    return lengths


class _Length(torch.autograd.Function):
    """Euclidean length over the last dimension, scaled so that neither tiny nor huge values leave the number range.

    `abs()` of a complex tensor has a NaN gradient at 1e-45 and sqrt(re^2 + im^2) at 0: hence an own backward.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        scale = vectors.abs().amax(dim=-1, keepdim=True)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        scaled = vectors / scale
        relative = scaled.square().sum(dim=-1, keepdim=True).sqrt()
        ctx.save_for_backward(scaled / torch.where(relative > 0, relative, torch.ones_like(relative)))
        return (relative * scale).squeeze(-1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (direction,) = ctx.saved_tensors
        gradient: Tensor = grad_outputs[0].unsqueeze(-1) * direction
        return gradient


class _Direction(torch.autograd.Function):
    """z/|z| with the gradient (g - (g.u) u) / |z|, and 0 where |z| is negligible."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        lengths = length(vectors).unsqueeze(-1)
        inverse = reciprocal(lengths)
        unit = vectors * inverse
        ctx.save_for_backward(unit, inverse)
        return unit

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        unit, inverse = ctx.saved_tensors
        gradient = grad_outputs[0]
        tangent: Tensor = (gradient - (gradient * unit).sum(dim=-1, keepdim=True) * unit) * inverse
        return tangent


def reciprocal(lengths: Tensor) -> Tensor:
    """Return 1/length, and 0 for a negligible length."""
    return torch.where(lengths > negligible(lengths.dtype), 1 / lengths, torch.zeros_like(lengths))


def negligible(dtype: torch.dtype) -> float:
    """Return the square root of the format's smallest normal number: gradients of shorter directions overflow."""
    return float(torch.finfo(dtype).tiny ** 0.5)


def _check(z_s: Tensor, z_t: Tensor) -> None:
    if z_s.ndim != 2 or z_s.shape != z_t.shape or z_s.numel() == 0:
        raise ValueError(
            f"the loss needs two non-empty (batch, d) tensors of one shape, not {tuple(z_s.shape)} and "
            f"{tuple(z_t.shape)}"
        )
