"""Error rates of `embalign compare`, as text."""

from __future__ import annotations

import pandas as pd
from texts import markdown, rarely, rate

SHOWN = ("false difference", "false equivalence", "equivalence", "found at the margin")


def compare_tables(table: pd.DataFrame) -> str:
    """Return the calibration of comparisons as Markdown."""
    parts = [
        "# How often a comparison is right",
        f"Simulated comparisons of two systems, {int(table['runs'].max())} of each world. In brackets: 95 % "
        "Clopper-Pearson intervals. Met: not shown to be violated, the interval reaches the demand.",
        "```\npip install -c constraints.txt -e .\npython benchmark/calibration/compare.py\n```",
        "- False difference: without any, the second system is called better or worse; so often does the 95 % interval "
        "miss. Demand: at most 5 %.\n"
        "- False equivalence: the second system is better by exactly the margin and called equivalent. Demand: at most "
        "5 %.\n"
        "- Equivalence: no difference, and it is called so. Found at the margin: a difference of the margin is shown.\n"
        "- Worlds: differences of items that are normal, lognormal (the logarithm of standard deviation 1) to either "
        "side, or those of right and wrong answers, of which so many differ. The margin is three standard errors, of "
        "answers at most three quarters of what differs.",
    ]
    titles = {
        "items": ("One run each, over items", ["items"]),
        "groups": ("One run each, over groups of unequal size", ["groups", "items"]),
        "seeds and items": ("Several seeds, over seeds and items", ["seeds", "items"]),
    }
    for over, (title, columns) in titles.items():
        rows = table[table["over"] == over]
        lines = [
            {
                **{name: str(row[name]) for name in columns},
                "differences": row["noise"],
                **{name: rate(row, name) for name in SHOWN},
                "demand": rarely([row], "false difference", "false equivalence"),
            }
            for _, row in rows.iterrows()
        ]
        parts += [f"## {title}", markdown(pd.DataFrame(lines))]
    parts += [
        "## Where it does not hold",
        _failures(table),
        "Not measured: fewer than 50 items or 20 groups, items that are related without a group that says so, and "
        "systems that were chosen by the same items.",
    ]
    return "\n\n".join(parts) + "\n"


def _failures(table: pd.DataFrame) -> str:
    lines = []
    for _, row in table.iterrows():
        if rarely([row], "false difference", "false equivalence") == "met":
            continue
        groups = f", {row['groups']} groups" if row["groups"] else ""
        seeds = f", {row['seeds']} seeds" if row["seeds"] > 1 else ""
        worst = max(("false difference", "false equivalence"), key=lambda name: row[name])
        lines.append(f"- {row['noise']}, {row['items']} items{groups}{seeds}: {worst} {rate(row, worst)}")
    return "\n".join(lines) or "In no world above is a demand shown to be violated."
