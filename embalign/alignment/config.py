"""The settings of the training loop, and why they are what they are.

`python benchmark/tune_training.py` prints the table they were chosen from, measured on label groups held out of the
training items; the test set is never read.

How long to train depends on the amount of data: a few dozen pairs over-fit after a hundred steps, thousands still gain
after five hundred. So nothing here is the best number of steps. `steps` and `passes` set the budget that experiments
hold fixed; :mod:`embalign.alignment.tuning` chooses a number for the data at hand.
"""

import dataclasses
import math
import numbers
from dataclasses import dataclass
from typing import Self

# Two starts of W, uniform in +-scale/sqrt(d_draft), each with the learning rate that trains it in the same steps.
# `small`: what the start puts outside the span of the training items stays there as noise, and steps outgrow it; the
# map's outputs stay short, and terms that see lengths weigh little. `linear`: what torch.nn.Linear draws.
STARTS = {"small": (0.01, 2e-4), "linear": (1.0, 1e-3)}

MOST = 1e9  # of any setting
LONGEST = 200  # characters of a message


@dataclass(frozen=True)
class TrainingConfig:
    """What a run of the loop depends on besides its data, its seed and an added loss term.

    The fixed budget is `steps`, or as many as pass the pool `passes` times if that is more.

    >>> TrainingConfig(steps=100).steps_for(1280), TrainingConfig(steps=100).steps_for(12_800)
    (100, 1000)
    """

    steps: int = 400
    passes: float = 5.0
    batch_size: int = 64
    learning_rate: float = STARTS["small"][1]
    initial_scale: float = STARTS["small"][0]
    weight_decay: float = 0.0
    warmup_share: float = 0.1

    def __post_init__(self) -> None:
        whole = ("steps", "batch_size")
        for name, least in {"steps": 1, "batch_size": 1, "passes": 0, "initial_scale": 0, "weight_decay": 0}.items():
            _check(name, getattr(self, name), numbers.Integral if name in whole else numbers.Real, least)
        _check("learning_rate", self.learning_rate, numbers.Real, 0)
        _check("warmup_share", self.warmup_share, numbers.Real, 0, 1)

    def steps_for(self, n_pool: int) -> int:
        """Return the fixed number of steps for a pool of so many items."""
        return max(self.steps, math.ceil(self.passes * n_pool / self.batch_size))

    def steps_for_epochs(self, n_train: int, n_pool: int) -> int:
        """Return the steps that pass over `n_train` items as often as the fixed budget over the pool; at least one."""
        return max(1, round(self.steps_for(n_pool) * n_train / n_pool))

    def draws_over_n(self, steps: int, n_train: int) -> float:
        """Return how often so many steps draw each of `n_train` items."""
        return steps * self.batch_size / n_train

    def started(self, init: str) -> Self:
        """Return the same with one of `STARTS`. Raises ValueError for another."""
        if init not in STARTS:
            raise ValueError(f"start {init!r} is unknown: choose one of {', '.join(STARTS)}")
        scale, rate = STARTS[init]
        return dataclasses.replace(self, initial_scale=scale, learning_rate=rate)


def _check(name: str, value: object, kind: type, least: float, most: float = MOST) -> None:
    """Raise TypeError or ValueError, in words, for a value that is not of a kind of number or out of its range."""
    whole = "a whole number" if kind is numbers.Integral else "a number"
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError(f"{name} must be {whole}, found {value!r}")
    if not least <= value <= most:  # type: ignore[operator]  # numbers, of whatever library
        raise ValueError(f"{name} must be {whole} from {least:g} to {most:g}, found {value!r}"[:LONGEST])


DEFAULT = TrainingConfig()
