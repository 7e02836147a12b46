"""What a map does to one side's vectors: nothing, an affine function, a kernel expansion, or a residual network.

A transform holds float32 arrays and no code: it is stored as those, and computed by NumPy alone, so that a service
needs no torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from embalign.pairs import Vectors

BLOCK = 4096  # rows that are transformed at once
Arrays = Mapping[str, Vectors]


class Transform(Protocol):
    """A function of vectors (n, d_in) to vectors (n, d_out), float32; `kind` names it in files."""

    kind: ClassVar[str]

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return the transformed vectors, of any length."""

    def arrays(self) -> Arrays:
        """Return what it is made of, by name."""

    @property
    def multiplications(self) -> int:
        """Number of multiplications for one vector: what it adds to the latency of a query."""


@dataclass(frozen=True, eq=False)
class Unchanged:
    """The vectors as they are."""

    kind: ClassVar[str] = "unchanged"
    multiplications: ClassVar[int] = 0

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return the vectors."""
        return vectors

    def arrays(self) -> Arrays:
        """Return nothing."""
        return {}


@dataclass(frozen=True, eq=False)
class Affine:
    """x W^T + b for weights W (d_out, d_in) and offset b (d_out,)."""

    kind: ClassVar[str] = "affine"
    weights: Vectors
    offset: Vectors

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return x W^T + b."""
        found = np.asarray(vectors @ self.weights.T, np.float32)
        found += self.offset
        return found

    def arrays(self) -> Arrays:
        """Return weights and offset."""
        return _fields(self)

    @property
    def multiplications(self) -> int:
        """Number of multiplications for one vector."""
        return self.weights.size

    @classmethod
    def of(cls, weights: np.ndarray, *, centre: np.ndarray | None = None, add: np.ndarray | None = None) -> Affine:
        """Return (x - centre) W^T + add, given in any precision; without either it is linear."""
        offset = np.zeros(len(weights)) if add is None else np.asarray(add, np.float64)
        if centre is not None:
            offset = offset - weights @ centre
        return cls(np.asarray(weights, np.float32), np.asarray(offset, np.float32))


@dataclass(frozen=True, eq=False)
class Kernel:
    """k(x, anchors) C + b, with k(x, a) = exp(-|x - a|^2 / (2 width^2)): anchors (m, d_in), coefficients C (m, d_out).

    `width` is an array of one number.
    """

    kind: ClassVar[str] = "kernel"
    anchors: Vectors
    coefficients: Vectors
    offset: Vectors
    width: Vectors

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return the kernel expansion at each row."""
        found = np.empty((len(vectors), len(self.offset)), np.float32)
        for rows in _blocks(len(vectors)):
            found[rows] = gaussian(vectors[rows], self.anchors, float(self.width[0])) @ self.coefficients + self.offset
        return found

    def arrays(self) -> Arrays:
        """Return anchors, coefficients, offset and width."""
        return _fields(self)

    @property
    def multiplications(self) -> int:
        """Number of multiplications for one vector."""
        return self.anchors.size + self.coefficients.size


@dataclass(frozen=True, eq=False)
class Residual:
    """(x W^T + relu(x V^T + c) U^T) * scale + b: a linear map, what a hidden layer adds, and a diagonal scaling.

    Weights W (d_out, d_in), hidden V (h, d_in) and c (h,), outer U (d_out, h), scale and offset (d_out,).
    """

    kind: ClassVar[str] = "residual"
    weights: Vectors
    hidden: Vectors
    bias: Vectors
    outer: Vectors
    scale: Vectors
    offset: Vectors

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return the network's output for each row."""
        found = np.empty((len(vectors), len(self.weights)), np.float32)
        for rows in _blocks(len(vectors)):
            x = vectors[rows]
            added = np.maximum(x @ self.hidden.T + self.bias, 0) @ self.outer.T
            found[rows] = (x @ self.weights.T + added) * self.scale + self.offset
        return found

    def arrays(self) -> Arrays:
        """Return the layers."""
        return _fields(self)

    @property
    def multiplications(self) -> int:
        """Number of multiplications for one vector."""
        return self.weights.size + self.hidden.size + self.outer.size + self.scale.size


KINDS: Mapping[str, type[Unchanged | Affine | Kernel | Residual]] = {
    each.kind: each for each in (Unchanged, Affine, Kernel, Residual)
}


def gaussian(left: np.ndarray, right: np.ndarray, width: float) -> np.ndarray:
    """Return exp(-|x - a|^2 / (2 width^2)) of each row x of `left` and a of `right`, in their precision."""
    squares = np.einsum("ij,ij->i", left, left)[:, None] - 2 * (left @ right.T) + np.einsum("ij,ij->i", right, right)
    np.maximum(squares, 0, out=squares)
    squares *= -0.5 / width**2
    return np.asarray(np.exp(squares, out=squares))


def _fields(transform: Affine | Kernel | Residual) -> Arrays:
    return {field.name: getattr(transform, field.name) for field in dataclasses.fields(transform)}


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, start + BLOCK)
