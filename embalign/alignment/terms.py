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

A term of one's own is a function: docs/own-loss-term.md.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from embalign.alignment.arguments import described, name_of, number, takes, whole_number
from embalign.alignment.losses import MSE, NORM, PHASE, SHRINK, Loss, at_scale, spectral
from embalign.alignment.own_loss import by_autograd
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.setting import FFTNorm, Scale, fft_norm
from embalign.errors import LossError
from embalign.lazy import Reference

Change = Callable[[Tensor], Tensor]

ARMS = (
    *("baseline", "spectral", "signed_permutation", "rotation", "norm_only", "mse"),
    *("phase", "scrambled_phase", "shrink"),
)
DRAWN = ("signed_permutation", "rotation", "scrambled_phase")  # arms that draw something at random


@dataclass(frozen=True)
class Term:
    """A loss to be added to the cosine loss, and its weight.

    >>> make_term("norm_only", 0.1, dimension=8).weight
    0.1
    """

    weight: float
    loss: Loss


def make_term(
    arm: str | Loss | Callable[..., Any],
    weight: float,
    *,
    dimension: int,
    scale: Scale = "raw",
    seed: int = 0,
    draw: int = 0,
) -> Term | None:
    """Return the term that an arm adds, or None for the baseline.

    Args:
        arm: one of ARMS, or a loss of one's own: a torch function of mapped and teacher vectors that returns the value,
            a Loss, or a function without arguments that returns one. A grid's cells carry functions.
        weight: what the loss is multiplied with, finite.
        dimension: d of the teacher vectors.
        scale: ``raw`` or ``unit``, for every arm.
        seed: fixes, with `draw`, what is drawn at random.
        draw: number of the draw, from 0.

    Raises ValueError for an unknown arm or scale, and LossError, a TypeError, for a function that is no loss.

    >>> make_term("spectral", 0.05, dimension=8).weight
    0.05
    """
    weight, dimension = number(weight, "weight"), whole_number(dimension, "dimension", 1)
    seed, draw = whole_number(seed, "seed"), whole_number(draw, "draw")
    if arm == "baseline":
        return None
    if not isinstance(arm, str):
        return Term(weight, at_scale(_own(arm), scale))
    return Term(weight, _named(arm, scale, dimension, *((seed, draw) if arm in DRAWN else (0, 0))))


@functools.lru_cache(maxsize=4)  # trainings that share a loss can be done as one, and a rotation takes long to draw
def _named(arm: str, scale: Scale, dimension: int, seed: int, draw: int) -> Loss:
    """The loss of a named arm, on vectors of a scale."""
    return at_scale(_as_they_are(arm, fft_norm(scale), dimension, seed, draw), scale)


def _as_they_are(arm: str, norm: FFTNorm, dimension: int, seed: int, draw: int) -> Loss:
    """The loss of a named arm, on vectors as they are."""
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
            rotation = _Constant(torch.linalg.qr(torch.from_numpy(basis)).Q.float())
            return _in_coordinates(spectral(norm), lambda z: z @ rotation.like(z), lambda g: g @ rotation.like(g).T)
        case "shrink":
            return SHRINK
        case "signed_permutation" | "scrambled_phase":
            for _ in range(draw + 1):
                order = torch.from_numpy(rng.permutation(dimension))
                signs = torch.from_numpy(rng.choice([-1.0, 1.0], dimension)).float()
            there, back, sign = _Constant(order), _Constant(torch.argsort(order)), _Constant(signs)
            return _in_coordinates(
                spectral(norm) if arm == "signed_permutation" else PHASE,
                lambda z: z[..., there.beside(z)] * sign.like(z),
                lambda g: (g * sign.like(g))[..., back.beside(g)],
            )
    raise ValueError(f"arm {arm!r} is unknown: choose one of {', '.join(ARMS)}, or give a loss of your own")


class _Constant:
    """A tensor that stays on the device where it was used last."""

    def __init__(self, value: Tensor) -> None:
        self._value = self._last = value

    def beside(self, other: Tensor) -> Tensor:
        """Return it on the device of another tensor."""
        return self._as(other.device, self._value.dtype)

    def like(self, other: Tensor) -> Tensor:
        """Return it on the device and in the number format of another tensor."""
        return self._as(other.device, other.dtype)

    def _as(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        if (self._last.device, self._last.dtype) != (device, dtype):
            self._last = self._value.to(device, dtype)
        return self._last


def _own(arm: Loss | Callable[..., Any]) -> Loss:
    """A loss that is none of ARMS: as it is, as a function returns it, or as one of two arguments computes it."""
    if isinstance(arm, Loss):
        return arm
    function = arm.resolve() if isinstance(arm, Reference) else arm
    if not callable(function):
        raise LossError(f"arm {described(arm)} is no loss: give one of {', '.join(ARMS)}, or a function of your own")
    if takes(function, 2):
        return by_autograd(function)
    remedy = (
        "define it as a torch function of two arguments, the mapped and the teacher vectors, or without arguments and "
        "let it return a Loss: docs/own-loss-term.md"
    )
    if not takes(function, 0):
        raise LossError(f"arm {name_of(function)} is no loss; {remedy}")
    loss = function()
    if not isinstance(loss, Loss):
        raise LossError(f"arm {function!r} gave {described(loss)}, which is no Loss; {remedy}")
    return loss


def _in_coordinates(loss: Loss, change: Change, transposed: Change) -> Loss:
    """The loss seen after a linear change of coordinates of both sides; gradients come back by its transpose."""

    def value_and_gradient(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = loss.value_and_gradient(change(z), target)
        return value, transposed(gradient)

    return Loss(lambda teacher: loss.prepare(change(teacher)), value_and_gradient)
