"""The error rates of what is said of amounts of data, as text."""

from __future__ import annotations

import pandas as pd
from texts import markdown, rarely, rate

OVERLAP, WIDTH, COVERAGE = 0.90, 4.0, 0.90


def amounts_tables(table: pd.DataFrame) -> str:
    """Return the error rates of the number of pairs that is enough and of the next doubling as Markdown."""
    laws = table[table["enough"].notna()]
    parts = [
        "# How often what is said of amounts of data is right",
        f"Simulated curves of 10,000 pairs whose truth is known, {int(table['runs'].max())} a world and grid, with ten "
        "seeds and noise of 2.5 % of the gain, and with five seeds and 5 %. In brackets: 95 % Clopper-Pearson "
        "intervals.",
        "```\npip install -c constraints.txt --group calibration -e .\npython benchmark/calibration/amounts.py\n```",
        "## How many pairs are enough, on four grids of ratios",
        "The law is the same on every grid, and so is the number of pairs at which 5 % of the gain are lost. `in its "
        "interval`: how often the verdict's interval holds that number. `overlap`: how often the intervals of two "
        "grids do, on the two that do so least often; demand: at least 90 %. Width: upper end over lower end, median; "
        "demand: at most 4. `elbow`: a smooth law or a straight line has none; demand: at most 5 %.",
        markdown(pd.DataFrame([_enough(row) for _, row in laws.iterrows()])),
        "## What twice the pairs would bring",
        "The curve beyond 10,000 pairs was not shown to the verdict. `in the bracket`: how often it holds what comes "
        "in truth; demand: at least 90 %. Width: of the bracket, over the gain of the last doubling, medians of both; "
        "where the last doubling brings little beside the noise the bracket is as wide as the noise. Refused: the "
        "curve was seen to bend upwards last.",
        markdown(pd.DataFrame([_ahead(row) for _, row in table.iterrows()])),
    ]
    return "\n\n".join(parts) + "\n"


def _enough(row: pd.Series) -> dict[str, str]:
    failed = [
        *(["elbow"] if rarely([row], "elbow") != "met" else []),
        *(["overlap"] if row["overlap"] < OVERLAP else []),
        *(["width"] if row["median width"] > WIDTH else []),
    ]
    return {
        "world": row["world"],
        "noise": row["noise"],
        "grid": row["grid"],
        "enough in truth": f"{row['enough']:.0f}",
        "in its interval": rate(row, "covered"),
        "width": f"{row['median width']:.2f}",
        "overlap": f"{row['overlap']:.3f}",
        "elbow": rate(row, "elbow"),
        "demand": f"not met: {', '.join(failed)}" if failed else "met",
    }


def _ahead(row: pd.Series) -> dict[str, str]:
    return {
        "world": row["world"],
        "noise": row["noise"],
        "grid": row["grid"],
        "refused": f"{1 - row['foreseen']:.3f}",
        "in the bracket": rate(row, "came"),
        "width": "" if pd.isna(row["bracket over last"]) else f"{row['bracket over last']:.2f}",
        "demand": "met" if row["came high"] >= COVERAGE else "not met",
    }
