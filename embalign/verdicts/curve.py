"""The curve that a verdict is on: values by ratio, seed (and item), and where each ratio lies over log n."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embalign.alignment.arguments import described
from embalign.verdicts.frames import checked, is_number, refuse_extremes
from embalign.verdicts.replicates import ROUNDING, Array, Replicates, replicates
from embalign.verdicts.statistics import StudentT

FARTHEST = 1e30  # times, by which sizes may differ


@dataclass(frozen=True)
class Curve:
    """Replicates of a curve, higher is better, by ascending ratio, the last of which is 1.

    `x` (R,) is the logarithm of the number of training items at each ratio if that is known (`counted`), else of the
    ratio itself.
    """

    measured: Replicates
    ratios: tuple[float, ...]
    x: Array
    counted: bool

    def ratio_at(self, position: float) -> float:
        """Return the ratio at a position of `x`: a measured one exactly, others along log n."""
        if len(at := np.flatnonzero(np.abs(self.x - position) < 1e-9)):
            return float(self.ratios[at[0]])
        return float(np.exp(np.interp(position, self.x, np.log(self.ratios))))

    def losses(self) -> dict[float, StudentT]:
        """Return the paired difference value(1) - value(ratio) of each ratio below 1."""
        return {ratio: self.measured.contrast(self.measured.difference(1.0, ratio)) for ratio in self.ratios[:-1]}


def read_curve(frame: pd.DataFrame, sign: int) -> Curve:
    """Return the curve of a frame with columns ratio, seed and value, and optionally n_train and item.

    Values are multiplied by `sign`. Raises ValueError for what cannot be judged, and names it.
    """
    measured = replicates(frame.assign(value=sign * frame["value"]), "ratio")
    ratios = tuple(float(ratio) for ratio in measured.settings)
    sizes = _log_size(frame, ratios)
    _refuse_copies(frame)
    return Curve(measured, ratios, sizes, "n_train" in frame.columns)


def gain_over(curve: pd.DataFrame, origin: float | Mapping[Any, float] | pd.DataFrame, sign: int) -> StudentT:
    """Return value at ratio 1 minus the origin, paired by seed (and item). Raises ValueError where they do not pair."""
    whole = curve.loc[curve["ratio"] == 1, [name for name in ("seed", "item", "value") if name in curve.columns]]
    if isinstance(origin, pd.DataFrame):
        origin = checked(origin, "origin", ("seed", "value"), ("item",))
        keys = [name for name in ("seed", "item") if name in origin.columns and name in whole.columns]
        if len(repeated := origin[origin.duplicated(keys)]):
            raise ValueError(f"the origin has more than one value for seed {repeated['seed'].iloc[0]}")
        start = whole.drop(columns="value").merge(origin[[*keys, "value"]], on=keys, how="left")
    else:
        if isinstance(origin, pd.Series):
            origin = dict(origin.items())
        given = origin.values() if isinstance(origin, Mapping) else [origin]
        if not all(map(is_number, given)):
            remedy = "give a number, one per seed, or a frame with columns seed and value"
            raise TypeError(f"origin must hold numbers, found {described(origin)}; {remedy}")
        values = whole["seed"].map(dict(origin)) if isinstance(origin, Mapping) else origin
        start = whole.assign(value=values)
    if not np.isfinite(start["value"].to_numpy(dtype=np.float64)).all():
        seed = start.loc[~np.isfinite(start["value"].astype(float)), "seed"].iloc[0]
        raise ValueError(f"the origin has no finite value for seed {seed}")
    beside = pd.concat([whole.assign(ratio=1.0), start.assign(ratio=0.0)], ignore_index=True)
    refuse_extremes(beside["value"], "curve and its origin")
    pair = replicates(beside.assign(value=sign * beside["value"]), "ratio")
    return pair.contrast(pair.difference(1.0, 0.0))


def _log_size(curve: pd.DataFrame, ratios: Sequence[float]) -> Array:
    """Log of the sample count at each ratio, or of the ratio itself; raises ValueError where they disagree."""
    if ratios[-1] != 1 or ratios[0] <= 0 or len(ratios) < 2:
        hint = "" if ratios[-1] <= 1 else f"; divide by the largest, {ratios[-1]:g}, and give counts as n_train"
        raise ValueError(f"at least two ratios in (0, 1] are needed, 1 among them, found {list(ratios)}{hint}")
    if "n_train" not in curve.columns:
        _refuse_far(ratios)
        return np.log(ratios)
    counts = curve.groupby("ratio")["n_train"].agg(["min", "max"])
    differing = counts.index[counts["min"] != counts["max"]]
    if len(differing):
        raise ValueError(f"n_train differs between the rows of ratio {differing[0]:g}")
    sizes = counts["min"].to_numpy(dtype=np.float64)
    if sizes[0] <= 0 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"n_train must rise with the ratio, found {sizes.tolist()} for {list(ratios)}")
    _refuse_far(sizes.tolist())
    return np.asarray(np.log(sizes))


def _refuse_far(sizes: Sequence[float]) -> None:
    """Raise ValueError for sizes whose powers, as a law of them has it, leave the range of floats."""
    if sizes[-1] > FARTHEST * sizes[0]:
        raise ValueError(f"sizes go from {sizes[0]:g} to {sizes[-1]:g}, too far apart for one curve; correct them")


def _refuse_copies(curve: pd.DataFrame) -> None:
    """Raise ValueError for two seeds whose curves are the same but for a constant."""
    keys = ["ratio", *(["item"] if "item" in curve.columns else [])]
    wide = curve.pivot(index=keys, columns="seed", values="value")
    values = wide.to_numpy(dtype=np.float64)
    centred = values - values.mean(axis=0)
    rounding = ROUNDING * np.abs(values).max()
    for one in range(len(wide.columns)):
        same = np.abs(centred[:, one + 1 :] - centred[:, [one]]).max(axis=0, initial=0.0) <= rounding
        if same.any():
            names = wide.columns[one], wide.columns[one + 1 + int(same.argmax())]
            raise ValueError(
                f"seeds {names[0]} and {names[1]} have the same curve but for a constant: copies of one run say "
                "nothing of how it varies"
            )
