"""Committed baselines of the merge gate: what a small grid gave, seed by seed, and on which data and settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embalign.alignment.config import DEFAULT
from embalign.durable import move_all
from embalign.errors import BaselineError
from embalign.experiments.grid import Cell, Row
from embalign.runs.provenance import id_if_clean
from embalign.verdicts.regression import FEWEST_SEEDS, MIN_EFFECTS, RegressionVerdict, judge_regression

SCHEMA = 1


@dataclass(frozen=True)
class Baseline:
    """Values of the gated metrics by cell, what they depend on, and how well they repeat."""

    fingerprints: Mapping[str, str]
    values: Mapping[str, Mapping[str, float]]
    repeatability: Mapping[str, float]


def baseline_path(root: Path, pair: str, experiment: str) -> Path:
    """Return where the baseline of an experiment on a pair is committed."""
    return root / "benchmark" / "baselines" / f"{pair}-{experiment}.json"


def read_baseline(path: Path) -> Baseline:
    """Return a baseline. Raises BaselineError for a file that is missing or not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise BaselineError(f"{path}: schema {content['schema']!r}, expected {SCHEMA}; make it anew")
        return Baseline(content["fingerprints"], content["values"], content["repeatability"])
    except FileNotFoundError:
        raise BaselineError(f"{path}: no baseline; make one with --profile gate --update-baseline") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BaselineError(f"{path}: not a baseline ({error!r}); restore it from git or make it anew") from None


def fingerprints(profile: str, data_digest: str) -> dict[str, str]:
    """Return what must be equal for two runs to be comparable: training settings, data and embeddings, profile."""
    config = json.dumps(dataclasses.asdict(DEFAULT), sort_keys=True)
    return {"config": hashlib.sha256(config.encode()).hexdigest(), "data": data_digest, "profile": profile}


def difference(baseline: Baseline, current: Mapping[str, str]) -> str:
    """Return which fingerprints differ, or nothing."""
    return ", ".join(name for name in current if baseline.fingerprints.get(name) != current[name])


def compare(
    baseline: Baseline, current: Mapping[str, str], rows: Mapping[Cell, Row], declared: Sequence[Cell]
) -> list[RegressionVerdict]:
    """Return one verdict a gated metric: what a run gave against its baseline, paired by cell and seed.

    Cells that the baseline does not have yet are told in one more, which is `new`.
    """
    if unequal := difference(baseline, current):
        detail = f"{unequal} differ from the baseline's; if that is meant, run again with --update-baseline"
        return [RegressionVerdict(metric, "incomparable", detail=detail) for metric in MIN_EFFECTS]
    values = gated_values(rows)
    absent = [key for key in baseline.values if key not in values]
    if absent:
        detail = (
            f"{len(absent)} of the baseline's {len(baseline.values)} cells have no row here, for instance {absent[0]}"
        )
        return [RegressionVerdict(metric, "missing", detail=detail) for metric in MIN_EFFECTS]
    if not baseline.values:
        detail = "the baseline has no cell to be held to; run again with --update-baseline and commit"
        return [RegressionVerdict(metric, "missing", detail=detail) for metric in MIN_EFFECTS]
    seed_of = {_key(cell): cell.seed for cell in declared}
    changes: dict[str, dict[int, float]] = {}
    for metric in MIN_EFFECTS:
        by_seed: dict[int, list[float]] = {}
        for key, before in baseline.values.items():
            by_seed.setdefault(seed_of[key], []).append(values[key][metric] - before[metric])
        changes[metric] = {seed: math.fsum(parts) / len(parts) for seed, parts in by_seed.items()}
    verdicts = judge_regression(changes, baseline.repeatability)
    if added := [key for key in values if key not in baseline.values]:
        detail = f"{len(added)} are not in the baseline, for instance {added[0]}: --update-baseline takes them in"
        verdicts.append(RegressionVerdict("cells", "new", detail=detail))
    return verdicts


