"""The results of two systems side by side: the same seeds and items on both, or words for what is missing."""

from dataclasses import replace

import pandas as pd

from embalign.errors import TableError
from embalign.judging.columns import metric_name
from embalign.judging.runs import Run
from embalign.readers import quoted

SHOWN = 3
PER_CENT, ALMOST_PER_CENT = 100, 50
NOT_ALIKE = 20  # times: values of one file that are so much larger are in another unit, such as per cent


def pair_runs(control: Run, treatment: Run, group: str | None, *, only_common: bool) -> tuple[Run, Run, list[str]]:
    """Return both with the same seeds and items, the group on the treatment, and notes on what was left out.

    Raises TableError that names what only one of them has.
    """
    runs = control, treatment
    notes: list[str] = []
    frames = [run.frame for run in runs]
    _refuse_other_metric(control, treatment)
    if control.percent != treatment.percent:
        one, other = (run.name for run in (runs if control.percent else runs[::-1]))
        raise TableError(f"the values of {one} have per cent signs and those of {other} have none; write both alike")
    for name in ("seed", "item"):
        having = [name in frame for frame in frames]
        if all(having) or not any(having):
            continue
        index = having.index(True)
        if name == "seed" and frames[index]["seed"].nunique() == 1 and "item" in frames[1 - index]:
            frames[index] = frames[index].drop(columns="seed")
            continue
        raise TableError(
            f"{runs[index].name} has {name}s and {runs[1 - index].name} has none; both need a column {name}"
        )
    single = [frame["seed"].iloc[0] for frame in frames if "seed" in frame and frame["seed"].nunique() == 1]
    if len(single) == 2 and "item" in frames[0]:
        frames = [frame.drop(columns="seed") for frame in frames]
        if single[0] != single[1]:
            notes.append(f"one run each: {single[0]} of {control.name}, {single[1]} of {treatment.name}")
    if group is not None:
        frames[1] = frames[1].assign(group=_groups(frames, runs, group))
        frames[0] = frames[0].drop(columns="group", errors="ignore")
    for name in ("seed", "item"):
        if name in frames[0]:
            frames, note = _common(frames, runs, name, only_common=only_common)
            notes += note
    if {"seed", "item"} <= set(frames[0]):
        frames, note = _crossed(frames, runs, only_common=only_common)
        notes += note
    notes += _suspicions(frames, runs)
    return replace(control, frame=frames[0]), replace(treatment, frame=frames[1]), notes


def _common(
    frames: list[pd.DataFrame], runs: tuple[Run, Run], name: str, *, only_common: bool
) -> tuple[list[pd.DataFrame], list[str]]:
    """Both with the names they share."""
    sets = [pd.Index(frame[name].unique()) for frame in frames]
    alone = [one.difference(other, sort=False) for one, other in (sets, sets[::-1])]
    if not any(map(len, alone)):
        return frames, []
    words = ", ".join(
        f"only in {run.name}: {len(only)} of {len(there)} {name}s ({_shown(only)})"
        for only, there, run in zip(alone, sets, runs, strict=True)
        if len(only)
    )
    common = sets[0].intersection(sets[1])
    if not len(common):
        remedy = f"write the {name}s alike, or name the column with --columns {name}=NAME"
        if name == "seed":
            remedy = "number independent repetitions alike in both files"
        raise TableError(f"{runs[0].name} and {runs[1].name} share no {name}: {words}; {remedy}")
    if not only_common:
        raise TableError(
            f"{words}; bring both to the same {name}s, or compare the {len(common)} in both with --only-common (which "
            "flatters a system whose failures are missing)"
        )
    return [frame[frame[name].isin(common)].reset_index(drop=True) for frame in frames], [
        f"{words}: left out, {len(common)} are compared"
    ]


