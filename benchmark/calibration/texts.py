"""The calibration of the elbow and A/B verdicts as text and figure: demands, what was measured, and peers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from worlds import (
    ALMOST,
    AT_MARGIN,
    DECLINE,
    EARLY,
    LATE,
    MARGIN,
    POWER_LAWS,
    SHAPES,
    STRAIGHT_WORLDS,
    World,
    scaled_log,
)

from embalign.experiments.style import BLUE, GREEN, GREY, ORANGE, figure_style, save

NO_ELBOW = tuple(world.name for world in STRAIGHT_WORLDS)
NOT_FOUND_HERE = {("quick", "broken stick at 5 %"), ("quick", "broken stick at 50 %")}


def markdown(frame: pd.DataFrame) -> str:
    """Return a Markdown table of a frame of strings."""
    align = ["left" if i == 0 else "right" for i in range(len(frame.columns))]
    return str(frame.to_markdown(index=False, colalign=align, disable_numparse=True))


def publish(table: pd.DataFrame, text: str, folder: Path, name: str) -> None:
    """Write a table as CSV and its text as Markdown into `folder`, and print the text."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


def share(name: str, count: int, runs: int) -> dict[str, float]:
    """Return the share of runs in which something happened, with its 95 % Clopper-Pearson interval, as columns."""
    from scipy.stats import binomtest

    interval = binomtest(count, runs).proportion_ci(0.95)
    return {name: count / runs, f"{name} low": interval.low, f"{name} high": interval.high}


def elbow_tables(table: pd.DataFrame) -> str:
    """Return the calibration as Markdown: one section a demand."""
    runs = int(table["runs"].max())
    noise = "Noise is 2.5 % of the whole gain a ratio and seed, where a world does not say otherwise."
    parts = [
        "# How often the elbow verdict is right",
        f"Simulated curves of known truth, {runs} a world ({int(table['runs'].min())} for piecewise-regression). "
        f"Quick: six ratios, five seeds; full: ten ratios, ten seeds. {noise} In brackets: 95 % Clopper-Pearson "
        "intervals. Met: not shown to be violated, the interval reaches the demand.",
        "```\npip install -c constraints.txt --group calibration -e .\npython benchmark/calibration/elbow.py\n```",
        "![How often each method reports an elbow](elbow.png)",
        "## No elbow there: how often is one reported?",
        "Demand: at most 5 %, each.",
        markdown(_false_elbows(table)),
        "## An elbow there: is it found, and covered?",
        "Demand: found in at least 90 %, covered by its interval in 93 to 97 %. An elbow at 5 or 50 % of the six "
        "ratios has only one ratio on one side: the demand there is not to guess.",
        markdown(_found_elbows(table)),
        "## A loss exactly at the margin: how often is less data recommended?",
        "Demand: at most 5 %. With items, the margin is that of all items there could be, and a run sees 60 of them.",
        markdown(_at_margin(table)),
        "## Declining",
        "A curve that falls by a tenth of its gain after 20 % of the data, and two that do not. The verdict tests "
        "every ratio on all seeds with Holm's correction; the peer chooses the best ratio on half of the seeds and "
        "tests it on the other half. Demand: at most 5 % false.",
        markdown(_declining(table)),
        "## Smooth laws of diminishing returns",
        "A power law c - a n^-b has no corner: demand for `elbow` at most 5 %, and for the exponents on four grids see "
        "[amounts.md](amounts.md). A sigmoid is convex at first; where it is steep and the grid coarse it cannot be "
        "told from a corner. `last doubling` is what it is called: `rising` where it brings nothing, and `saturated` "
        "where it brings more than the margin, are wrong. Demand: at most 5 %, each.",
        markdown(_smooth(table)),
        "## Slopes that nearly halve",
        "An elbow is a corner after which a doubling brings at most half. Demand: called one in at most 5 %, each.",
        markdown(_almost(table)),
        "## What is not covered",
        "Worlds are simulated with the noise named; real curves may have other noise. Where seeds are few and noise "
        "has heavy tails, Student's t errs on the careful side. The Monte Carlo null of sup-t assumes noise of one "
        "size for how its knots correlate; the rows above with unequal and correlated noise show what that costs.",
    ]
    return "\n\n".join(parts) + "\n"


