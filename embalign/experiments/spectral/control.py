"""The positive control of experiment 2: a synthetic task on which the order of the dimensions is known to matter.

Teacher vectors are band-limited signals over their dimensions: 16 of 33 bins carry equal amplitude, the phases are an
item's own. In the few training pairs the phases of the upper half of the band are noisy, so the cosine loss alone
learns to shrink it; the amplitudes are right and tell the spectral loss what is missing. On permuted and sign-flipped
dimensions they tell nothing of the kind.

Mapped held-out items search an index of their clean teachers: nDCG@10, as the query adapter is judged. Ten items at a
time have nearly the same phases, so that mates are hard to tell from neighbours. `SPREAD` says how nearly, and was
chosen for an effect of one to two margins of the real verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embalign.alignment.config import TrainingConfig
from embalign.alignment.lengths import unit_rows
from embalign.alignment.terms import make_term
from embalign.alignment.training import apply_map, train_map
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.retrieval import search_metrics
from embalign.evaluation.similarity import cosines
from embalign.pairs import Vectors
from embalign.verdicts.metrics import ALIGNMENT, PRIMARY

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell

DIMENSION, BAND, TRAIN, TEST = 64, 16, 256, 3000
NEIGHBOURS, SPREAD = 10, 0.3  # items that share their phases, and by how many radians each differs
PHASE_NOISE, DRAFT_NOISE = 1.2, 0.1
WEIGHT = 10.0
CONFIG = TrainingConfig(steps=400, batch_size=32, learning_rate=2e-3)


class Task(NamedTuple):
    """Draft, teacher as training sees it, and clean teacher: (TRAIN + TEST, DIMENSION) each, training items first."""

    draft: Vectors
    observed: Vectors
    teacher: Vectors


def make_task(seed: int) -> Task:
    """Return the synthetic pair of a seed."""
    rng = np.random.default_rng([seed, 2001])
    shape = (TRAIN + TEST, DIMENSION // 2 + 1)
    amplitude = np.zeros(shape[1])
    amplitude[1 : 1 + BAND] = 1
    noise = np.zeros(shape[1])
    noise[1 + BAND // 2 : 1 + BAND] = PHASE_NOISE
    phase = 2 * np.pi * rng.random(shape)
    shared = phase[TRAIN::NEIGHBOURS].repeat(NEIGHBOURS, axis=0)
    phase[TRAIN:] = shared + SPREAD * rng.standard_normal(shared.shape)
    teacher, observed = (
        unit_rows(np.fft.irfft(amplitude * np.exp(1j * angle), n=DIMENSION, axis=1))
        for angle in (phase, phase + noise * rng.standard_normal(shape))
    )
    mixed = unit_rows(teacher @ rng.standard_normal((DIMENSION, DIMENSION)))
    draft = unit_rows(mixed + DRAFT_NOISE / np.sqrt(DIMENSION) * rng.standard_normal(mixed.shape))
    return Task(*(vectors.astype(np.float32) for vectors in (draft, observed, teacher)))


def measure_control(pair: Any, cell: Cell) -> Measurement:
    """Return nDCG@10 and cosine of a map trained with an arm's loss on the synthetic task; the pair is not used.

    The one relevant row of a query is its own teacher vector, among those of all held-out items.
    """
    task = make_task(cell.seed)
    term = make_term(cell["arm"], WEIGHT, dimension=DIMENSION, scale="unit", seed=cell.seed, draw=cell["draw"])
    trained = train_map(task.draft[:TRAIN], task.observed[:TRAIN], seed=cell.seed, config=CONFIG, term=term)
    mapped, index = apply_map(trained.weights, task.draft[TRAIN:]), task.teacher[TRAIN:]
    own = np.arange(TEST).astype(str)
    found = search_metrics(mapped, index, query_labels=own, index_labels=own)
    metrics = {PRIMARY: float(found.ndcg.mean()), ALIGNMENT: float(cosines(mapped, index).mean())}
    return Measurement(metrics | {"gradient_ratio": trained.gradient_ratio})
