"""The one training loop: W (d_teacher, d_draft) by AdamW on mini-batches of pairs.

The settings, and how they were chosen, are in :mod:`embalign.alignment.config`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from embalign.alignment.arguments import check_unit, described, pair_of_vectors, vectors, whole_number
from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.gemm import use_fast_gemm
from embalign.alignment.losses import COSINE
from embalign.alignment.seeds import Stream, generator
from embalign.errors import TrainingDivergedError
from embalign.pairs import Vectors
from embalign.pairs.picked import Picked

if TYPE_CHECKING:
    from embalign.alignment.terms import Term


@dataclass(frozen=True)
class TrainedMap:
    """A map and what is worth knowing about its training."""

    weights: Vectors
    final_loss: float
    gradient_ratio: float
    checkpoints: dict[int, Vectors] = field(default_factory=dict)


def initial_map(d_teacher: int, d_draft: int, seed: int, scale: float = DEFAULT.initial_scale) -> Vectors:
    """Return the untrained map of a seed: uniform in +-scale/sqrt(d_draft), at scale 1 as torch.nn.Linear draws it."""
    bound = scale / math.sqrt(d_draft)
    return generator(seed, Stream.INITIAL_MAP).uniform(-bound, bound, (d_teacher, d_draft)).astype(np.float32)


def train_map(
    draft: Vectors,
    teacher: Vectors,
    *,
    seed: int,
    config: TrainingConfig = DEFAULT,
    steps: int | None = None,
    term: Term | None = None,
    checkpoints: Collection[int] = (),
) -> TrainedMap:
    """Return the map trained on `draft` (n, d_draft) and unit-length `teacher` (n, d_teacher).

    `seed` fixes the initial map and the batch order; `steps` is the config's fixed budget for these items if not given.
    The result holds a copy of the map after each number of steps in `checkpoints`. The gradient ratio is
    |weight * dL_term/dW| / |dL_cos/dW| on the first batch after warm-up, 0 without a term. The learning rate rises
    linearly over the warm-up and falls to zero along a half cosine. Raises TrainingDivergedError naming the step, and
    TypeError or ValueError for vectors that no map can be trained on.

    >>> rng = np.random.default_rng(0)
    >>> draft = rng.standard_normal((50, 4))
    >>> teacher = np.eye(6, 4) @ draft.T
    >>> trained = train_map(draft, (teacher / np.linalg.norm(teacher, axis=0)).T, seed=0, steps=20)
    >>> trained.weights.shape
    (6, 4)
    """
    draft, teacher = _checked(draft, teacher, config, term)
    seed = whole_number(seed, "seed")
    use_fast_gemm()
    steps = config.steps_for(len(draft)) if steps is None else whole_number(steps, "steps", 1)
    x, t = tensor_of(draft), tensor_of(teacher)
    targets = term.loss.prepare(torch.from_numpy(np.asarray(teacher))) if term else None
    weights = torch.from_numpy(initial_map(t.shape[1], x.shape[1], seed, config.initial_scale))
    weights.grad = torch.zeros_like(weights)
    optimizer = torch.optim.AdamW([weights], lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    of_seed = batches(len(x), config.batch_size, seed)
    measured_at = min(steps - 1, round(config.warmup_share * steps))
    loss, gradient_ratio = torch.tensor(math.nan), 0.0
    kept: dict[int, Vectors] = {}

    for step in range(steps):
        rows = next(of_seed)
        batch = x[rows]
        z = batch @ weights.T
        loss, gradient = COSINE.value_and_gradient(z, t[rows])  # of length 1, so prepared
        if term is not None and targets is not None:
            added, slope = term.loss.value_and_gradient(z, targets[rows])
            if step == measured_at:
                gradient_ratio = term.weight * _norm_ratio(slope, gradient, batch)
            loss = loss + term.weight * added
            gradient.add_(slope, alpha=term.weight)
        torch.mm(gradient.T, batch, out=weights.grad)
        optimizer.param_groups[0]["lr"] = config.learning_rate * schedule(step, steps, config.warmup_share)
        optimizer.step()
        if step + 1 in checkpoints:
            kept[step + 1] = weights.numpy().copy()
        if step % 50 == 49 and not torch.isfinite(loss):
            raise TrainingDivergedError(f"the loss is {float(loss)} after step {step + 1} of {steps}")
    if not torch.isfinite(loss) or not torch.isfinite(weights).all():
        raise TrainingDivergedError(f"the loss is {float(loss)} after the last of {steps} steps")
    return TrainedMap(weights.numpy(), float(loss), gradient_ratio, kept)


class PickedTensor:
    """Rows of a mapped file as torch takes them: a batch is read when it is asked for."""

    def __init__(self, picked: Picked) -> None:
        self.shape = picked.shape
        self._base, self._rows = torch.from_numpy(picked.base), torch.from_numpy(picked.rows)
        self._columns = None if picked.columns is None else torch.from_numpy(picked.columns)

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return a batch."""
        found: Tensor = self._base[self._rows[rows]]
        return found if self._columns is None else torch.nn.functional.normalize(found[:, self._columns])


def tensor_of(vectors: Vectors) -> Tensor | PickedTensor:
    """Return vectors (n, d) as torch takes them, without a copy."""
    return PickedTensor(vectors) if isinstance(vectors, Picked) else torch.from_numpy(vectors)


def apply_map(weights: Vectors, draft: Vectors) -> Vectors:
    """Return the mapped vectors draft @ W.T, (n, d_teacher), of a map W (d_teacher, d_draft).

    Raises TypeError or ValueError for vectors that the map does not fit.

    >>> apply_map(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([[2.0, 3.0]]))
    array([[3., 2., 5.]], dtype=float32)
    """
    weights = vectors(weights, "weights")
    draft = vectors(draft, "draft", width=weights.shape[1], least=0)
    use_fast_gemm()
    return (torch.from_numpy(draft) @ torch.from_numpy(weights).T).numpy()


def _checked(draft: Vectors, teacher: Vectors, config: TrainingConfig, term: Term | None) -> tuple[Vectors, Vectors]:
    """The vectors as torch takes them. Raises TypeError or ValueError for what cannot be meant."""
    draft, teacher = pair_of_vectors(draft, teacher)
    check_unit(teacher, "teacher")
    if not isinstance(config, TrainingConfig):
        raise TypeError(f"config must be a TrainingConfig, found {described(config)}")
    if term is not None and not hasattr(term, "loss"):
        raise TypeError(f"term must be what make_term returns, found {described(term)}")
    return draft, teacher


def schedule(step: int, steps: int, warmup_share: float) -> float:
    """Return the learning rate of a step over its highest: a linear rise over the warm-up, then half a cosine."""
    warmup = max(1, round(warmup_share * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _norm_ratio(slope: Tensor, gradient: Tensor, batch: Tensor) -> float:
    of_cosine = torch.linalg.norm(gradient.T @ batch)
    return float(torch.linalg.norm(slope.T @ batch) / of_cosine) if of_cosine > 0 else math.inf


def batches(n: int, size: int, seed: int) -> Iterator[Tensor]:
    """Yield the rows of one full batch after another, from one fresh permutation after another.

    A batch runs on over the end of a pass: the size of a last batch, and so the noise that regularises, would vary.
    """
    rng = generator(seed, Stream.BATCHES)
    order = torch.empty(0, dtype=torch.int64)
    while True:
        while len(order) < size:
            order = torch.cat((order, torch.from_numpy(rng.permutation(n))))
        yield order[:size]
        order = order[size:]
