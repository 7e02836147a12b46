"""One step of training, and its optimizer; on a GPU it is recorded once and played again without Python in between."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from embalign.alignment.losses import CosineStep
from embalign.alignment.stacked import Rows, Training, prepared

FEWEST = 20  # steps below which a recording does not pay
FIRST = 3  # steps before it, since what libraries make once must not be in it

TakeStep = Callable[[float, Tensor], Tensor]


class Step:
    """Moves weights (d_teacher, d_draft) of one training, or (R, d_teacher, d_draft) of R that are done as one.

    What a term adds to the loss, and gradient ratios, are then (R,).
    """

    def __init__(self, trainings: Sequence[Training], weights: Tensor, measured_at: int) -> None:
        first = trainings[0]
        self.weights, self.term = weights, first.term
        self.added, self.gradient_ratio = torch.zeros(()), torch.zeros(())
        self._draft, self._teacher = (
            Rows.of([getattr(each, side) for each in trainings], first.device) for side in ("draft", "teacher")
        )
        self._targets = None
        if first.term is not None:
            self._targets = prepared(first.term.loss.prepare, [each.teacher for each in trainings], first.device)
        self._across, self._slope = weights.mT, torch.zeros_like(weights)
        self._product = torch.mm if weights.ndim == 2 else torch.bmm
        self._optimizer = AdamW(weights, self._slope, first.config.weight_decay)
        self._mapped = weights.new_empty(*weights.shape[:-2], first.config.batch_size, weights.shape[-2])
        self._cosine = CosineStep(self._mapped)
        self._back = self._cosine.gradient.mT
        self._until_measured = measured_at

    @property
    def is_on_gpu(self) -> bool:
        """Whether all that a step needs is on a GPU."""
        return self._draft.base.is_cuda and self._teacher.base.is_cuda and self.weights.is_cuda

    def __call__(self, rate: float | Tensor, rows: Tensor) -> Tensor:
        """Take a step with some rows (batch,), or (R, batch); return their cosines (..., batch, 1) before it."""
        batch = self._draft[rows]
        self._product(batch, self._across, out=self._mapped)
        cosines = self._cosine.cosines(self._mapped, self._teacher[rows])  # of length 1, so prepared
        if self._targets is not None:
            self._add_term(batch, self._targets[rows])
        self._product(self._back, batch, out=self._slope)
        self._optimizer.step(rate)
        return cosines

    def _add_term(self, batch: Tensor, targets: Tensor) -> None:
        assert self.term is not None
        self.added, slope = self.term.loss.value_and_gradient(self._mapped, targets)
        if self._until_measured == 0:
            self.gradient_ratio = _norm_ratio(slope, self._cosine.gradient, batch)
        self._until_measured -= 1
        self._cosine.gradient.add_(slope, alpha=self.term.weight)


class Recorded:
    """The same steps as a CUDA graph: some thirty launches from Python are one.

    Not for steps with a term, whose own code may look at values or keep count.
    """

    def __init__(self, step: Step) -> None:
        self._step, self._taken = step, 0
        self._graph = torch.cuda.CUDAGraph()

    def __call__(self, rate: float, rows: Tensor) -> Tensor:
        """Take a step; the cosines that it returns are overwritten by the next one."""
        self._taken += 1
        if self._taken <= FIRST:
            return self._step(rate, rows)
        if self._taken == FIRST + 1:
            self._record(rows)
        self._rows.copy_(rows)
        self._rate.fill_(rate)
        self._graph.replay()
        return self._cosines

    def _record(self, rows: Tensor) -> None:
        self._rows, self._rate = torch.empty_like(rows), self._step.weights.new_empty(())
        with torch.cuda.graph(self._graph, stream=_stream(), capture_error_mode="thread_local"):
            self._cosines = self._step(self._rate, self._rows)


@functools.cache
def _stream() -> torch.cuda.Stream:
    """The stream of a process's recordings: libraries keep memory for each that is used."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch gives it no types


def fast(step: Step, steps: int) -> TakeStep:
    """Return the step as it is taken `steps` times."""
    return Recorded(step) if step.is_on_gpu and step.term is None and steps >= FEWEST else step


class AdamW:
    """AdamW with torch's usual settings, by the kernel of `torch.optim.AdamW(fused=True)`: see the test beside that.

    What the class and its function do around the kernel takes a tenth of a step.
    """

    def __init__(self, weights: Tensor, gradient: Tensor, weight_decay: float) -> None:
        self._steps, self._weight_decay = weights.new_zeros(()), weight_decay
        moments = [torch.zeros_like(weights)], [torch.zeros_like(weights)]
        self._state = [weights], [gradient], *moments, list[Tensor](), [self._steps]

    def step(self, rate: float | Tensor) -> None:
        """Move the weights along the gradient as it is now."""
        self._steps.add_(1)
        torch._fused_adamw_(
            *self._state,
            lr=rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self._weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


def _norm_ratio(slope: Tensor, gradient: Tensor, batch: Tensor) -> Tensor:
    of_term, of_cosine = (torch.linalg.vector_norm(each.mT @ batch, dim=(-2, -1)) for each in (slope, gradient))
    return torch.where(of_cosine > 0, of_term / of_cosine, math.inf)
