"""Committed baselines of the regression check: what a small grid gave, seed by seed, and on which data and settings."""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from embalign.durable import move_all, refuse_links
from embalign.errors import BaselineError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import ALIASES, Cell
from embalign.readers import quoted, read_json, reading
from embalign.runs.run import Run
from embalign.verdicts.metrics import CHECKED

SCHEMA = 1
RESTORE = "restore it from git, or recreate it with --profile regression --update-baseline"
LARGEST = 1e9  # of a metric; sums of such are finite
_NOT_ONE = "not a baseline"

Values = Mapping[str, Mapping[str, float]]


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """Values of the checked metrics by cell, what they depend on, and how well they repeat."""

    schema: int
    pair: str
    experiment: str
    commit: str
    fingerprints: dict[str, str]
    repeatability: dict[str, float]
    values: dict[str, dict[str, float]]


def baseline_path(root: Path, pair: str, experiment: str) -> Path:
    """Return where the baseline of an experiment on a pair is committed."""
    return root / "benchmark" / "baselines" / f"{pair}-{experiment}.json"


def path_of(run: Run) -> Path:
    """Return where the baseline of a run is committed."""
    return baseline_path(run.root, run.pair, run.experiment.name)


def read_baseline(path: Path, checked: Sequence[str] = CHECKED) -> Baseline:
    """Return a baseline. Raises BaselineError for a file that is missing or not one, or older than a checked metric."""
    baseline = _decode(path)
    in_any_cell = {metric for metrics in baseline.values.values() for metric in metrics}
    if baseline.values and (absent := [metric for metric in checked if metric not in in_any_cell]):
        raise BaselineError(
            f"{path}: made before {', '.join(absent)} was checked, so it cannot be compared; rerun with "
            "--profile regression --update-baseline and commit"
        )
    for cell, metrics in baseline.values.items():
        for metric in checked:
            if not math.isfinite(metrics.get(metric, math.nan)):
                raise BaselineError(f"{path}: not a baseline (cell {cell} has no finite {metric}); {RESTORE}")
    return baseline


def _decode(path: Path) -> Baseline:
    """Return what a file holds, whichever metrics were checked when it was made."""
    if not os.path.lexists(path):
        raise BaselineError(f"{path}: no baseline; create one with --profile regression --update-baseline")
    content = read_json(path, BaselineError, RESTORE, dict[str, Any], what=_NOT_ONE, nan=True)
    with reading(path, BaselineError, RESTORE, _NOT_ONE):
        for cell, metrics in _cells(content):
            for metric, value in metrics.items():
                what = f"cell {quoted(cell)[1:-1]} has no finite {quoted(metric)[1:-1]}"
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise ValueError(what)
                if abs(value) > LARGEST:
                    raise ValueError(f"{what} up to {LARGEST:g}: {quoted(value)}")
        baseline = msgspec.convert(content, Baseline)
        if baseline.schema != SCHEMA:
            raise ValueError(f"schema {baseline.schema!r}, expected {SCHEMA}")
        if not_finite := [name for name, value in baseline.repeatability.items() if not 0 <= value <= LARGEST]:
            raise ValueError(f"the repeatability of {quoted(not_finite[0])} is not from 0 to {LARGEST:g}")
    return baseline


def _cells(content: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the cells with their metrics; whether all else is as it should be is checked later."""
    values = content.get("values")
    cells = values.items() if isinstance(values, dict) else ()
    return [(cell, metrics) for cell, metrics in cells if isinstance(metrics, dict)]


def fingerprints(run: Run) -> dict[str, str]:
    """Return what must be equal for two runs to be comparable: training settings, data and embeddings, profile."""
    config = json.dumps(dataclasses.asdict(run.experiment.training), sort_keys=True)
    return {"config": hashlib.sha256(config.encode()).hexdigest(), "data": run.data_digest, "profile": run.profile}


def difference(baseline: Baseline, run: Run) -> str:
    """Return which fingerprints differ, or nothing."""
    recorded = {name: ALIASES.get(value, value) for name, value in baseline.fingerprints.items()}
    return ", ".join(name for name, value in fingerprints(run).items() if recorded.get(name) != value)


def checked_values(run: Run) -> dict[str, dict[str, float]]:
    """Return the checked metrics of every measured cell that has them all and finite, by cell."""
    return {
        key(cell): {metric: float(outcome.metrics[metric]) for metric in run.experiment.checked}
        for cell, outcome in run.outcomes.items()
        if isinstance(outcome, Measurement)
        and all(math.isfinite(outcome.metrics.get(metric, math.nan)) for metric in run.experiment.checked)
    }


def key(cell: Cell) -> str:
    """Return the name of a cell in a baseline."""
    return f"{cell.table}/{cell.id}"


def update_baseline(run: Run, commit: str) -> list[str]:
    """Write the baseline of a run that was made from `commit`; return old and new means, line by line."""
    path = path_of(run)
    refuse_links(run.root, path, path.parent / _building(path))
    values = checked_values(run)
    try:
        old: Baseline | None = _decode(path)
    except BaselineError:
        old = None
    content = Baseline(
        schema=SCHEMA,
        pair=run.pair,
        experiment=run.experiment.name,
        commit=commit,
        fingerprints=fingerprints(run),
        repeatability=old.repeatability if old else {},
        values={name: values[name] for name in sorted(values)},
    )
    write_baseline(path, content)
    return [f"{path.relative_to(run.root)}: {line}" for line in _old_to_new(run, old.values if old else {}, values)]


def write_baseline(path: Path, content: Baseline) -> None:
    """Write a baseline durably and in one step."""
    building = path.parent / _building(path)
    building.mkdir(parents=True, exist_ok=True)
    text = json.dumps(msgspec.to_builtins(content), indent=1) + "\n"
    (building / path.name).write_text(text, encoding="ascii")
    move_all(building, path.parent)
    building.rmdir()


def _building(path: Path) -> str:
    return f".building-{path.stem}"


def _old_to_new(run: Run, old: Values, new: Values) -> list[str]:
    def mean(of: Values, metric: str) -> str:
        known = [cell[metric] for cell in of.values() if metric in cell]
        return f"{math.fsum(known) / len(known):.4f}" if known else "none"

    return [f"{metric} {mean(old, metric)} -> {mean(new, metric)}" for metric in run.experiment.checked]
