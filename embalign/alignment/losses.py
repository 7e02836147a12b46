"""Losses between mapped and teacher vectors, each defined once: its value and its gradient in closed form.

    L = cosine_loss(z_s, z_t) + lambda * spectral_loss(z_s, z_t)

A :class:`Loss` holds both. The training loop calls them directly, which leaves a step of two matrix products and a few
element-wise passes; the public functions below hand the same gradients to autograd. They take mapped vectors `z_s` and
teacher vectors `z_t`, both (..., batch, d), and return a tensor (...), 0-d for (batch, d): leading dimensions are
independent problems, such as runs trained side by side. All are means over the batch, and all raise what `Loss` raises.

Gradients are finite for all finite inputs whose FFT or length does not overflow, the zero vector included.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from embalign.alignment.arguments import array, described, from_objects
from embalign.alignment.lengths import length, normalize, polar, scaled_length, through_normalization
from embalign.alignment.setting import FFTNorm, Scale


@dataclass(frozen=True)
class Loss:
    """A loss that is symmetric in mapped and teacher vectors, and how to compute it.

    Attributes:
        prepare: teacher vectors (..., batch, d) to targets (..., batch, *): all that does not depend on the map.
            Training calls it once.
        value_and_gradient: mapped vectors (..., batch, d) and targets to the value (...), a mean over the batch, and
            its gradient in the mapped vectors (..., batch, d). It changes neither argument.

    >>> import torch
    >>> def value_and_gradient(z, target):
    ...     return (z - target).square().mean((-2, -1)), 2 * (z - target) / z.shape[-1] / z.shape[-2]
    >>> error = Loss(prepare=lambda teacher: teacher, value_and_gradient=value_and_gradient)
    >>> error(torch.zeros(1, 4), torch.ones(1, 4))
    tensor(1.)
    """

    prepare: Callable[[Tensor], Tensor]
    value_and_gradient: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

    def __call__(self, z_s: Tensor, z_t: Tensor) -> Tensor:
        """Return the value, (...), differentiable once in both arguments; half precision is computed in float32.

        Arrays and lists are taken for tensors. Raises ValueError for shapes that differ, have less than two dimensions
        or are empty, TypeError for what is not real numbers.
        """
        z_s, z_t = _tensor(z_s, "z_s"), _tensor(z_t, "z_t")
        if z_s.ndim < 2 or z_s.shape != z_t.shape or z_s.numel() == 0:
            raise ValueError(
                f"the loss needs two non-empty (..., batch, d) tensors of one shape, not {tuple(z_s.shape)} and "
                f"{tuple(z_t.shape)}"
            )
        dtype = torch.promote_types(torch.promote_types(z_s.dtype, z_t.dtype), torch.float32)
        # torch gives the apply of its functions no types.
        value: Tensor = _Differentiable.apply(self, z_s.to(dtype), z_t.to(dtype))  # type: ignore[no-untyped-call]
        return value


def _tensor(value: Any, name: str) -> Tensor:
    """What a caller gave as a tensor of real numbers."""
    if not isinstance(value, Tensor):
        found = array(value, name)
        if found.dtype.kind == "O":
            found = from_objects(value, found, name)
        if found.dtype.kind not in "fiu":
            raise TypeError(f"{name} must hold real numbers, found {described(found)}; give a tensor (..., batch, d)")
        plain = np.float64 if found.dtype.itemsize > 8 else found.dtype.newbyteorder("=")
        return torch.from_numpy(np.array(found, plain))
    if value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} must hold real numbers, found a tensor of {value.dtype}; give floats (..., batch, d)")
    return value


class _Differentiable(torch.autograd.Function):
    """A loss for autograd. By symmetry the gradient in the teacher vectors is the closed form with swapped sides."""

    @staticmethod
    def forward(ctx: Any, loss: Loss, z_s: Tensor, z_t: Tensor) -> Tensor:
        value, of_mapped = loss.value_and_gradient(z_s, loss.prepare(z_t))
        of_teacher = loss.value_and_gradient(z_t, loss.prepare(z_s))[1] if ctx.needs_input_grad[2] else None
        ctx.save_for_backward(z_s, z_t, of_mapped, of_teacher)
        return value

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        z_s, z_t, *gradients = ctx.saved_tensors
        apply: Any = _Gradient.apply
        return None, *(None if gradient is None else apply(gradient, slope, z_s, z_t) for gradient in gradients)


class _Gradient(torch.autograd.Function):
    """The gradient times the slope of what follows. It takes the inputs because a constant's derivative would be 0."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, slope: Tensor, *inputs: Tensor) -> Tensor:
        return slope[..., None, None] * gradient

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        raise NotImplementedError("the losses have no second derivative: write the loss in torch operations for one")


