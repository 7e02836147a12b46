"""Trainings that are done as one: which may be, how many at once, and the batches of all of them.

Trainings of one :attr:`Training.group` differ in rows, seeds and checkpoints alone. R of them are one with a leading
dimension, (R, d_teacher, d_draft); a single one has none.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment.config import TrainingConfig
from embalign.alignment.device import CPU
from embalign.alignment.memory import fits, free, resident
from embalign.alignment.seeds import Stream, generator
from embalign.pairs import Vectors
from embalign.pairs.picked import Picked

if TYPE_CHECKING:
    from embalign.alignment.terms import Term

STEPS_DRAWN = 256  # steps whose batches are drawn and brought to the device at once
OF_RESULTS = 2**30  # bytes of the maps that come of trainings that are done at once


@dataclass(frozen=True, eq=False)
class Training:
    """What :func:`embalign.alignment.training.train_map` is asked for, checked, and the device to do it on."""

    draft: Vectors
    teacher: Vectors
    seed: int
    config: TrainingConfig
    steps: int
    term: Term | None
    checkpoints: Collection[int]
    device: str

    @property
    def group(self) -> Hashable:
        """What trainings have in common that can be done as one."""
        shapes = self.draft.shape[1], self.teacher.shape[1]
        in_columns = tuple(getattr(side, "columns", None) is not None for side in (self.draft, self.teacher))
        alone = id(self) if self.term is not None and any(in_columns) else None
        term = None if self.term is None else (id(self.term.loss), self.term.weight)
        return shapes, in_columns, self.config, self.steps, term, self.device, alone

    @functools.cached_property
    def name(self) -> Hashable:
        """What tells one from another of its group."""
        return self.seed, tuple(sorted(self.checkpoints)), _name(self.draft), _name(self.teacher)

    @property
    def most(self) -> int:
        """How many fit into the memory that may be used."""
        d, d2 = self.draft.shape[1], self.teacher.shape[1]
        each = 4 * (4 * d * d2 + self.config.batch_size * (2 * d + 8 * d2))  # weights, gradient, two moments; batches
        results = 4 * d * d2 * (1 + len(self.checkpoints))
        return max(1, int(min(free(self.device) // each, OF_RESULTS // results)))


def _name(vectors: Vectors) -> Hashable:
    if isinstance(vectors, Picked):
        numbers = (np.ascontiguousarray(each) for each in (vectors.rows, vectors.columns) if each is not None)
        return id(vectors.base), *(hashlib.sha256(each).digest() for each in numbers)
    return id(vectors)


class Rows:
    """Rows of vectors (n, d) as batches on a device: (batch, d) of row numbers (batch,).

    Of R sets of vectors they are (R, batch, d), of numbers (R, batch). What is in a mapped file stays there on the CPU,
    and what does not fit into a GPU's memory is brought there batch by batch.
    """

    def __init__(self, base: Tensor, lookup: Tensor | None = None, columns: Tensor | None = None) -> None:
        self.base, self._lookup, self._columns = base, lookup, columns
        self._found = base.new_empty(0)

    @classmethod
    def of(cls, sets: Sequence[Vectors], device: str) -> Rows:
        """Return the rows of one set of vectors, or of several side by side."""
        found = [each if isinstance(each, Picked) else Picked(each, np.arange(len(each))) for each in sets]
        if not all(fits(each.base, device) for each in found):
            device = CPU
        on = functools.partial(torch.Tensor.to, device=device)
        if len(sets) == 1:
            base, columns = resident(found[0].base, device), found[0].columns
            lookup = on(torch.from_numpy(found[0].rows)) if isinstance(sets[0], Picked) else None
            return cls(base, lookup, None if columns is None else on(torch.from_numpy(columns)))
        bases = {id(each.base): each.base for each in found}
        starts = dict(zip(bases, np.cumsum([0, *(len(base) for base in bases.values())]), strict=False))
        held = [resident(base, device) for base in bases.values()]
        lookups = np.zeros((len(sets), max(map(len, sets))), np.int64)
        for lookup, each in zip(lookups, found, strict=True):
            lookup[: len(each)] = each.rows + starts[id(each.base)]
        along = [each.columns for each in found if each.columns is not None]  # all or none of a group have some
        return cls(
            held[0] if len(held) == 1 else torch.cat(held),
            on(torch.from_numpy(lookups)),
            on(torch.from_numpy(np.stack(along)[:, None])) if along else None,
        )

    def mapped(self, prepare: Callable[[Tensor], Tensor]) -> Rows:
        """Return what a function makes of the rows of several sets; of a row that they share, once."""
        assert self._lookup is not None
        assert self._columns is None
        used, lookup = torch.unique(self._lookup, return_inverse=True)
        return Rows(prepare(self.base[used]), lookup)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return a batch where the numbers are, in memory that the next one takes."""
        device, rows = rows.device, rows.to(self.base.device)
        if self._lookup is not None:
            rows = self._lookup[rows] if rows.ndim == 1 else self._lookup.gather(1, rows)
        if len(self._found) != rows.numel():
            self._found = self.base.new_empty(rows.numel(), self.base.shape[1])
        torch.index_select(self.base, 0, rows if rows.ndim == 1 else rows.view(-1), out=self._found)
        found = self._found if rows.ndim == 1 else self._found.view(*rows.shape, -1)
        if self._columns is not None:
            columns = self._columns.expand(*found.shape[:-1], -1) if found.ndim == 3 else self._columns
            found = found.gather(2, columns) if found.ndim == 3 else found[:, columns]
            found = torch.nn.functional.normalize(found, dim=-1)
        return found.to(device)


def prepared(prepare: Callable[[Tensor], Tensor], teachers: Sequence[Vectors], device: str) -> Rows:
    """Return what a loss prepares of teacher vectors, row by row as they are."""
    if len(teachers) == 1:
        return Rows(prepare(torch.from_numpy(np.asarray(teachers[0])).to(device)))
    return Rows.of(teachers, device).mapped(prepare)


class Order:
    """The order in which a seed's batches take n rows: one fresh permutation after another.

    A batch runs on over the end of a pass: the size of a last batch, and so the noise that regularises, would vary.
    """

    def __init__(self, n: int, seed: int) -> None:
        self._n, self._rng = n, generator(seed, Stream.BATCHES)
        self._left = np.empty(0, np.int64)

    def take(self, count: int) -> NDArray[np.int64]:
        """Return the next rows."""
        parts, missing = [self._left], count - len(self._left)
        while missing > 0:
            parts.append(self._rng.permutation(self._n))
            missing -= self._n
        every = np.concatenate(parts) if len(parts) > 1 else self._left
        self._left = every[count:]
        return every[:count]


def batches(n: int, size: int, seed: int) -> Iterator[Tensor]:
    """Yield the rows of one full batch of `size` rows of n after another, without end."""
    order = Order(n, seed)
    while True:
        yield torch.from_numpy(order.take(size))


def batches_of(trainings: Sequence[Training]) -> Iterator[Tensor]:
    """Yield the rows of each step on the device: (batch,), or (R, batch) of R trainings."""
    first = trainings[0]
    size, orders = first.config.batch_size, [Order(len(each.draft), each.seed) for each in trainings]
    for start in range(0, first.steps, STEPS_DRAWN):
        count = min(STEPS_DRAWN, first.steps - start)
        drawn = np.stack([order.take(count * size).reshape(count, size) for order in orders], axis=1)
        yield from torch.from_numpy(drawn[:, 0] if len(orders) == 1 else drawn).to(first.device)
