"""The terms an arm of experiment 2 adds to the cosine loss, each in closed form: L = L_cos + weight * term.

``signed_permutation`` is the spectral loss on randomly permuted and sign-flipped dimensions. A model's dimensions can
be permuted and flipped without changing what it computes, so an effect that this arm has too is not spectral.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from embalign.alignment.gradients import mse_gradient, norm_gradient, spectral_gradient, through_normalization
from embalign.alignment.losses import Convention, FFTNorm, amplitude, normalize
from embalign.alignment.seeds import Stream, generator

ARMS = ("baseline", "spectral", "signed_permutation", "norm_only", "mse")
CONVENTION_NORMS: dict[Convention, FFTNorm] = {"raw": "backward", "unit": "ortho"}


@dataclass(frozen=True)
class Penalty:
    """A weighted term; `prepare` turns teacher vectors (n, d) into targets once, `gradient` is called every step."""

    weight: float
    prepare: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def make_penalty(
    arm: str, weight: float, *, dimension: int, convention: Convention = "raw", seed: int = 0
) -> Penalty | None:
    """Return the term that `arm` adds, or None for the baseline; `seed` draws the signed permutation."""
    if arm not in ARMS:
        raise ValueError(f"arm {arm!r} is unknown: choose one of {', '.join(ARMS)}")
    if arm == "baseline":
        return None
    if arm == "norm_only":
        return Penalty(weight, lambda t: torch.linalg.vector_norm(t, dim=1, keepdim=True), norm_gradient)
    if arm == "mse":
        return Penalty(weight, lambda t: t, mse_gradient)
    if arm == "spectral":
        return _spectral(weight, convention, torch.arange(dimension), torch.ones(dimension))
    rng = generator(seed, Stream.SIGNED_PERMUTATION)
    order = torch.from_numpy(rng.permutation(dimension))
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], dimension)).float()
    return _spectral(weight, convention, order, signs)


def _spectral(weight: float, convention: Convention, order: Tensor, signs: Tensor) -> Penalty:
    norm = CONVENTION_NORMS[convention]
    inverse = torch.argsort(order)
    scrambled = not torch.equal(order, torch.arange(len(order))) or bool((signs < 0).any())

    def scramble(vectors: Tensor) -> Tensor:
        return vectors[:, order] * signs if scrambled else vectors

    def unscramble(vectors: Tensor) -> Tensor:
        return (vectors * signs)[:, inverse] if scrambled else vectors

    def prepare(teacher: Tensor) -> Tensor:
        return amplitude(scramble(normalize(teacher) if convention == "unit" else teacher), norm)

    def gradient(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        seen = normalize(z) if convention == "unit" else z
        loss, slope = spectral_gradient(scramble(seen), target, norm)
        slope = unscramble(slope)
        return loss, through_normalization(z, slope) if convention == "unit" else slope

    return Penalty(weight, prepare, gradient)
