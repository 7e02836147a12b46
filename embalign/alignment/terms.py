"""The terms an arm of experiment 2 adds to the cosine loss: L = L_cos + weight * term.

    spectral            MSE of the amplitude spectra: the claim
    signed_permutation  the same on randomly permuted and sign-flipped dimensions
    rotation            the same after a random rotation of both sides
    norm_only           squared difference of the lengths
    mse                 mean squared difference: amplitude and phase
    phase               what MSE has beyond amplitude: MSE - L_amplitude with two-sided bin weights
    scrambled_phase     the same on randomly permuted and sign-flipped dimensions
    shrink              the output's length alone, with no length to aim at: the mean of |z_s| |z_t|

A model's dimensions can be permuted and flipped without changing what it computes, so an effect that
``signed_permutation`` has too is not spectral; one that ``norm_only`` has too is the norm's. In the same way
``scrambled_phase`` and ``shrink`` are the controls of ``phase``, which shortens the map's output.

A term of one's own is a function that returns a :class:`~embalign.alignment.losses.Loss`: docs/own-loss-term.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from embalign.alignment.losses import MSE, NORM, PHASE, SHRINK, Loss, at_scale, spectral
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.setting import FFTNorm, Scale, fft_norm

Change = Callable[[Tensor], Tensor]

ARMS = (
    *("baseline", "spectral", "signed_permutation", "rotation", "norm_only", "mse"),
    *("phase", "scrambled_phase", "shrink"),
)


@dataclass(frozen=True)
class Term:
    """A loss to be added to the cosine loss, and its weight."""

    weight: float
    loss: Loss


def make_term(
    arm: str | Loss | Callable[[], Loss],
    weight: float,
    *,
    dimension: int,
    scale: Scale = "raw",
    seed: int = 0,
    draw: int = 0,
) -> Term | None:
    """Return the term that an arm adds, or None for the baseline.

    Args:
        arm: one of ARMS, a loss of one's own, or a function that returns one, which is how a grid's cells carry it.
        weight: what the loss is multiplied with.
        dimension: d of the teacher vectors.
        scale: ``raw`` or ``unit``, for every arm.
        seed: fixes, with `draw`, what is drawn at random.
        draw: number of the draw, from 0.

    Raises ValueError for an unknown arm or scale, and TypeError for a function that returns no Loss.
    """
    if arm == "baseline":
        return None
    loss = _named(arm, fft_norm(scale), dimension, seed, draw) if isinstance(arm, str) else _own(arm)
    return Term(weight, at_scale(loss, scale))


def _named(arm: str, norm: FFTNorm, dimension: int, seed: int, draw: int) -> Loss:
    """The loss of a named arm."""
    rng = generator(seed, Stream.SIGNED_PERMUTATION)
    match arm:
        case "norm_only":
            return NORM
        case "mse":
            return MSE
        case "phase":
            return PHASE
        case "spectral":
            return spectral(norm)
        case "rotation":
            basis = rng.spawn(draw + 1)[-1].standard_normal((dimension, dimension))
            rotation = torch.linalg.qr(torch.from_numpy(basis)).Q.float()
            return _in_coordinates(spectral(norm), lambda z: z @ rotation.to(z), lambda g: g @ rotation.T.to(g))
        case "shrink":
            return SHRINK
        case "signed_permutation" | "scrambled_phase":
            for _ in range(draw + 1):
                order = torch.from_numpy(rng.permutation(dimension))
                signs = torch.from_numpy(rng.choice([-1.0, 1.0], dimension)).float()
            back = torch.argsort(order)
            return _in_coordinates(
                spectral(norm) if arm == "signed_permutation" else PHASE,
                lambda z: z[..., order] * signs.to(z),
                lambda g: (g * signs.to(g))[..., back],
            )
    raise ValueError(f"arm {arm!r} is unknown: choose one of {', '.join(ARMS)}, or give a loss of your own")


def _own(arm: Loss | Callable[[], Loss]) -> Loss:
    """A loss that is none of ARMS, as it is or as a function returns it."""
    loss = arm if isinstance(arm, Loss) else arm()
    if not isinstance(loss, Loss):
        raise TypeError(f"arm {arm!r} gave {loss!r}, which is no Loss: see docs/own-loss-term.md")
    return loss


def _in_coordinates(loss: Loss, change: Change, transposed: Change) -> Loss:
    """The loss seen after a linear change of coordinates of both sides; gradients come back by its transpose."""

    def value_and_gradient(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = loss.value_and_gradient(change(z), target)
        return value, transposed(gradient)

    return Loss(lambda teacher: loss.prepare(change(teacher)), value_and_gradient)
