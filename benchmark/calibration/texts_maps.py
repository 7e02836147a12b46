"""How often a bake-off of maps errs, as text."""

from __future__ import annotations

import pandas as pd
from texts import markdown, rarely, rate

WRONG, RIGHT, FEW = "wrong one alone", "right one in the set", "at most two"
ALONE, EVERY = "one alone", "every right one in the set"


def maps_tables(table: pd.DataFrame) -> str:
    """Return the calibration of bake-offs as Markdown."""
    return ""
