"""A curve's verdict with what a report needs beside it: sizes, means, where gain and margin come from."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from embalign.errors import TableError
from embalign.judging.columns import direction_note, margin_note
from embalign.judging.curves import CurveTable
from embalign.verdicts.curve import read_curve
from embalign.verdicts.elbow import ElbowVerdict, judge_elbow
from embalign.verdicts.statistics import StudentT

SHARE = 0.05  # of the gain, the margin where none is given
ALPHA = 0.05
GIVEN = "given"
MOST_DIGITS = 9  # on either side of the point


def in_digits(value: float, digits: int, sign: Literal["", "+"] = "") -> str:
    """Return a number with so many digits behind the point, or with a power of ten where these are very many."""
    if digits > MOST_DIGITS or abs(value) >= 10**MOST_DIGITS:
        return f"{value:{sign}.4g}"
    return f"{value:{sign}.{max(0, digits)}f}"


@dataclass(frozen=True)
class Point:
    """The mean at one size with its 95 % interval, in the metric's units; `n` is None if it is not known."""

    ratio: float
    n: float | None
    mean: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class JudgedCurve:
    """One judged curve. Gains are positive where training helps, also if lower is better.

    `origin` is the mean without training, None where the gain counts from the smallest size. `gain` is what all of the
    data brings over either, paired by seed.
    """

    metric: str
    verdict: ElbowVerdict
    points: tuple[Point, ...]
    gain: StudentT
    origin: float | None
    origin_from: str
    margin_from: str
    higher_is_better: bool
    percent: bool
    notes: tuple[str, ...]

    @property
    def largest(self) -> float | None:
        """The number of training items at 100 %, None if it is not known."""
        return self.points[-1].n

    @property
    def digits(self) -> int:
        """Digits behind the point that show the thousandth part of the curve's rise."""
        means = [point.mean for point in self.points]
        size = max(max(means) - min(means), abs(self.gain.mean)) or max(map(abs, means)) or 1.0
        return 3 - math.floor(math.log10(size))

    def text(self, value: float, sign: Literal["", "+"] = "") -> str:
        """Return a value in the metric's units as texts show it."""
        return in_digits(value, self.digits, sign)

    @property
    def unseen(self) -> tuple[float, float] | None:
        """The largest ratio that is not shown to be enough, and the difference to all of the data that is seen there.

        That is with power 0.8, after Holm over the ratios. None where every ratio is shown to be enough.
        """
        enough = 1.0 if self.verdict.recommended_ratio is None else self.verdict.recommended_ratio
        smaller = [ratio for ratio in self.verdict.loss if ratio < enough]
        if not smaller:
            return None
        loss = self.verdict.loss[max(smaller)]
        return max(smaller), loss.minimum_detectable_effect(ALPHA / len(self.verdict.loss))

    @property
    def margin_is_noise(self) -> bool:
        """Whether the margin is a share of a gain that is not shown to be there."""
        return self.margin_from != GIVEN and self.gain.lower_bound() <= 0

    def as_record(self) -> dict[str, Any]:
        """Return the judgement as verdict.json has it."""
        verdict = dataclasses.asdict(self.verdict)
        return {
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "origin": self.origin,
            "origin_from": self.origin_from,
            "margin_from": self.margin_from,
            "gain": dataclasses.asdict(self.gain) | {"interval": self.gain.interval()},
            "points": [dataclasses.asdict(point) for point in self.points],
            "notes": list(self.notes),
        } | {name: value for name, value in verdict.items() if name != "gain"}


def judge_curve(
    table: CurveTable, path: Path, *, higher_is_better: bool, margin: float | None, origin: float | None
) -> JudgedCurve:
    """Return the verdict on one curve of a file.

    Without `origin` the gain counts from the value at n = 0, if the table has it, else from the smallest size; without
    `margin` it is 5 % of that gain. Raises TableError for a curve that cannot be judged.
    """
    frame = _integers_where_possible(table.frame)
    sign = 1 if higher_is_better else -1
    start, words = origin, "the origin that was given"
    by_seed: float | Mapping[Any, float] | None = origin
    if origin is None and table.origin is not None:
        words = "the value at n = 0"
        start = float(np.mean(list(table.origin.values())))
        names = {str(seed): seed for seed in frame["seed"].unique()}
        known = {names[seed]: value for seed, value in table.origin.items() if seed in names}
        by_seed = known if set(frame["seed"]) <= set(known) else start
    try:
        curve = read_curve(frame, 1)
        means = dict(zip(curve.ratios, curve.measured.mean, strict=True))
        smallest = curve.ratios[0]
        reached = sign * (means[1.0] - (means[smallest] if start is None else start))
        chosen = margin if margin is not None else SHARE * abs(reached)
        verdict = judge_elbow(frame, margin=chosen, higher_is_better=higher_is_better, origin=by_seed)
    except ValueError as error:
        remedy = "; remove the copies, or correct the column of seeds" if "copies" in str(error) else ""
        raise TableError(f"{path}: {table.metric} cannot be judged: {error}{remedy}") from None
    intervals = [curve.measured.contrast(row).interval() for row in np.eye(len(curve.ratios))]
    counts = np.exp(curve.x) if curve.counted else [None] * len(curve.ratios)
    return JudgedCurve(
        metric=table.metric,
        verdict=verdict,
        points=tuple(
            Point(ratio, None if n is None else float(np.round(n, 6)), float(means[ratio]), interval)
            for ratio, n, interval in zip(curve.ratios, counts, intervals, strict=True)
        ),
        gain=verdict.gain or verdict.loss[smallest],
        origin=start,
        origin_from=words if start is not None else "the mean at the smallest size",
        margin_from=GIVEN if margin is not None else f"{100 * SHARE:g} % of the gain",
        higher_is_better=higher_is_better,
        percent=table.percent,
        notes=(
            *direction_note(table.metric, higher_is_better),
            *margin_note(margin, np.array([*frame["value"], *([] if start is None else [start])])),
            *table.notes,
        ),
    )


def _integers_where_possible(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with seeds as numbers if all are whole, and with items numbered: both sort faster."""
    seeds = frame["seed"]
    if seeds.str.fullmatch(r"(0|-?[1-9]\d{0,15})").all():
        seeds = seeds.astype(np.int64)
    items = {"item": pd.factorize(frame["item"])[0]} if "item" in frame else {}
    return frame.assign(seed=seeds, **items)