def gated_values(rows: Mapping[Cell, Row]) -> dict[str, dict[str, float]]:
    """Return the gated metrics of every measured cell that has them all and finite, by cell."""
    return {
        _key(cell): {metric: float(row[metric]) for metric in MIN_EFFECTS}
        for cell, row in rows.items()
        if row.get("status") == "ok" and all(math.isfinite(float(row.get(metric, "nan"))) for metric in MIN_EFFECTS)
    }


def check_update(state: Mapping[str, Any], rows: Mapping[Cell, Row], declared: Sequence[Cell]) -> str:
    """Return the commit that a baseline of these rows would be made from.

    `state` is the checkout's over the whole run, `declared` the grid with every seed. Raises BaselineError for a
    partial grid, failed cells, metrics that are no numbers, too little to gate, and a tree that is not clean.
    """
    missing = [cell.id for cell in declared if cell not in rows]
    if missing:
        raise BaselineError(f"{len(missing)} of {len(declared)} cells have no row, for instance {missing[0]}")
    failed = [cell.id for cell, row in rows.items() if row["status"] != "ok"]
    if failed:
        raise BaselineError(f"{len(failed)} cells failed, for instance {failed[0]}")
    values = gated_values(rows)
    if broken := [
        cell.id for cell, row in rows.items() if MIN_EFFECTS.keys() <= row.keys() and _key(cell) not in values
    ]:
        raise BaselineError(
            f"{len(broken)} cells have a gated metric that is no finite number, for instance {broken[0]}"
        )
    if not values:
        raise BaselineError(f"no cell has the gated metrics ({', '.join(MIN_EFFECTS)}): there is nothing to gate")
    if (seeds := len({cell.seed for cell in rows if _key(cell) in values})) < FEWEST_SEEDS:
        raise BaselineError(f"{seeds} seeds cannot show a regression; the grid needs at least {FEWEST_SEEDS}")
    return require_clean(state)


def require_clean(state: Mapping[str, Any]) -> str:
    """Return the commit of a checkout's state. Raises BaselineError if the tree is not that commit."""
    commit = id_if_clean(state)
    if commit is None:
        raise BaselineError("the tree differs from its commit (or git is missing): commit first, then run again")
    return commit


def update_baseline(
    root: Path, pair: str, experiment: str, current: Mapping[str, str], rows: Mapping[Cell, Row], commit: str
) -> list[str]:
    """Write the baseline of one experiment on one pair; return old and new means, line by line."""
    path, values = baseline_path(root, pair, experiment), gated_values(rows)
    try:
        old: Baseline | None = read_baseline(path)
    except BaselineError:
        old = None
    content = {
        "schema": SCHEMA,
        "pair": pair,
        "experiment": experiment,
        "commit": commit,
        "fingerprints": dict(current),
        "repeatability": dict(old.repeatability) if old else {},
        "values": {key: values[key] for key in sorted(values)},
    }
    write_baseline(path, content)
    return [f"{path.relative_to(root)}: {line}" for line in _old_to_new(old, values)]


def write_baseline(path: Path, content: Mapping[str, Any]) -> None:
    """Write a baseline's content durably and in one step."""
    building = path.parent / f".building-{path.stem}"
    building.mkdir(parents=True, exist_ok=True)
    (building / path.name).write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")
    move_all(building, path.parent)
    building.rmdir()


def _old_to_new(old: Baseline | None, values: Mapping[str, Mapping[str, float]]) -> list[str]:
    def mean(of: Mapping[str, Mapping[str, float]], metric: str) -> str:
        return f"{math.fsum(cell[metric] for cell in of.values()) / len(of):.4f}" if of else "none"

    before = old.values if old else {}
    return [f"{metric} {mean(before, metric)} -> {mean(values, metric)}" for metric in MIN_EFFECTS]


def _key(cell: Cell) -> str:
    return f"{cell.table}/{cell.id}"
