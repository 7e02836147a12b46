"""Families without a closed form: the memo's cosine loss, a contrastive loss, and a residual network.

The last two start from ridge with the penalty 1, whose outputs already lie near the teacher's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from embalign.alignment.config import DEFAULT
from embalign.alignment.gemm import use_fast_gemm
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.stacked import batches
from embalign.alignment.training import schedule, train_map
from embalign.errors import TrainingDivergedError
from embalign.maps.map import Map
from embalign.maps.training import Setting, Training, ridge_of
from embalign.maps.transforms import Affine, Residual

BATCH, MOST_IN_BATCH = 128, 512
FEWEST_BATCHES = 64  # in a pass, for a contrastive batch of more than 128: the more texts, the more differ from each
RATES = {"contrastive": 3e-3, "residual": 1e-3}
PENALTY = 1.0  # of the ridge map that training starts from


def fit_cosine(training: Training, setting: Setting) -> Map:
    """Return the memo's map, trained on the cosine loss for a `share` of the fixed number of steps."""
    steps = max(1, round(setting["share"] * training.steps))
    trained = train_map(training.draft, training.teacher, seed=training.seed, steps=steps)
    linear = Affine.of(trained.weights)
    return Map(query=linear, index=linear)


def fit_contrastive(training: Training, setting: Setting) -> Map:
    """Return a linear map trained on symmetric InfoNCE (van den Oord et al. 2018; Radford et al. 2021), from ridge on.

    In a batch, each output is to be nearer to its own teacher vector than to the others, and the other way. Where
    somebody has judged, a share `answers` of the loss has the teacher's vector of what answers the text in its place,
    and what has the same answer is not among the others.
    """
    use_fast_gemm()
    weights = torch.from_numpy(np.ascontiguousarray(ridge_of(training.of_raw, PENALTY), np.float32))
    x, targets = torch.from_numpy(training.draft), _targets(training, setting["answers"])

    def gradient(rows: Tensor) -> Tensor:
        batch = x[rows]
        z = batch @ weights.T
        slope = torch.zeros_like(z)
        for share, vectors, same in targets:
            equal = None if same is None else same[rows]
            slope.add_(_infonce_gradient(z, vectors[rows], setting["temperature"], equal), alpha=share)
        return slope.T @ batch

    size = min(max(len(x) // FEWEST_BATCHES, BATCH), MOST_IN_BATCH)
    _descend(
        [weights], lambda rows: [gradient(rows)], training, round(setting["steps"]), RATES["contrastive"], size=size
    )
    linear = Affine.of(weights.numpy())
    return Map(query=linear, index=linear)


def fit_residual(training: Training, setting: Setting) -> Map:
    """Return ridge with a hidden layer of ReLUs added and a diagonal scaling, trained on the cosine loss.

    That is the best adapter of Drift-Adapter (EMNLP 2025).
    """
    use_fast_gemm()
    moments, width = training.moments, round(setting["hidden"])
    rng = generator(training.seed, Stream.INITIAL_MAP)
    d, d2 = len(moments.draft_mean), len(moments.teacher_mean)
    start = [
        ridge_of(training.of_raw, PENALTY),
        rng.uniform(-1, 1, (width, d)) * math.sqrt(3 / width),  # of inputs of length 1, the hidden layer has about that
        np.zeros(width),
        np.zeros((d2, width)),
        np.ones(d2),
        np.zeros(d2),
    ]
    parts = [torch.tensor(np.asarray(part), dtype=torch.float32, requires_grad=True) for part in start]
    weights, hidden, bias, outer, scale, offset = parts
    x, t = torch.from_numpy(training.draft), torch.from_numpy(training.teacher)

    def gradients(rows: Tensor) -> list[Tensor]:
        batch = x[rows]
        out = (batch @ weights.T + torch.relu(batch @ hidden.T + bias) @ outer.T) * scale + offset
        loss = 1 - functional.cosine_similarity(out, t[rows]).mean()
        return list(torch.autograd.grad(loss, parts))

    _descend(parts, gradients, training, round(setting["steps"]), RATES["residual"])
    network = Residual(*(part.detach().numpy() for part in parts))
    return Map(query=network, index=network)


class _Target(NamedTuple):
    """Unit vectors (n, d) that outputs are to be near to, and their share of the loss.

    Equal ones share a number in `same` (n,); None where all may differ.
    """

    share: float
    vectors: Tensor
    same: Tensor | None


def _targets(training: Training, of_answers: float) -> list[_Target]:
    own, answers = torch.from_numpy(training.teacher), training.answers
    if answers is None or not of_answers:
        return [_Target(1.0, own, None)]
    judged = _Target(of_answers, torch.from_numpy(answers.vectors), torch.from_numpy(answers.same))
    return [_Target(1 - of_answers, own, None), judged]


def _infonce_gradient(z: Tensor, t: Tensor, temperature: float, same: Tensor | None = None) -> Tensor:
    """The gradient of symmetric InfoNCE in outputs z (B, d), of any length, towards unit vectors t (B, d).

    Of rows with one number in `same` (B,), none is what another one is to be far from.
    """
    lengths = z.norm(dim=1, keepdim=True).clamp_min(1e-12)
    unit = z / lengths
    logits = unit @ t.T / temperature
    if same is not None:
        logits.masked_fill_((same[:, None] == same).fill_diagonal_(False), -math.inf)
    slope = torch.softmax(logits, dim=1) + torch.softmax(logits, dim=0)
    slope.diagonal().sub_(2)
    of_unit = slope @ t / (2 * len(z) * temperature)
    along: Tensor = (unit * of_unit).sum(dim=1, keepdim=True)
    return torch.div(of_unit - unit * along, lengths)


def _descend(
    parts: list[Tensor],
    gradients: Callable[[Tensor], list[Tensor]],
    training: Training,
    steps: int,
    rate: float,
    *,
    size: int = BATCH,
) -> None:
    """Train the parts in place by AdamW, on batches and by the schedule of the one training loop."""
    optimizer = torch.optim.AdamW(parts, lr=rate, weight_decay=0.0, fused=True)
    of_seed = batches(len(training.draft), min(size, len(training.draft)), training.seed)
    for step in range(steps):
        for part, gradient in zip(parts, gradients(next(of_seed)), strict=True):
            part.grad = gradient
        optimizer.param_groups[0]["lr"] = rate * schedule(step, steps, DEFAULT.warmup_share)
        optimizer.step()
    if not all(bool(torch.isfinite(part).all()) for part in parts):
        raise TrainingDivergedError(f"a weight is not finite after {steps} steps")
