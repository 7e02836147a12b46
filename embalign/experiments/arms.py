"""The maps that experiments train on a seed's whole pool with an added loss term: the arms of experiment 2.

They are apart from :mod:`embalign.experiments.fits`, so that no cell of experiment 1 depends on the terms' source.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

from embalign.alignment.config import TrainingConfig
from embalign.alignment.meeting import memo, shared
from embalign.alignment.setting import Setting
from embalign.alignment.terms import Term, make_term
from embalign.alignment.training import TrainedMap, train_map
from embalign.errors import CellError
from embalign.experiments.fits import fitted_on, pool_of
from embalign.lazy import Reference
from embalign.pairs.pair import Pair

NO_WEIGHT = 1e-6  # of a term that is measured but must not steer
NO_RATIO = 1e-10  # rounding alone gives no larger gradient


@dataclass(frozen=True)
class Arm:
    """A loss term that is added to the cosine loss: which, how it is set, and which random draw of it."""

    name: str | Reference
    setting: Setting
    draw: int = 0

    def term(self, dimension: int, seed: int, weight: float) -> Term | None:
        """Return the term with that weight, for teachers of that dimension; None for no term."""
        return make_term(self.name, weight, dimension=dimension, scale=self.setting.scale, seed=seed, draw=self.draw)

    def unset(self) -> Self:
        """Return the arm without its strength: arms that differ in it alone share what does not depend on it."""
        return dataclasses.replace(self, setting=dataclasses.replace(self.setting, strength=0.0))


@memo(4)
def train_arm(pair: Pair, arm: Arm, seed: int, config: TrainingConfig) -> tuple[TrainedMap, float]:
    """Return the map of an arm, trained on a seed's whole pool, and the weight of its term.

    Raises CellError where a gradient ratio is asked of a term that has no gradient.
    """
    fitted, pool = fitted_on(pair), pool_of(pair, seed)
    term = arm.term(pair.teacher.shape[1], seed, arm.setting.strength)
    if term is not None and arm.setting.by == "gradient_ratio":
        term = dataclasses.replace(term, weight=arm.setting.strength / _ratio_of_one(pair, arm.unset(), seed, config))
    trained = train_map(shared(fitted.draft, pool), shared(fitted.teacher, pool), seed=seed, config=config, term=term)
    return trained, term.weight if term else 0.0


@memo(16)
def _ratio_of_one(pair: Pair, arm: Arm, seed: int, config: TrainingConfig) -> float:
    """Gradient ratio of an arm's term for each unit of weight, where the cosine loss alone has led after warm-up."""
    fitted, pool = fitted_on(pair), pool_of(pair, seed)
    warmup = round(config.warmup_share * config.steps_for(len(pool)))
    short = dataclasses.replace(config, warmup_share=warmup / (warmup + 1))
    term = arm.term(pair.teacher.shape[1], seed, NO_WEIGHT)
    chosen = shared(fitted.draft, pool), shared(fitted.teacher, pool)
    trained = train_map(*chosen, seed=seed, config=short, term=term, steps=warmup + 1)  # and no step further
    ratio = trained.gradient_ratio / NO_WEIGHT
    if ratio < NO_RATIO:
        raise CellError(f"arm {arm.name} has no gradient on {arm.setting.scale} vectors: give its strength as lambda")
    return ratio
