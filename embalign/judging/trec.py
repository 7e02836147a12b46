"""Values by query as trec_eval -q and ir-measures -q print them: three columns without a header."""

import io
import warnings
from pathlib import Path

import pandas as pd

from embalign.errors import TableError

ALL = "all"  # stands for the query on lines that hold a mean
SHOWN_LINES = 20
SCORED = "score it first: ir_measures QRELS RUN nDCG@10 -q > scores.txt"
ONLY_MEANS = "means over all queries alone, which cannot be paired; run the tool again with -q"


def read_trec(text: str, path: Path) -> tuple[pd.DataFrame, str] | None:
    """Return a frame of text, columns item, metric and value, and what was left out; None for another kind of file.

    trec_eval writes the measure first and the query second, ir-measures the query first. Lines for all queries, which
    hold means and counts, are left out. Raises TableError where there are no others.
    """
    first = [fields for line in text.split("\n", SHOWN_LINES)[:SHOWN_LINES] if (fields := line.split())]
    if first and all(len(fields) == 6 and fields[1].upper() == "Q0" for fields in first):
        raise TableError(f"{path}: this is a run, a ranking for each query; {SCORED}")
    if first and all(len(fields) == 4 and fields[1] == "0" for fields in first):
        raise TableError(f"{path}: these are judgements of relevance; {SCORED}")
    if first and all(len(fields) == 2 and not _is_number(fields[0]) and _is_number(fields[1]) for fields in first):
        raise TableError(f"{path}: {ONLY_MEANS}")
    if any(len(fields) != 3 for fields in first) or not any(_is_number(fields[2]) for fields in first):
        return None
    if not _is_number(first[0][2]) and first[0][1] != ALL:  # names of columns; trec_eval starts with the run's name
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        options = {"sep": r"\s+", "header": None, "dtype": str, "na_filter": False, "names": ["one", "two", "value"]}
        rows = pd.read_csv(io.StringIO(text), **options)
    if _is_number(str(rows["one"].iloc[0])) and _is_number(str(rows["two"].iloc[0])) and ALL not in set(rows["one"]):
        return None  # three numbers a line: a table that lacks its header
    items = _items(rows)
    if items is None:
        return None
    metric = "two" if items == "one" else "one"
    means = rows[items] == ALL
    frame = rows[~means].rename(columns={items: "item", metric: "metric"})[["item", "metric", "value"]]
    if not len(frame):
        raise TableError(f"{path}: {ONLY_MEANS}")
    words = f"lines for all queries are left out: {int(means.sum())}" if means.any() else "no line is left out"
    return frame, f"read as lines of {'ir-measures' if items == 'one' else 'trec_eval'} -q; {words}"


def _items(rows: pd.DataFrame) -> str | None:
    """Which of the first two columns holds queries."""
    for name in ("one", "two"):
        if (rows[name] == ALL).any():
            return name
    distinct = rows["one"].nunique(), rows["two"].nunique()
    if distinct[0] == distinct[1]:
        return None
    return "one" if distinct[0] > distinct[1] else "two"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