def _crossed(
    frames: list[pd.DataFrame], runs: tuple[Run, Run], *, only_common: bool
) -> tuple[list[pd.DataFrame], list[str]]:
    """Both with a value for each seed and item."""
    lacking: set[str] = set()
    where = ""
    for frame, run in zip(frames, runs, strict=True):
        counts = frame.groupby("item")["seed"].nunique()
        short = counts.index[counts < frame["seed"].nunique()]
        if len(short) and not where:
            there = set(frame.loc[frame["item"] == short[0], "seed"])
            seed = next(name for name in frame["seed"].unique() if name not in there)
            where = f"{run.name} has no value of item {short[0]} with seed {seed}"
        lacking |= set(short)
    if not lacking:
        return frames, []
    total = frames[0]["item"].nunique()
    words = f"items that lack a seed: {len(lacking)} of {total} ({where})"
    if not only_common or len(lacking) == total:
        remedy = "measure it, or leave these items out with --only-common"
        if len(lacking) == total:
            remedy = "every seed needs every item; if the column numbers rows, name another with --columns item=NAME"
        raise TableError(f"{words}; {remedy}")
    kept = [frame[~frame["item"].isin(lacking)].reset_index(drop=True) for frame in frames]
    return kept, [f"{words}; these items are left out"]


def _groups(frames: list[pd.DataFrame], runs: tuple[Run, Run], group: str) -> pd.Series:
    """The group of each row of the treatment, by item, from whichever file has it."""
    known = [frame for frame in frames if "group" in frame]
    if not known:
        raise TableError(f"no column {group!r} in {runs[0].name} or {runs[1].name} (--group {group}); add it to one")
    if "item" not in frames[1]:
        raise TableError(f"--group {group} needs items, and there are values by seed alone; add a column item")
    of_item = pd.concat([frame[["item", "group"]] for frame in known]).drop_duplicates()
    if (twice := of_item.duplicated("item")).any():
        item = of_item.loc[twice, "item"].iloc[0]
        both = ", ".join(of_item.loc[of_item["item"] == item, "group"][:SHOWN])
        raise TableError(f"item {item} is in several groups ({both}); an item has one {group}")
    found = frames[1]["item"].map(of_item.set_index("item")["group"])
    if found.isna().any():
        item = frames[1].loc[found.isna(), "item"].iloc[0]
        raise TableError(f"item {item} of {runs[1].name} has no {group}; add it, or leave --group out")
    return found


def _refuse_other_metric(control: Run, treatment: Run) -> None:
    """Refuse two metrics: both named in a column of metrics, or by columns whose names are known for metrics."""
    names = [metric_name(run.metric, known="metric" not in run.roles.columns) for run in (control, treatment)]
    if names[0] and names[1] and names[0] != names[1]:
        both = f"{control.name} has {quoted(control.metric)} and {treatment.name} has {quoted(treatment.metric)}"
        raise TableError(f"{both}; compare one metric, named alike in both (--metric NAME chooses it)")


def _suspicions(frames: list[pd.DataFrame], runs: tuple[Run, Run]) -> list[str]:
    largest = [float(frame["value"].abs().max()) for frame in frames]
    low, high = min(largest), max(largest)
    least = min(float(frame["value"].min()) for frame in frames)
    means = sorted(float(frame["value"].mean()) for frame in frames)
    if not runs[0].percent and least >= 0 and low <= 1 < high <= PER_CENT and means[1] > ALMOST_PER_CENT * means[0]:
        one, other = (run.name for run in (runs if largest[0] < largest[1] else runs[::-1]))
        raise TableError(
            f"values go up to {low:.4g} in {one} and to {high:.4g} in {other}: if one is in per cent, write both "
            "alike, or if both are, with per cent signs"
        )
    if low > 0 and high > NOT_ALIKE * low:
        words = " and ".join(f"{value:.4g} in {run.name}" for value, run in zip(largest, runs, strict=True))
        return [f"the largest values are {words}: check that both are in the same unit"]
    return []


def _shown(names: pd.Index) -> str:
    return ", ".join(str(name) for name in names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
