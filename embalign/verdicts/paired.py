"""Is one of two systems better, by their values on the same items, with the same seeds, or both?

What the answer is about is what the interval covers:

- values by seed: Student's t over seeds, as in :mod:`embalign.verdicts.ab`;
- values by item of one run each: over items, and skewed differences are allowed for (:mod:`embalign.verdicts.skewed`);
- values by seed and item: both are crossed random effects (:mod:`embalign.verdicts.replicates`);
- items in groups, such as topics: whole groups vary, not items. The mean stays that over all items, and its variance is
  that of the groups' totals (Cochran, *Sampling Techniques*, 1977, section 6.4).

`python benchmark/calibration/compare.py` prints how often it is wrong where the truth is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.counts import EXTREME
from embalign.verdicts.ab import ABKind, Direction, kind_of
from embalign.verdicts.frames import check_flag, check_level, checked
from embalign.verdicts.replicates import from_array
from embalign.verdicts.skewed import skewed_t
from embalign.verdicts.statistics import StudentT, student_t

Over = Literal["seeds", "items", "groups", "seeds and items", "seeds and groups"]
FEWEST = 8  # items, or groups by their effective number: with fewer no interval covers others


@dataclass(frozen=True)
class PairedVerdict:
    """The judgement of a paired difference, treatment minus control, as a mean over all items (and seeds).

    `over` is what varies in the interval: it covers others of these and nothing else. `items` and `groups` are 0
    without them; `effective_groups` is (sum n)^2 / sum n^2 of their sizes. `direction` is that of a difference which is
    shown, also where it is equivalent. `equivalence_p_value` is None without a margin, and `minimum_detectable_effect`
    the smallest difference that is found with power 0.8.
    """

    kind: ABKind
    direction: Direction | None
    difference: float
    interval: tuple[float, float]
    p_value: float
    equivalence_p_value: float | None
    minimum_detectable_effect: float
    margin: float | None
    over: Over
    seeds: int
    items: int
    groups: int
    effective_groups: float


def judge_paired(
    treatment: pd.DataFrame,
    control: pd.DataFrame,
    *,
    margin: float | None = None,
    alpha: float = 0.05,
    higher_is_better: bool = True,
) -> PairedVerdict:
    """Return the verdict on two frames with columns value and seed or item or both, and optionally group of an item.

    Rows are paired by seed and item and may come in any order; a column seed with one seed on each side is left out.
    The kinds are those of :func:`embalign.verdicts.ab.judge_ab`; `equivalent` needs a margin above 0. Raises ValueError
    for rows that do not pair one to one, values that are not finite, differences that are all the same, fewer than two
    seeds, and fewer than eight items or groups (by their effective number).

    >>> scores = np.random.default_rng(0).uniform(size=(2, 200))
    >>> control = pd.DataFrame({"item": range(200), "value": scores[0]})
    >>> found = judge_paired(control.assign(value=scores[0] + 0.1 * scores[1]), control)
    >>> found.kind, round(found.difference, 2), found.over
    ('better', 0.05, 'items')
    """
    if margin is not None:
        check_level(margin, "margin", 0, EXTREME, open_below=True)
    check_level(alpha, "alpha", 0, 0.5, open_below=True)
    check_flag(higher_is_better, "higher_is_better")
    treatment, control = (
        checked(frame, name, ("value",), ("seed", "item", "group"))
        for name, frame in (("treatment", treatment), ("control", control))
    )
    keys = _keys(treatment, control)
    differences = _differences(treatment, control, keys)
    unit = "group" if "group" in differences and "item" in keys else "item"
    items = differences["item"].nunique() if "item" in keys else 0
    sizes = np.ones(0)
    if unit == "group":
        sizes = differences.groupby("group")["item"].nunique().to_numpy(dtype=np.float64)
    effective = float(sizes.sum() ** 2 / np.square(sizes).sum()) if len(sizes) else 0.0
    if "item" in keys:
        refuse_few(effective if unit == "group" else items, unit)
    of_key: dict[str, str] = {"seed": "seeds", "item": f"{unit}s"}
    found = _statistics(differences, keys, unit)
    shown = found.p_two_sided() <= alpha
    return PairedVerdict(
        kind=kind_of(found, margin, alpha=alpha, higher_is_better=higher_is_better),
        direction=("better" if (found.mean > 0) == higher_is_better else "worse") if shown else None,
        difference=found.mean,
        interval=found.interval(1 - alpha),
        p_value=found.p_two_sided(),
        equivalence_p_value=None if margin is None else found.p_within(margin),
        minimum_detectable_effect=max(margin or 0.0, found.minimum_detectable_effect(alpha / 2)),
        margin=margin,
        over=cast(Over, " and ".join(of_key[key] for key in keys)),
        seeds=differences["seed"].nunique() if "seed" in keys else 1,
        items=items,
        groups=len(sizes),
        effective_groups=effective,
    )


def _keys(treatment: pd.DataFrame, control: pd.DataFrame) -> list[str]:
    keys = [name for name in ("seed", "item") if name in treatment and name in control]
    if keys == ["seed", "item"] and treatment["seed"].nunique() == control["seed"].nunique() == 1:
        keys = ["item"]
    if not keys:
        raise ValueError("nothing to pair by: both sides need a column seed, or item, or both")
    return keys


def pair_values(
    first: pd.DataFrame, second: pd.DataFrame, keys: Sequence[str], names: tuple[str, str] = ("treatment", "control")
) -> pd.DataFrame:
    """Return one row a pair: its keys, the group of the first where it has one, `value` and `value_of_control`.

    Raises ValueError, with these names for the two, for rows that do not pair one to one by the keys, values that are
    not finite, and items without one group.
    """
    for name, frame in zip(names, (first, second), strict=True):
        if (twice := frame.duplicated(list(keys))).any():
            row = frame.loc[twice, list(keys)].iloc[0]
            raise ValueError(f"the {name} has two values for {_named(row)}")
        if not np.isfinite(frame["value"].to_numpy(dtype=np.float64)).all():
            raise ValueError(f"the {name} has a value that is not finite")
    for key in keys:
        types = [{isinstance(each, str) for each in frame[key]} for frame in (first, second)]
        if types[0].isdisjoint(types[1]):
            raise ValueError(f"{key}s are text on one side and numbers on the other; write them alike")
    kept = [*keys, *(["group"] if "group" in first else [])]
    both = first[[*kept, "value"]].merge(second[[*keys, "value"]], on=list(keys), suffixes=("", "_of_control"))
    if not len(first) == len(second) == len(both):
        raise ValueError(
            f"rows must pair one to one by {' and '.join(keys)}: {names[0]} has {len(first)}, {names[1]} "
            f"{len(second)}, and {len(both)} pair"
        )
    if "group" in both and (both["group"].isna().any() or (both.groupby("item")["group"].nunique() > 1).any()):
        raise ValueError("every item needs one group")
    return both


def _differences(treatment: pd.DataFrame, control: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The difference of each pair, with its keys and, where the treatment has it, its group."""
    both = pair_values(treatment, control, keys)
    kept = [*keys, *(["group"] if "group" in both else [])]
    found = both[kept].assign(value=both["value"].to_numpy(np.float64) - both["value_of_control"].to_numpy(np.float64))
    if len(found) < 2:
        raise ValueError("one pair of values says nothing of how differences vary")
    size = max(np.abs(both["value"]).max(), np.abs(both["value_of_control"]).max(), np.finfo(np.float64).tiny)
    if np.ptp(found["value"]) <= 64 * np.finfo(np.float64).eps * size:
        raise ValueError(
            f"all {len(found)} differences are {found['value'].iloc[0]:+.4g}: that says nothing of how they vary"
        )
    return found.sort_values("value", ignore_index=True)  # rounding then depends on no order of rows