def cosine_loss(z_s: Tensor, z_t: Tensor) -> Tensor:
    """Return 1 minus the mean cosine, in [0, 2]; a zero vector has cosine 0 with everything and gradient 0.

    A row shorter than the square root of the smallest normal number counts as zero: the true gradient there is larger
    than the number format holds.

    >>> import torch
    >>> cosine_loss(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor(0.5000)
    """
    return COSINE(z_s, z_t)


def spectral_loss(z_s: Tensor, z_t: Tensor, *, convention: Scale = "raw", norm: FFTNorm = "backward") -> Tensor:
    """Return MSE(|RFFT(z_s)|, |RFFT(z_t)|) over the floor(d/2)+1 bins and the batch, (...): 0-d for (batch, d).

    Args:
        z_s: mapped draft vectors, (..., batch, d).
        z_t: teacher vectors, (..., batch, d).
        convention: ``raw`` takes both as they are; ``unit`` normalises both to length 1 first.
        norm: scaling of the FFT. One objective in both scalings needs lambda_ortho = d * lambda_backward.

    The gradient at a zero bin is 0, the centre of the cone. Raises ValueError for shapes that differ, have less than
    two dimensions or are empty, and for an unknown convention or norm.

    >>> import torch
    >>> spectral_loss(torch.zeros(1, 4), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    tensor(1.)
    """
    return at_scale(spectral(norm), convention)(z_s, z_t)


def norm_loss(z_s: Tensor, z_t: Tensor) -> Tensor:
    """Return the mean squared difference of the vectors' lengths: what a spectral loss does to the norm alone."""
    return NORM(z_s, z_t)


def mse_loss(z_s: Tensor, z_t: Tensor) -> Tensor:
    """Return the mean squared difference over dimensions and batch: amplitude and phase together."""
    return MSE(z_s, z_t)


def phase_loss(z_s: Tensor, z_t: Tensor) -> Tensor:
    """Return what ``mse_loss`` has beyond amplitude: sum_k w_k 2 |S_k| |T_k| (1 - cos(phase difference)), batch mean.

    S and T are orthonormal RFFTs. With the two-sided bin weights w = (1, 2, ..., 2, 1 for even d) / d the mean squared
    difference splits exactly, bin by bin: 2 (|S| |T| - Re S conj(T)) = |S - T|^2 - (|S| - |T|)^2.
    """
    return PHASE(z_s, z_t)


def shrink_loss(z_s: Tensor, z_t: Tensor) -> Tensor:
    """Return the mean product of the lengths, mean |z_s| |z_t|: with teachers of length 1, the output's mean length.

    A bare penalty on length: its gradient has the direction of z_s and the length |z_t| / batch, whatever the angle. At
    fixed phases ``phase_loss`` grows in proportion to |z_s| and |z_t| too, and phase_loss <= 4/d * shrink_loss.
    """
    return SHRINK(z_s, z_t)


def spectral(norm: FFTNorm = "backward") -> Loss:
    """Return ``spectral_loss`` of vectors as they are. Raises ValueError for an unknown FFT norm."""
    if norm not in ("backward", "ortho"):
        raise ValueError(f"FFT norm {norm!r} is unknown: choose 'backward' or 'ortho'")
    return Loss(functools.partial(amplitude, norm=norm), functools.partial(_spectral, norm=norm))


