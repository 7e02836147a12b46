"""The cells of one table side by side: settings and metrics as a frame, values by label and tables beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from embalign.evaluation.measurement import ByLabel, Measurement, Outcome

STATUS = "status"


@dataclass(frozen=True, eq=False)
class Results:
    """Cells of one table: `frame` has one row each, with the columns of `identity`, the metrics and the `status`.

    That is "ok" or the reason of the failure. The index counts the cells; a selection keeps it.
    """

    frame: pd.DataFrame
    by_label: Mapping[str, ByLabel]
    tables: Mapping[str, pd.DataFrame]
    identity: tuple[str, ...]

    def ok(self) -> Self:
        """Return the cells that were measured."""
        return self.select(self.frame[STATUS] == "ok")

    def where(self, **settings: Any) -> Self:
        """Return the cells with these settings; a list stands for any of its values."""
        chosen = pd.Series(True, index=self.frame.index)
        for name, value in settings.items():
            chosen &= self.frame[name].isin(value) if isinstance(value, list | tuple) else self.frame[name] == value
        return self.select(chosen)

    def select(self, chosen: pd.Series) -> Self:
        """Return the cells that a boolean series over `frame` marks."""
        return replace(self, frame=self.frame[chosen])

    def table(self, name: str) -> pd.DataFrame:
        """Return the rows of one table of every cell, with the columns that identify the cell in front."""
        own = self.tables[name].set_index("cell")
        return self.frame[list(self.identity)].join(own, how="inner").reset_index(drop=True)

    def long(self, metric: str, *settings: str) -> pd.DataFrame:
        """Return what a verdict takes: `settings`, `seed` and `value`; with values by label, a row per `item`."""
        keys = self.frame[[*settings, "seed"]].reset_index(drop=True)
        values = self.values_by_label(metric)
        if values.shape[1] < 2:
            return keys.assign(value=self.frame[metric].to_numpy(dtype=np.float64))
        repeated = keys.loc[keys.index.repeat(values.shape[1])].reset_index(drop=True)
        items = np.tile(np.arange(values.shape[1]), len(values))
        return repeated.assign(item=items, value=values.ravel().astype(np.float64))

    def values_by_label(self, metric: str) -> ByLabel:
        """Return a metric by label group, (cells, groups): NaN for cells without, no groups if it has none."""
        values = self.by_label.get(metric)
        return np.empty((len(self.frame), 0), np.float32) if values is None else values[self.frame.index]


def collect(rows: Sequence[tuple[Mapping[str, Any], Outcome]]) -> Results:
    """Return the results of cells, each given by the columns that identify it and by what came of it, in this order."""
    lines: list[dict[str, Any]] = []
    tables: dict[str, list[pd.DataFrame]] = {}
    by_label: dict[str, dict[int, ByLabel]] = {}
    for place, (identity, outcome) in enumerate(rows):
        if not isinstance(outcome, Measurement):
            lines.append({**identity, STATUS: f"failed: {outcome.reason}"})
            continue
        lines.append({**identity, **outcome.metrics, STATUS: "ok"})
        for name, frame in outcome.tables.items():
            tables.setdefault(name, []).append(frame.assign(cell=place))
        for name, values in outcome.by_label.items():
            by_label.setdefault(name, {})[place] = values
    return Results(
        pd.DataFrame(lines),
        {name: _stack(found, len(rows)) for name, found in by_label.items()},
        {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()},
        tuple(rows[0][0]) if rows else (),
    )


def _stack(found: Mapping[int, ByLabel], count: int) -> ByLabel:
    values = np.full((count, max(map(len, found.values()))), np.nan, np.float32)
    for place, of_cell in found.items():
        values[place] = of_cell
    return values
