"""Lengths and directions of vectors, kept inside the number format: the parts that the losses are made of.

Every function works over the last dimension of a tensor (..., d) in float32 or float64. None is meant for autograd,
whose gradient at the zero vector is NaN: the losses state their gradients themselves.
"""

from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = TypeVar("Rows", bound=NDArray[np.floating])


def length(z: Tensor) -> Tensor:
    """Return the Euclidean lengths, (..., 1), correct for every finite vector whose length is finite."""
    plain: Tensor = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return plain if _all_ordinary(plain) else _where_ordinary(plain, z)


def inverse_length(z: Tensor) -> Tensor:
    """Return 1/|z|, (..., 1), and 0 for negligible rows."""
    plain: Tensor = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return plain.reciprocal_() if _all_ordinary(plain) else reciprocal(_where_ordinary(plain, z))


def _all_ordinary(plain: Tensor) -> bool:
    """Whether all lengths by vector_norm are right; False on a GPU, which a look at the values would wait for.

    It adds squares, which leave the number format, or lose digits, beyond the square root of the format's limits.
    """
    if plain.is_cuda:
        return False
    least = torch.finfo(plain.dtype).tiny ** 0.25
    shortest, longest = torch.aminmax(plain)
    return bool(shortest.item() > least and longest.item() < 1 / least)


def _where_ordinary(plain: Tensor, z: Tensor) -> Tensor:
    least = torch.finfo(z.dtype).tiny ** 0.25
    ordinary = (plain > least) & (plain < 1 / least)
    return torch.where(ordinary, plain, scaled_length(z))


def scaled_length(z: Tensor) -> Tensor:
    """Return the Euclidean lengths, (..., 1), by way of vectors whose largest component is 1: slower, always in range.

    It may differ from `length` in the last bit. Targets and unit vectors are made with this one because the published
    maps were.
    """
    scale = z.abs().amax(dim=-1, keepdim=True)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (z / scale).square().sum(dim=-1, keepdim=True).sqrt() * scale


def polar(z: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the directions z/|z|, (..., d), and the reciprocal lengths 1/|z|, (..., 1); both 0 for negligible rows.

    The directions are written to `out` where that is given.
    """
    inverse = inverse_length(z)
    return torch.mul(z, inverse, out=out), inverse


def normalize(z: Tensor) -> Tensor:
    """Return the rows at length 1; a row shorter than the square root of the smallest normal number becomes 0."""
    return z * reciprocal(scaled_length(z))


def unit_rows(vectors: Rows) -> Rows:
    """Return the rows of an array (n, d) at length 1, in its precision; zero rows stay zero."""
    held = torch.from_numpy(np.require(vectors, requirements=("C", "W")))
    return cast("Rows", torch.nn.functional.normalize(held, dim=-1).numpy())


def through_normalization(z: Tensor, gradient_of_unit: Tensor) -> Tensor:
    """Return a gradient in u = z/|z| as one in z: (g - (g.u) u) / |z|, and 0 for a negligible row."""
    u, inverse = polar(z)
    tangent = torch.addcmul(gradient_of_unit, u, (gradient_of_unit * u).sum(dim=-1, keepdim=True), value=-1)
    return tangent * inverse


def reciprocal(lengths: Tensor) -> Tensor:
    """Return 1/length, and 0 for a negligible length."""
    return torch.where(lengths > negligible(lengths.dtype), 1 / lengths, torch.zeros_like(lengths))


def negligible(dtype: torch.dtype) -> float:
    """Return the square root of the format's smallest normal number: gradients of shorter directions overflow."""
    return float(torch.finfo(dtype).tiny ** 0.5)
