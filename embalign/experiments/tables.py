"""CSV and Markdown tables: plain ASCII, numbers that round-trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embalign.evaluation.by_label import unpack

BY_LABEL = "_by_label"
# The columns that every experiment's table shares, in their published order.
METRICS = (
    *("cosine_mean", "cosine_p05", "cosine_p50", "cosine_p95", "skill", "spearman"),
    *("recall_at_1", "recall_at_5", "recall_at_10", "mrr", "gate_augrc", "gate_accept_rate"),
)

NAMES = {"cosine_mean": "mean cosine", "spearman": "Spearman", "recall_at_1": "Recall@1", "mrr": "MRR"}


def write_csv(frame: pd.DataFrame, path: Path, first: Sequence[str] = ()) -> None:
    """Write a frame with the columns `first` in front and the status last; text that a spreadsheet would run is quoted.

    Numbers are written with the fewest digits that give the same float64 back; a cell without a value stays empty.
    Values by label are left to `write_by_label`.
    """
    rest = [name for name in frame.columns if name not in first and name != "status" and not name.endswith(BY_LABEL)]
    ordered = frame[[*(name for name in first if name in frame.columns), *rest, "status"]]
    text = ordered.select_dtypes(include=["object", "str"]).columns
    safe = ordered.assign(**{name: ordered[name].map(_defuse) for name in text})
    safe.to_csv(path, index=False, lineterminator="\n")


def write_by_label(frame: pd.DataFrame, path: Path) -> None:
    """Write the values by label of a CSV's rows as .npz: an array (rows, labels) a metric, NaN where there is none."""
    arrays = {name.removesuffix(BY_LABEL): by_label(frame, name) for name in frame.columns if name.endswith(BY_LABEL)}
    np.savez_compressed(path, allow_pickle=False, **{name: values for name, values in arrays.items() if values.size})


def by_label(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return a packed column as an array (rows, labels), NaN for rows without values."""
    rows = [unpack(text) if isinstance(text, str) else None for text in frame[column]]
    labels = max((len(row) for row in rows if row is not None), default=0)
    return np.array([np.full(labels, np.nan, np.float32) if row is None else row for row in rows])


def long_frame(measured: pd.DataFrame, metric: str, *settings: str) -> pd.DataFrame:
    """Return one value a row with its settings and seed, and its label as `item` where values by label were kept."""
    keys = measured[[*settings, "seed"]].reset_index(drop=True)
    column = f"{metric}{BY_LABEL}"
    if column not in measured.columns or (values := by_label(measured, column)).shape[1] < 2:
        return keys.assign(value=measured[metric].to_numpy(dtype=np.float64))
    repeated = keys.loc[keys.index.repeat(values.shape[1])].reset_index(drop=True)
    return repeated.assign(item=np.tile(np.arange(values.shape[1]), len(values)), value=values.ravel().astype(float))


def markdown(frame: pd.DataFrame) -> str:
    """Return a Markdown table of a frame of strings."""
    align = ["left" if i == 0 else "right" for i in range(len(frame.columns))]
    return str(frame.to_markdown(index=False, colalign=align, disable_numparse=True))


def mean_with_interval(values: pd.Series, digits: int = 4) -> str:
    """Return "mean +- half-width" of the 95 % t interval over seeds."""
    from embalign.verdicts.statistics import student_t

    values = values.dropna()
    if len(values) < 2:
        return f"{values.iloc[0]:.{digits}f}" if len(values) else ""
    found = student_t(values.to_numpy())
    half = found.interval()[1] - found.mean
    return f"{found.mean:.{digits}f} ± {half:.{digits}f}" if round(half, digits) > 0 else f"{found.mean:.{digits}f}"


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage of at most three digits: 0.05 -> "5 %", None -> "none"."""
    return "none" if ratio is None else f"{100 * ratio:.3g} %"


def span(interval: tuple[float, float] | None) -> str:
    """Return an interval of ratios as percentages: "5 % to 20 %"."""
    return "none" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def rerun_command(experiment: str, about: Mapping[str, Any]) -> str:
    """Return the command that measures the same grid again; a pair outside benchmark/ is named by its folder."""
    usual = f"benchmark/{about['pair']}"
    pair = about["pair"] if about.get("folder", usual) == usual else about["folder"]
    profile = "" if about["profile"] == "quick" else f" --profile {about['profile']}"
    grid = f"--pair {pair}{profile} --seeds {len(about['seeds'])}"
    return f"pytest benchmark/ -k {experiment} {grid} --results always"


def _defuse(value: object) -> object:
    return "'" + value if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