def _false_elbows(table: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for world in NO_ELBOW:
        line = {"world": world}
        for profile in ("quick", "full"):
            own = _one(table, "embalign", world, profile)
            line |= {
                f"embalign, {profile}": rate(own, "elbow"),
                f"line rejected, {profile}": rate(own, "line rejected"),
            }
        kneed = _one(table, "kneed", world, "full")
        line |= {"kneed, ratio": rate(kneed, "linear"), "kneed, log ratio": rate(kneed, "log")}
        line["piecewise-regression"] = rate(_one(table, "piecewise-regression", world, "full"), "elbow")
        line["demand"] = rarely([_one(table, "embalign", world, p) for p in ("quick", "full")], "elbow")
        lines.append(line)
    return pd.DataFrame(lines)


def _found_elbows(table: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for profile in ("quick", "full", "ten ratios, three seeds"):
        rows = table[(table["method"] == "embalign") & (table["profile"] == profile)]
        for _, row in rows[rows["world"].str.startswith("broken stick")].iterrows():
            line = {"profile": profile, "world": row["world"], "found": rate(row, "elbow")}
            hidden = (profile, row["world"]) in NOT_FOUND_HERE
            line["covered"] = "" if hidden else rate(row, "covered")
            line["median width (decades)"] = "" if hidden else f"{row['median width']:.3f}"
            peer = _one(table, "piecewise-regression", row["world"], profile)
            line["piecewise-regression found, covered"] = (
                "" if peer is None else f"{peer['elbow']:.3f}, {peer['covered']:.3f}"
            )
            if hidden:
                line["demand"] = rarely([row], "elbow")
            else:
                failed = [
                    *(["found"] if row["elbow"] < 0.90 else []),
                    *(["covered"] if not 0.93 <= row["covered"] <= 0.97 else []),
                ]
                line["demand"] = f"not met: {', '.join(failed)}" if failed else "met"
            lines.append(line)
    return pd.DataFrame(lines)


def _at_margin(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["world"] == AT_MARGIN.name]
    return pd.DataFrame(
        [
            {
                "ratios": str(row["ratios"]),
                "seeds": str(row["seeds"]),
                "items": "60" if row["method"] == "embalign, items" else "none",
                "less recommended": rate(row, "recommends less"),
                "demand": rarely([row], "recommends less"),
            }
            for _, row in rows.iterrows()
        ]
    )


def _declining(table: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for profile in ("quick", "full"):
        for _, peer in table[(table["method"] == "split halves") & (table["profile"] == profile)].iterrows():
            world = peer["world"]
            own = _one(table, "embalign", world, profile)
            line = {"profile": profile, "world": world, "declining": rate(own, "declining")}
            line["by split halves"] = rate(peer, "declining")
            line["demand"] = "power" if world == DECLINE.name else rarely([own], "declining")
            lines.append(line)
    return pd.DataFrame(lines)


def _smooth(table: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for profile in ("quick", "full"):
        for world in (*POWER_LAWS, *SHAPES):
            row = _one(table, "embalign", world.name, profile)
            if row is None:
                continue
            line = {"profile": profile, "world": world.name, "elbow": rate(row, "elbow")}
            kinds = {kind: row[kind] for kind in ("saturated", "diminishing", "rising", "declining", "flat")}
            line["other kinds"] = ", ".join(f"{kind} {share:.2f}" for kind, share in kinds.items() if share >= 0.005)
            line["last doubling rising"] = rate(row, "last rising")
            line["saturated"] = rate(row, "last saturated")
            wrong = _wrong_doubling(world)
            failed = [name for name in ("elbow",) if world in (*POWER_LAWS, EARLY, LATE) and row[f"{name} low"] > 0.05]
            failed += [f"last {wrong}"] if wrong and row[f"last {wrong} low"] > 0.05 else []
            line["demand"] = f"not met: {', '.join(failed)}" if failed else "met"
            lines.append(line)
    return pd.DataFrame(lines)


def _wrong_doubling(world: World) -> str | None:
    """What the last doubling must not be called, by what it brings in truth."""
    brought = float(np.diff(world.curve(scaled_log((0.5, 1.0))))[0])
    return "rising" if brought <= 0 else "saturated" if brought > MARGIN else None


def _almost(table: pd.DataFrame) -> pd.DataFrame:
    rows = {
        world.name: [_one(table, "embalign", world.name, profile) for profile in ("quick", "full")] for world in ALMOST
    }
    return pd.DataFrame(
        [
            {
                "world": world,
                "elbow, quick": rate(quick, "elbow"),
                "elbow, full": rate(full, "elbow"),
                "demand": rarely([quick, full], "elbow"),
            }
            for world, (quick, full) in rows.items()
        ]
    )


def _one(table: pd.DataFrame, method: str, world: str, profile: str) -> pd.Series | None:
    rows = table[(table["method"] == method) & (table["world"] == world) & (table["profile"] == profile)]
    return None if rows.empty else rows.iloc[0]


def rate(row: pd.Series | None, name: str) -> str:
    """Return a share with its interval, or nothing where it was not measured."""
    if row is None or pd.isna(row[name]):
        return ""
    return f"{row[name]:.3f} ({row[f'{name} low']:.3f}-{row[f'{name} high']:.3f})"


def rarely(rows: Sequence[pd.Series | None], *names: str) -> str:
    """Return whether each of these happens in at most 5 % of every row's runs, within Monte Carlo error."""
    present = [row for row in rows if row is not None]
    return "met" if all(row[f"{name} low"] <= 0.05 for row in present for name in names) else "not met"


def draw_elbow(table: pd.DataFrame, path: Path) -> None:
    """Draw how often each method reports an elbow, world by world, full profile."""
    from matplotlib import pyplot

    worlds = [*NO_ELBOW, *(world for world in table["world"].unique() if world.startswith("broken stick"))]
    methods: list[tuple[str, str, dict[str, Any]]] = [
        ("kneed", "linear", {"label": "kneed, ratio", "color": ORANGE, "marker": "s"}),
        ("kneed", "log", {"label": "kneed, log ratio", "color": ORANGE, "marker": "s", "markerfacecolor": "white"}),
        ("piecewise-regression", "elbow", {"label": "piecewise-regression", "color": GREEN, "marker": "^"}),
        ("embalign", "elbow", {"label": "embalign", "color": BLUE, "marker": "o"}),
    ]
    with figure_style():
        figure, axis = pyplot.subplots(figsize=(8.3, 4.6), layout="constrained")
        axis.axhspan(-0.5, len(NO_ELBOW) - 0.5, color="#F3F3F3", linewidth=0)
        for offset, (method, column, style) in enumerate(methods):
            rows = [
                (y, row) for y, world in enumerate(worlds) if (row := _one(table, method, world, "full")) is not None
            ]
            rates = np.array([row[column] for _, row in rows])
            bounds = np.array([[row[f"{column} low"], row[f"{column} high"]] for _, row in rows]).T
            errors = np.abs(bounds - rates).clip(min=0)
            heights = np.array([y for y, _ in rows]) + 0.2 * (offset - 1.5)
            axis.errorbar(rates, heights, xerr=errors, linestyle="", elinewidth=1.0, **style)
        axis.axvline(0.05, color=GREY, linewidth=0.9, linestyle="--")
        axis.axvline(0.90, color=GREY, linewidth=0.9, linestyle="--")
        axis.text(0.055, len(worlds) - 0.45, "5 %", fontsize=7.5, color=GREY, va="bottom")
        axis.text(0.895, len(worlds) - 0.45, "90 %", fontsize=7.5, color=GREY, va="bottom", ha="right")
        axis.set_yticks(range(len(worlds)), worlds, fontsize=8)
        axis.set_ylim(len(worlds) - 0.4, -0.6)
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel("share of simulated curves on which an elbow is reported (shaded: worlds that have none)")
        axis.legend(loc="center")
        save(figure, path)
