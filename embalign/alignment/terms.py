"""The terms an arm of experiment 2 adds to the cosine loss, each in closed form: L = L_cos + weight * term.

    spectral            MSE of the amplitude spectra: the claim
    signed_permutation  the same on randomly permuted and sign-flipped dimensions
    rotation            the same after a random rotation of both sides
    norm_only           squared difference of the lengths
    mse                 mean squared difference: amplitude and phase
    phase               what MSE has beyond amplitude: MSE - L_amplitude with two-sided bin weights

A model's dimensions can be permuted and flipped without changing what it computes, so an effect that
``signed_permutation`` has too is not spectral; one that ``norm_only`` has too is the norm's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from embalign.alignment.gradients import mse_gradient, norm_gradient, spectral_gradient, through_normalization
from embalign.alignment.losses import Convention, FFTNorm, amplitude, negligible, normalize
from embalign.alignment.seeds import Stream, generator

ARMS = ("baseline", "spectral", "signed_permutation", "rotation", "norm_only", "mse", "phase")
CONVENTION_NORMS: dict[Convention, FFTNorm] = {"raw": "backward", "unit": "ortho"}


@dataclass(frozen=True)
class Penalty:
    """A weighted term; `prepare` turns teacher vectors (n, d) into targets once, `gradient` is called every step."""

    weight: float
    prepare: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def make_penalty(
    arm: str, weight: float, *, dimension: int, convention: Convention = "raw", seed: int = 0, draw: int = 0
) -> Penalty | None:
    """Return the term that `arm` adds, or None for the baseline; `seed` and `draw` fix what is drawn at random."""
    rng = generator(seed, Stream.SIGNED_PERMUTATION)
    match arm:
        case "baseline":
            return None
        case "norm_only":
            return Penalty(weight, lambda t: torch.linalg.vector_norm(t, dim=1, keepdim=True), norm_gradient)
        case "mse":
            return Penalty(weight, lambda t: t, mse_gradient)
        case "phase":
            return Penalty(weight, lambda t: t, _phase_gradient)
        case "spectral":
            return _spectral(weight, convention, lambda z: z, lambda g: g)
        case "rotation":
            basis = rng.spawn(draw + 1)[-1].standard_normal((dimension, dimension))
            rotation = torch.linalg.qr(torch.from_numpy(basis)).Q.float()
            return _spectral(weight, convention, lambda z: z @ rotation, lambda g: g @ rotation.T)
        case "signed_permutation":
            for _ in range(draw + 1):
                order = torch.from_numpy(rng.permutation(dimension))
                signs = torch.from_numpy(rng.choice([-1.0, 1.0], dimension)).float()
            inverse = torch.argsort(order)
            return _spectral(weight, convention, lambda z: z[:, order] * signs, lambda g: (g * signs)[:, inverse])
    raise ValueError(f"arm {arm!r} is unknown: choose one of {', '.join(ARMS)}")


def _spectral(
    weight: float,
    convention: Convention,
    scramble: Callable[[Tensor], Tensor],
    unscramble: Callable[[Tensor], Tensor],
) -> Penalty:
    """The spectral loss in changed coordinates: an orthogonal `scramble` and its inverse `unscramble`."""
    norm = CONVENTION_NORMS[convention]

    def prepare(teacher: Tensor) -> Tensor:
        return amplitude(scramble(normalize(teacher) if convention == "unit" else teacher), norm)

    def gradient(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        seen = normalize(z) if convention == "unit" else z
        loss, slope = spectral_gradient(scramble(seen), target, norm)
        slope = unscramble(slope)
        return loss, through_normalization(z, slope) if convention == "unit" else slope

    return Penalty(weight, prepare, gradient)


def _phase_gradient(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and gradient of sum_k w_k |S_k| |T_k| 2 (1 - cos(phase difference)), orthonormal FFT, batch mean.

    With the two-sided bin weights w = (1, 2, ..., 2, 1 for even d) / d the mean squared difference splits exactly into
    an amplitude and this phase part: 2 (|S| |T| - Re S conj(T)) = |S - T|^2 - (|S| - |T|)^2.
    """
    batch, d = z.shape
    s, t = (torch.fft.rfft(side, dim=1, norm="ortho") for side in (z, target))
    weights = torch.full((s.shape[1],), 2.0 / d, dtype=z.dtype)
    weights[0] = 1.0 / d
    if d % 2 == 0:
        weights[-1] = 1.0 / d
    magnitude, target_magnitude = s.abs(), t.abs()
    safe = magnitude.clamp_min(negligible(z.dtype))
    phase = 2 * (magnitude * target_magnitude - (s * t.conj()).real)
    # irfft of a half spectrum counts inner bins twice, as the two-sided weights do.
    slope = torch.fft.irfft(2 / d * (target_magnitude / safe * s - t), n=d, dim=1, norm="ortho") / batch
    return (phase * weights).sum(dim=1).mean(), slope
