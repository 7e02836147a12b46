"""Error rates of the A/B verdict, as text."""

from __future__ import annotations

import pandas as pd
from texts import markdown, rarely, rate, share


def ab_tables(table: pd.DataFrame, controls_found: int, controls: int) -> str:
    """Return the calibration of the A/B verdict, and the power of the positive control, as Markdown."""
    lines = []
    for _, row in table.iterrows():
        lines.append(
            {
                "seeds": str(row["seeds"]),
                "items": str(row["items"]) if row["items"] else "none",
                "noise": row["noise"],
                **{
                    name: rate(row, name)
                    for name in ("false difference", "false equivalence", "power at twice the margin", "equivalence")
                },
                "demand": rarely([row], "false difference", "false equivalence"),
            }
        )
    found, low, high = share("found", controls_found, controls).values()
    parts = [
        "# How often the A/B verdict is right",
        "Simulated experiments of 12 contrasts each (lambda x metric), paired by seed, "
        f"{int(table['runs'].max())} without and {int(table['runs'].min())} with items. In brackets: 95 % "
        "Clopper-Pearson intervals. Met: not shown to be violated, the interval reaches the demand.",
        "```\npip install -c constraints.txt -e .\npython benchmark/calibration/ab.py\n```",
        "- False difference: without any effect, some contrast of the experiment is called better or worse, Holm "
        "included. Demand: at most 5 %.\n"
        "- False equivalence: a contrast whose true difference is exactly the margin is called equivalent. Demand: at "
        "most 5 %.\n"
        "- Power: a contrast of twice the margin is called better, among eleven without effect. Equivalence: a "
        "contrast without effect is called equivalent.\n"
        "- Noise of a seed's difference, and of an item's: small 0.3 and 1, large 1 and 3 margins. Skewed: lognormal, "
        "the logarithm of standard deviation 1. There Student's t does not hold with few seeds, which is why rows are "
        "not met; do not trust a verdict on effects that a few seeds or topics make.",
        markdown(pd.DataFrame(lines)),
        "## The positive control",
        f"Of {controls} experiments of five seeds on the synthetic task, the order effect on nDCG@10 is found in "
        f"{controls_found} ({found:.2f}, 95 % interval {low:.2f} to {high:.2f}). Demand: power of at least 0.9.",
    ]
    return "\n\n".join(parts) + "\n"
