"""The regression check: what a run gave against its baseline, and which runs may become one."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from embalign.errors import BaselineError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell
from embalign.regression import baseline as committed
from embalign.runs.checkout import id_if_clean, why_not_clean
from embalign.runs.run import Run
from embalign.verdicts.regression import FEWEST_SEEDS, RegressionVerdict, judge_regression

INTENDED = "if that is intended, rerun with --profile regression --update-baseline and commit"


def check_start(run: Run) -> None:
    """Raise BaselineError if it is certain before the first cell that a run cannot be compared with its baseline."""
    path = committed.path_of(run)
    unequal = committed.difference(committed.read_baseline(path, run.experiment.checked), run)
    if "profile" in unequal:
        raise BaselineError(f"{path} holds another grid than --profile {run.profile}; add --profile regression")
    if unequal:
        raise BaselineError(f"{path}: {unequal} differ from the baseline's, so nothing can be compared; {INTENDED}")


def check_whole(run: Run, selected: Collection[Cell]) -> None:
    """Raise BaselineError unless a run is made from a clean tree and all its cells are selected."""
    require_clean(run.checkout.begin())
    if missing := [cell for cell in run.cells if cell not in selected]:
        raise BaselineError(
            f"{len(missing)} of {len(run.cells)} cells are not selected, for instance {missing[0].id}; a partial run "
            "cannot be promoted or become a baseline: select the whole grid"
        )


def judge(run: Run) -> list[RegressionVerdict]:
    """Return the verdicts on a run: one per checked metric, or one that says why there is none."""
    try:
        return compare(run, committed.read_baseline(committed.path_of(run), run.experiment.checked))
    except BaselineError as error:
        return [RegressionVerdict("baseline", "missing", detail=str(error))]


def compare(run: Run, baseline: committed.Baseline) -> list[RegressionVerdict]:
    """Return one verdict per checked metric: what a run gave against its baseline, paired by cell and seed.

    Cells that the baseline does not have yet are reported in one more, which is `new`.
    """
    if unequal := committed.difference(baseline, run):
        return _for_every_metric(run, "incomparable", f"{unequal} differ from the baseline's; {INTENDED}")
    values = committed.checked_values(run)
    if absent := [name for name in baseline.values if name not in values]:
        return _for_every_metric(
            run,
            "missing",
            f"{len(absent)} of the baseline's {len(baseline.values)} cells have no row here, for instance {absent[0]}",
        )
    if not baseline.values:
        return _for_every_metric(run, "missing", "the baseline has no cells; rerun with --update-baseline and commit")
    seed_of = {committed.key(cell): cell.seed for cell in run.cells}
    changes: dict[str, dict[int, float]] = {}
    for metric in run.experiment.checked:
        by_seed: dict[int, list[float]] = {}
        for name, before in baseline.values.items():
            by_seed.setdefault(seed_of[name], []).append(values[name][metric] - before[metric])
        changes[metric] = {seed: math.fsum(parts) / len(parts) for seed, parts in by_seed.items()}
    verdicts = judge_regression(changes, baseline.repeatability)
    if added := [name for name in values if name not in baseline.values]:
        detail = f"{len(added)} are not in the baseline, for instance {added[0]}; --update-baseline adds them"
        verdicts.append(RegressionVerdict("cells", "new", detail=detail))
    return verdicts


def update_baselines(runs: Sequence[Run], *, passed: bool) -> list[str]:
    """Write the baselines of runs; return what changed. Raises BaselineError before any is written.

    `passed` is whether every case of the session passed.
    """
    if not passed:
        raise BaselineError("a baseline is made only from a run of which every case passes")
    commits = [check_update(run) for run in runs]
    return [line for run, commit in zip(runs, commits, strict=True) for line in committed.update_baseline(run, commit)]


def check_update(run: Run) -> str:
    """Return the commit that a baseline of a run would be made from.

    Raises BaselineError for a partial grid, failed cells, metrics that are not finite, nothing or too little to check,
    and a tree that is not clean.
    """
    for cells, words in ((run.missing, "have no row"), (run.failed, "failed")):
        if cells:
            raise BaselineError(f"{len(cells)} of {len(run.cells)} cells {words}, for instance {cells[0].id}")
    values = committed.checked_values(run)
    has_all = [
        cell
        for cell, outcome in run.outcomes.items()
        if isinstance(outcome, Measurement) and set(run.experiment.checked) <= outcome.metrics.keys()
    ]
    if broken := [cell for cell in has_all if committed.key(cell) not in values]:
        raise BaselineError(
            f"{len(broken)} cells have a checked metric that is not a finite number, for instance {broken[0].id}"
        )
    if not values:
        raise BaselineError(
            f"no cell has the checked metrics ({', '.join(run.experiment.checked)}): nothing can be checked"
        )
    if (seeds := len({cell.seed for cell in has_all})) < FEWEST_SEEDS:
        raise BaselineError(f"{seeds} seeds cannot show a regression; the grid needs at least {FEWEST_SEEDS}")
    return require_clean(run.state)


def require_clean(state: Mapping[str, Any]) -> str:
    """Return the commit of a checkout's state. Raises BaselineError if the tree is not that commit."""
    commit = id_if_clean(state)
    if commit is None:
        raise BaselineError(why_not_clean(state))
    return commit


def _for_every_metric(run: Run, kind: Any, detail: str) -> list[RegressionVerdict]:
    return [RegressionVerdict(metric, kind, detail=detail) for metric in run.experiment.checked]
