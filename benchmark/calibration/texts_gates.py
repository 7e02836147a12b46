"""Error rates of the gate's certificates and of the regression check, as text and figure."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from texts import markdown, rarely, rate

from embalign.deploy import RISK_TARGETS
from embalign.evaluation.certificate import CONFIDENCE, fewest_accepts
from embalign.experiments.style import BLUE, GREEN, GREY, ORANGE, PURPLE, figure_style, save


def gate_tables(table: pd.DataFrame) -> str:
    """Return the calibration of the gate's promise as Markdown."""
    lines = [
        {
            "outputs of": row["world"],
            "calibration draws": row["calibration"],
            "risk at most": f"{100 * row['target']:g} %",
            "promise broken": rate(row, "broken"),
            "certified": f"{row['certified']:.3f}",
            "accepts, mean": f"{row['coverage']:.3f}",
            "demand": "none" if row["calibration"] == "topics, blind" else rarely([row], "broken"),
        }
        for _, row in table.iterrows()
    ]
    topics = [
        f"{math.ceil(fewest_accepts(target, CONFIDENCE))} topics for {100 * target:g} %" for target in RISK_TARGETS
    ]
    parts = [
        "# How often the gate's promise breaks",
        f"{int(table['draws'].max())} calibration draws a row. The promise is broken where a threshold was certified "
        "and the risk above it in the population drawn from is higher than the target. Demand: in at most 5 %. In "
        "brackets: 95 % Clopper-Pearson intervals. Met: not shown to be violated, the interval reaches the demand.",
        "```\npip install -c constraints.txt -e .\npython benchmark/calibration/gate.py\n```",
        "- Shipped pairs: the population is every held-out output of the exported map, so its risk is known. The "
        "deployment is the one that certifies most: draft only, the held-out items alone as the index. "
        "Simulated: new scores and topics each time, with a risk known at every threshold. Hot topics: the highest "
        "scores are those of a few of 66 topics, each wholly right or wholly wrong, of ten outputs each.\n"
        "- `halves`: a random half of the outputs; `outputs`: outputs drawn with replacement. Both certify outputs as "
        "independent, for queries on the same topics.\n"
        "- `topics`: whole label groups drawn with replacement, certified with their groups: what the report and the "
        "exported map do.\n"
        "- `topics, blind`: the same draws certified as if outputs were independent: what leaving the groups out "
        "would cost.\n"
        "- A topic may be wholly right or wholly wrong, so outputs count no more than their topics while none of the "
        f"accepted is wrong. Without an error it takes {', '.join(topics)} to certify. With 66 topics in all that "
        "leaves hardly anything at 5 %, also where topics are harmless: a rule that accepted there would break its "
        "promise where they are not. A test set of more topics certifies more.",
        markdown(pd.DataFrame(lines)),
    ]
    return "\n\n".join(parts) + "\n"


_NOT_MET = (
    "Not met: there a real change itself moves seeds apart by more than what matters. With batches of 8 the arm whose "
    "strength is set by the gradient ratio of one batch is as strong as that batch has it."
)


def regression_tables(table: pd.DataFrame) -> str:
    """Return the error rates of the regression check as Markdown."""
    null = table[table["metric"] == "any"]
    alarms = [
        {
            "experiment": row["experiment"],
            "pair": row["pair"],
            "false alarms": rate(row, "regressed"),
            "demand": "met" if row["regressed low"] <= 0.01 else "not met",
        }
        for _, row in null.iterrows()
    ]
    lines = []
    losses = table[table["metric"] != "any"]
    for (experiment, pair, metric), group in losses.groupby(["experiment", "pair", "metric"], sort=False):
        first = group.iloc[0]
        line = {"experiment": experiment, "pair": pair, "metric": metric}
        line |= {"repeatability": f"{first['repeatability']:.2g}", "spread over seeds": f"{first['spread']:.2g}"}
        line["matters from"] = f"{first['min_effect']:g}"
        line |= {f"{row['size']:g} times": f"{row['regressed']:.3f}" for _, row in group.iterrows()}
        at_two = group[group["size"] == 2.0].iloc[0]
        line["demand"] = "met" if at_two["regressed high"] >= 0.95 else "not met"
        lines.append(line)
    reruns, repeats = int(table["reruns"].max()), int(table["repeats"].max())
    parts = [
        "# Error rates of the regression check",
        f"The check's small grid, trained {repeats} times again on embeddings changed by a millionth, as another order "
        f"of summation would change them; {reruns} re-runs drawn from these, seed by seed. In brackets: 95 % "
        "Clopper-Pearson intervals. Met: not shown to be violated, the interval reaches the demand.",
        "```\npip install -c constraints.txt -e .\npython benchmark/calibration/regression.py\n```",
        "![Detection by size of the loss](regression.png)",
        "## Nothing has changed: how often does it fail?",
        "Demand: at most 1 %. On one machine type the numbers are equal to the byte and it cannot fail.",
        markdown(pd.DataFrame(alarms)),
        "## A loss: how often does it fail?",
        "Share of re-runs that are called regressed, by the loss in units of the smallest effect that matters. Demand: "
        "at least 95 % at twice that. Repeatability: standard deviation of a re-run's change, by seed. A loss differs "
        "between seeds as real changes do, with their spread: the grid trained with batches of 8, with batches of 128, "
        "and at ten times the learning rate, each less its mean."
        + (" Of maps: the families of the grid replaced by others." if "maps" in set(table["experiment"]) else ""),
        markdown(pd.DataFrame(lines)),
        *([_NOT_MET] if any(line["demand"] == "not met" for line in lines) else []),
        "## Faults planted in the code",
        "`python tests/planted_faults.py` plants each of a list of faults in a copy of the package; "
        "[which half of `tox -e gate` fails on it](planted-faults.md), the grid or a test of what it measures with.",
    ]
    return "\n\n".join(parts) + "\n"


def draw_regression(table: pd.DataFrame, path: Path) -> None:
    """Draw the share of re-runs called regressed over the size of the loss, a panel an experiment and pair."""
    from matplotlib import pyplot

    looks = (("P", PURPLE), ("o", BLUE), ("s", ORANGE), ("^", GREEN), ("D", GREY), ("v", "black"))
    looks += (("P", BLUE), ("o", ORANGE), ("s", GREEN))
    metrics = [metric for metric in table["metric"].unique() if metric != "any"]
    styles = dict(zip(metrics, looks, strict=True))
    panels = list(table.groupby(["experiment", "pair"], sort=False))
    with figure_style():
        figure, axes = pyplot.subplots(1, len(panels), figsize=(8.3, 3.1), sharey=True, layout="constrained")
        for axis, ((experiment, pair), group) in zip(np.atleast_1d(axes), panels, strict=True):
            null = group.loc[group["metric"] == "any", "regressed"].iloc[0]
            losses = group[group["metric"] != "any"]
            for metric, curve in losses.groupby("metric", sort=False):
                sizes, rates = [0.0, *curve["size"]], [null, *curve["regressed"]]
                marker, color = styles[metric]
                axis.plot(sizes, rates, marker=marker, color=color, label=metric, linewidth=1.1)
            axis.axhline(0.95, color=GREY, linewidth=0.8, linestyle="--")
            axis.axvline(2, color=GREY, linewidth=0.8, linestyle="--")
            axis.set_title(f"{experiment}\n{pair}", fontsize=8.5)
        np.atleast_1d(axes)[0].set_ylabel("share called regressed")
        np.atleast_1d(axes)[len(panels) // 2].set_xlabel("loss / smallest that matters")
        named = {
            label: handle
            for axis in np.atleast_1d(axes)
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=3)
        save(figure, path)