def at_scale(loss: Loss, scale: Scale) -> Loss:
    """Return the loss on vectors as they are (``raw``) or at length 1 (``unit``). Raises ValueError for another."""
    if scale not in ("raw", "unit"):
        raise ValueError(f"convention {scale!r} is unknown: choose 'raw' or 'unit'")
    if scale == "raw":
        return loss

    def value_and_gradient(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = loss.value_and_gradient(normalize(z), target)
        return value, through_normalization(z, gradient)

    return Loss(lambda teacher: loss.prepare(normalize(teacher)), value_and_gradient)


def amplitude(z: Tensor, norm: FFTNorm = "backward") -> Tensor:
    """Return |RFFT(z)| along the last dimension, (..., floor(d/2)+1)."""
    return scaled_length(torch.view_as_real(torch.fft.rfft(z, dim=-1, norm=norm))).squeeze(-1)


class CosineStep:
    """The cosine loss of a batch for the training loop, in memory of its own: each gradient takes that of the last."""

    def __init__(self, z: Tensor) -> None:
        self.gradient, self._directions = torch.empty_like(z), torch.empty_like(z)

    def cosines(self, z: Tensor, unit_target: Tensor) -> Tensor:
        """Return the cosines (..., batch, 1), and set `gradient`; the loss is 1 minus their mean."""
        return _descend(z, unit_target, self._directions, self.gradient)[0]


def _cosine(z: Tensor, unit_target: Tensor) -> tuple[Tensor, Tensor]:
    cosine, gradient = _descend(z, unit_target)
    return 1 - cosine.mean(dim=(-2, -1)), gradient


def _descend(
    z: Tensor, unit_target: Tensor, directions: Tensor | None = None, gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """With u = z/|z|: dL/dz = -(t - (u.t) u) / (|z| batch). Returns the cosines u.t too; takes memory as given."""
    u, inverse = polar(z, out=directions)
    gradient = torch.mul(u, unit_target, out=gradient)
    cosine = gradient.sum(dim=-1, keepdim=True)
    torch.addcmul(unit_target, u, cosine, value=-1, out=gradient)
    gradient.mul_(inverse.mul_(-1 / z.shape[-2]))
    return cosine, gradient


def _spectral(z: Tensor, target_amplitude: Tensor, norm: FFTNorm) -> tuple[Tensor, Tensor]:
    """With F = RFFT(z), e = |F| - |target| and K bins: dL/dz_n = sum_k Re(G_k exp(2 pi i k n / d)).

    G = 2 e F / (|F| K batch). An inverse real FFT counts inner bins twice; the weights undo that.
    """
    batch, d = z.shape[-2:]
    spectrum = torch.fft.rfft(z, dim=-1, norm=norm)
    magnitude = spectrum.abs()
    error = magnitude - target_amplitude
    bins = magnitude.shape[-1]
    weight = (1.0 if norm == "ortho" else d) / (bins * batch)
    slope = _capped((error / magnitude).mul_(_bin_weights(z, inner=weight, single=2 * weight)))
    torch.view_as_real(spectrum).mul_(slope.unsqueeze(-1))  # a complex product would cost four times as much
    return error.square().mean(dim=(-2, -1)), torch.fft.irfft(spectrum, n=d, dim=-1, norm=norm)


def _norm(z: Tensor, target_length: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dz = 2 (|z| - |t|) z / (|z| batch); `target_length` is (..., batch, 1)."""
    z_length = length(z)
    error = z_length - target_length
    u = z * _capped(1 / z_length)
    return error.square().mean(dim=(-2, -1)), u * (2 / z.shape[-2] * error)


def _shrink(z: Tensor, target_length: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dz = |t| z / (|z| batch); `target_length` is (..., batch, 1)."""
    z_length = length(z)
    u = z * _capped(1 / z_length)
    return (z_length * target_length).mean(dim=(-2, -1)), u * (target_length / z.shape[-2])


def _mse(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dz = 2 (z - t) / (batch d)."""
    batch, d = z.shape[-2:]
    error = z - target
    return error.square().mean(dim=(-2, -1)), error * (2 / (batch * d))


def _phase(z: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """dL/dz = IRFFT(2/d (|T| S/|S| - T)) / batch; an inverse real FFT counts inner bins twice, as the weights do."""
    batch, d = z.shape[-2:]
    s, t = (torch.fft.rfft(side, dim=-1, norm="ortho") for side in (z, target))
    magnitude, target_magnitude = s.abs(), t.abs()
    phase = 2 * (magnitude * target_magnitude - (s * t.conj()).real)
    value = (phase * _bin_weights(z, inner=2 / d, single=1 / d)).sum(dim=-1).mean(dim=-1)
    slope = 2 / d * (_capped(target_magnitude / magnitude) * s - t)
    return value, torch.fft.irfft(slope, n=d, dim=-1, norm="ortho") / batch


def _bin_weights(z: Tensor, *, inner: float, single: float) -> Tensor:
    """Return `inner` for each bin, and `single` for those without a twin: the constant and, for even d, the last."""
    d = z.shape[-1]
    weights = z.new_full((d // 2 + 1,), inner)
    weights[0] = single
    if d % 2 == 0:
        weights[-1] = single
    return weights


def _capped(ratio: Tensor) -> Tensor:
    """Return the quotient, in place, with overflow capped at the largest number and 0 for 0/0.

    Times its divisor it is then finite, and right up to rounding wherever it had not overflowed.
    """
    return ratio.nan_to_num_()


COSINE = Loss(normalize, _cosine)
NORM = Loss(length, _norm)
MSE = Loss(lambda teacher: teacher, _mse)
PHASE = Loss(lambda teacher: teacher, _phase)
SHRINK = Loss(length, _shrink)
