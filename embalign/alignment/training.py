"""The one training loop: W (d_teacher, d_draft) by AdamW on mini-batches of pairs.

The settings, and how they were chosen, are in :mod:`embalign.alignment.config`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from embalign.alignment.arguments import check_unit, described, pair_of_vectors, vectors, whole_number
from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.device import chosen, suited
from embalign.alignment.gemm import use_fast_gemm
from embalign.alignment.meeting import ask
from embalign.alignment.memory import moved
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.stacked import Training, batches_of
from embalign.alignment.step import Step, fast
from embalign.errors import TrainingDivergedError
from embalign.pairs import Vectors

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
    steps = config.steps_for(len(draft)) if steps is None else whole_number(steps, "steps", 1)
    asked = Training(draft, teacher, seed, config, steps, term, checkpoints, chosen())
    found: TrainedMap = ask(asked, train_together)
    return found


def train_together(trainings: Sequence[Training]) -> list[TrainedMap | Exception]:
    """Return what each training of one group gives, or the exception that it raises for itself alone."""
    use_fast_gemm()
    try:
        return _trained(trainings)
    except Exception as error:  # of one of them, or memory that does not suffice for all
        if len(trainings) == 1:
            return [error]
    half = len(trainings) // 2
    return [*train_together(trainings[:half]), *train_together(trainings[half:])]


def _trained(trainings: Sequence[Training]) -> list[TrainedMap | Exception]:
    """The loop, on weights (d_teacher, d_draft) of one training, or (R, d_teacher, d_draft) of R at once."""
    config, steps = trainings[0].config, trainings[0].steps
    weights, weight = _start(trainings), trainings[0].term.weight if trainings[0].term else 0.0
    taken = Step(trainings, weights, measured_at=min(steps - 1, round(config.warmup_share * steps)))
    step, watched = fast(taken, steps), Watched(trainings)
    for number, rows in enumerate(batches_of(trainings)):
        cosines = step(config.learning_rate * schedule(number, steps, config.warmup_share), rows)
        if watched.at(number + 1):
            watched.look(number + 1, 1 - cosines.mean(dim=(-2, -1)) + weight * taken.added, weights)
            if watched.all_diverged:
                break
    return watched.results(weights, taken.gradient_ratio)


class Watched:
    """What becomes of each training: its maps after the steps that it names, and where it has diverged."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        self._trainings, self._steps = trainings, trainings[0].steps
        self._kept: list[dict[int, Vectors]] = [{} for _ in trainings]
        self._diverged: dict[int, Exception] = {}
        self._named = {step for each in trainings for step in each.checkpoints}
        self._loss = torch.zeros(())

    @property
    def all_diverged(self) -> bool:
        """Whether no training is left."""
        return len(self._diverged) == len(self._trainings)

    def at(self, step: int) -> bool:
        """Whether there is to be a look after a step."""
        return step % 50 == 0 or step == self._steps or step in self._named

    def look(self, step: int, loss: Tensor, weights: Tensor) -> None:
        """Take in loss and maps after a step."""
        self._loss = loss
        for i, (each, kept) in enumerate(zip(self._trainings, self._kept, strict=True)):
            if step in each.checkpoints:
                kept[step] = _map_of(weights, i).copy()
        if step % 50 == 0:
            self._check(torch.isfinite(loss), f"step {step}")

    def results(self, weights: Tensor, gradient_ratio: Tensor) -> list[TrainedMap | Exception]:
        """Return what each training gives in the end."""
        self._check(torch.isfinite(self._loss) & torch.isfinite(weights).all(-1).all(-1), "the last")
        losses = self._loss.reshape(-1).tolist()
        ratios = gradient_ratio.expand(self._loss.shape).reshape(-1).tolist()
        found: list[TrainedMap | Exception] = []
        for i, each in enumerate(self._trainings):
            ratio = each.term.weight * ratios[i] if each.term else 0.0
            found.append(self._diverged.get(i) or TrainedMap(_map_of(weights, i), losses[i], ratio, self._kept[i]))
        return found

    def _check(self, finite: Tensor, when: str) -> None:
        for i in torch.nonzero(~finite.reshape(-1)).flatten().tolist():
            loss = self._loss.reshape(-1)[i].item()
            self._diverged.setdefault(
                i, TrainingDivergedError(f"the loss is {loss} after {when} of {self._steps} steps")
            )


def _map_of(weights: Tensor, number: int) -> Vectors:
    """One of the maps; of several in memory of its own, for it must not keep the others."""
    return (weights if weights.ndim == 2 else weights[number].clone()).cpu().numpy()


def apply_map(weights: Vectors, draft: Vectors) -> Vectors:
    """Return the mapped vectors draft @ W.T, (n, d_teacher), of a map W (d_teacher, d_draft).

    Raises TypeError or ValueError for vectors that the map does not fit.

    >>> apply_map(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([[2.0, 3.0]]))
    array([[3., 2., 5.]], dtype=float32)
    """
    weights = vectors(weights, "weights")
    draft = vectors(draft, "draft", width=weights.shape[1], least=0)
    use_fast_gemm()
    with suited(draft.size * len(weights)):
        return (moved(draft) @ moved(weights).T).cpu().numpy()


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


def _start(trainings: Sequence[Training]) -> Tensor:
    """The untrained maps on the device; that of a seed is drawn once."""
    first, seeds = trainings[0], sorted({each.seed for each in trainings})
    shape = first.teacher.shape[1], first.draft.shape[1]
    drawn = [torch.from_numpy(initial_map(*shape, seed, first.config.initial_scale)) for seed in seeds]
    if len(trainings) == 1:
        return drawn[0].to(first.device, copy=True)  # torch's memory begins where a cache line does
    places = torch.tensor([seeds.index(each.seed) for each in trainings])
    return torch.stack(drawn).to(first.device)[places.to(first.device)]
