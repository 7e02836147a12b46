"""How often a bake-off of maps errs, as text."""

from __future__ import annotations

import pandas as pd
from texts import markdown, rate

WRONG, RIGHT, FEW = "wrong one alone", "right one in the set", "at most two"
ALONE, EVERY, AHEAD = "one alone", "every right one in the set", "deshrunk in the set, ridge not"
EQUAL, ONCE, TWICE = "all equal", "one best, by the detectable effect", "one best, by twice that"
SINGLE, THREE = "one best, by twice what a single test detects", "three best, by twice the detectable effect"
AT_MOST, AT_LEAST = {WRONG: 0.05, ALONE: 0.05}, {RIGHT: 0.90, EVERY: 0.95, FEW: 0.80}
OF_VALUES = {EQUAL: (ALONE, EVERY), ONCE: (WRONG, RIGHT), TWICE: (WRONG, RIGHT, FEW), SINGLE: (), THREE: (WRONG, RIGHT)}


def maps_tables(table: pd.DataFrame) -> str:
    """Return the calibration of bake-offs as Markdown; its first line is the answer."""
    families, values = (table[table["kind"] == kind] for kind in ("families", "values"))
    equal = values[values["situation"] == EQUAL]
    judged = pd.concat([families, values[values["situation"] != EQUAL]])
    parts = [
        f"# A wrong family is named alone in {_percent(judged[WRONG].max())} of bake-offs at most, a right one is in "
        f"the set in {_percent(judged[RIGHT].min())} at least, and of equal ones one is named alone in "
        f"{_percent(equal[ALONE].max())} at most",
        f"Every run draws its world again: {int(families['runs'].max())} bake-offs of families on vectors, "
        f"{int(values['runs'].max())} of systems whose values are drawn. In brackets: 95 % Clopper-Pearson intervals. "
        "Met: not shown to be violated, the interval reaches the demand.",
        "```\npip install -c constraints.txt -e .\npython benchmark/calibration/maps.py\n```",
        "- Wrong one alone: the set holds one system, and it is none of the best. Demand: at most 5 %. Where all are "
        "equal, naming one alone is wrong too.\n"
        "- Right one in the set: one of the best is in it. Demand: at least 90 %. All of the best are in it at once in "
        "at least 95 %: asked for where all are equal.\n"
        "- At most two: the set holds one or two systems. Demand, where all but two are below the best by twice the "
        "detectable effect: at least 80 %.\n"
        "- Detectable effect: what a one-sided test of one system against each of the others, with Bonferroni's "
        "correction for them, finds with power 0.8.",
        "## Families of maps on vectors",
        "Groups of vectors in 24 dimensions, seven families with a closed form, each with its six tries chosen inside "
        "the training items, three seeds of training subsets, 30 held-out groups of unequal size (of four rotations "
        "90). Right in a draw is the family with the highest mean nDCG@10 over all other draws of the world, and those "
        "less than two standard errors of the difference below it. Trained families take twenty times as long and are "
        "left out.",
        markdown(_of_families(families)),
        _of_shrinkage(families),
        "## Systems that are equal",
        "Values by system, seed and group with known means. Related systems, three and three, have effects of a group "
        "that are correlated by 0.8, others by 0.4. Seeds vary: the variance that the choice of one seed adds to a "
        "mean, in that of the groups; of `seeds of three systems`, these have 9. Groups are alike or of unequal "
        "weight, up to eight to one; their effects are normal or lognormal (the logarithm of standard deviation 1) to "
        "either side; or a group is wholly right or wrong.",
        markdown(_lines(values, {EQUAL: (ALONE, EVERY)})),
        "## One best system",
        "`single`: better by twice what a single test detects, without a correction for the number of others. Nothing "
        "is demanded there.",
        markdown(_lines(values, {ONCE: (RIGHT, "mean size"), TWICE: (RIGHT, FEW), SINGLE: (FEW,)})),
        "## Three best systems",
        markdown(_lines(values, {THREE: (WRONG, RIGHT, EVERY, "mean size")})),
        "## Where it does not hold",
        _failures(table),
        "Not measured: fewer than three seeds, and fewer than 20 groups.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _of_families(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "world": row["world"],
                "deployment": row["situation"].replace("_", " "),
                "right": row["right"],
                "mean nDCG@10": row["means"],
                **{name: rate(row, name) for name in (WRONG, RIGHT)},
                "mean size": f"{row['mean size']:.1f}",
                "all but two far below": "yes" if _distinct(row) else "no",
                FEW: rate(row, FEW),
                "demand": ", ".join(_missed(row)) or "met",
            }
            for _, row in table.iterrows()
        ]
    )


def _of_shrinkage(table: pd.DataFrame) -> str:
    rows = table[table["world"] == "shrinkage"]
    shown = {row["situation"]: rate(row, AHEAD) for _, row in rows.iterrows()}
    return (
        "In the world of shrinkage, `deshrunk` is in the set and `ridge` is not in "
        f"{shown['query_adapter']} as query adapter and in {shown['index_migration']} as index migration."
    )


def _lines(table: pd.DataFrame, shown: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """One line a world, with some columns of some situations, and whether these situations' demands are met."""
    keys = ["systems", "seeds", "groups", "of seeds", "world"]
    short = {ONCE: "once", TWICE: "twice", SINGLE: "single"}
    lines = []
    for world, rows in table.groupby(keys, sort=False):
        there = {row["situation"]: row for _, row in rows.iterrows()}
        if not any(situation in there for situation in shown):
            continue
        line = dict(zip(("systems", "seeds", "groups", "seeds vary", "values"), world, strict=True))
        line |= {name: f"{int(line[name])}" for name in ("systems", "seeds", "groups")}
        line["seeds vary"] = f"{line['seeds vary']:g}"
        for situation, names in shown.items():
            prefix = f"{short[situation]}: " if situation in short else ""
            for name in names:
                row = there.get(situation)
                line[f"{prefix}{name}"] = _cell(row, name)
        missed = [name for situation in shown if situation in there for name in _missed(there[situation])]
        lines.append({**line, "demand": ", ".join(dict.fromkeys(missed)) or "met"})
    return pd.DataFrame(lines)


def _cell(row: pd.Series | None, name: str) -> str:
    if row is None:
        return ""
    return f"{row[name]:.1f}" if name == "mean size" else rate(row, name)


def _missed(row: pd.Series) -> list[str]:
    """What is demanded of a line and shown to be violated."""
    if row["kind"] == "families":
        names = (WRONG, RIGHT, *((FEW,) if _distinct(row) else ()))
    else:
        names = OF_VALUES[row["situation"]]
    too_often = [name for name in names if name in AT_MOST and row[f"{name} low"] > AT_MOST[name]]
    too_rare = [name for name in names if name in AT_LEAST and row[f"{name} high"] < AT_LEAST[name]]
    return [f"not met: {name}" for name in too_often + too_rare]


def _distinct(row: pd.Series) -> bool:
    """Whether all but two families are below the best by twice the detectable effect."""
    return str(row["distinct"]) == "True"


def _failures(table: pd.DataFrame) -> str:
    lines = []
    for _, row in table.iterrows():
        for missed in _missed(row):
            name = missed.removeprefix("not met: ")
            sizes = f"{int(row['systems'])} systems, {int(row['seeds'])} seeds, {int(row['groups'])} groups"
            lines.append(f"- {row['world']}, {row['situation'].replace('_', ' ')}, {sizes}: {name} {rate(row, name)}")
    return "\n".join(lines) or "In no world above is a demand shown to be violated."


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"