def refuse_few(count: float, unit: str) -> None:
    """Raise ValueError for fewer than eight items or groups, `unit` of them by their effective number."""
    if count < FEWEST:
        effective = " (effective number: few large ones count for less)" if unit == "group" else ""
        raise ValueError(f"{count:.3g} {unit}s{effective}: with fewer than {FEWEST} no interval covers other {unit}s")


def _statistics(differences: pd.DataFrame, keys: Sequence[str], unit: str) -> StudentT:
    """The mean difference with its error over what varies."""
    if "item" not in keys:
        return student_t(differences["value"].to_numpy())
    if "seed" not in keys:
        values = differences["value"].to_numpy()
        return skewed_t(values if unit == "item" else _of_groups(differences))
    wide = differences.pivot(index="seed", columns="item", values="value")
    if wide.isna().any(axis=None):
        seed, item = wide.stack(future_stack=True).isna().idxmax()
        raise ValueError(f"item {item} has no value with seed {seed}: every seed needs every item")
    values = wide.to_numpy()
    if unit == "group":
        group = differences.drop_duplicates("item").set_index("item")["group"].reindex(wide.columns)
        values = np.array([_of_groups(pd.DataFrame({"group": group.to_numpy(), "value": row})) for row in values])
    return from_array(values[None], ["difference"]).contrast([1.0])


def _of_groups(differences: pd.DataFrame) -> NDArray[np.float64]:
    """One value a group, whose mean is that over all items and which vary as the groups' totals do."""
    totals = differences.groupby("group")["value"].agg(["sum", "count"])
    mean = differences["value"].mean()
    residuals = totals["sum"] - mean * totals["count"]
    return np.asarray(mean + residuals * len(totals) / len(differences), dtype=np.float64)


def _named(row: pd.Series) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())
