"""What a run is to bring, checked before its first cell and done after its last: reports, verdicts, what is kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from embalign.experiments.grid import Cell
from embalign.regression.baseline import (
    BaselineError,
    baseline_path,
    check_update,
    compare,
    difference,
    fingerprints,
    read_baseline,
    require_clean,
    update_baseline,
)
from embalign.research.conclusion import ConclusionError
from embalign.research.promote import promote
from embalign.runs import artifacts
from embalign.runs.runner import Session
from embalign.verdicts.regression import RegressionVerdict


def publish(session: Session, arguments: Sequence[str]) -> list[str]:
    """Write the artifacts of every experiment that has rows, and return what to tell the user."""
    options = session.options
    if options.profile == "gate":  # a grid for the merge gate, too small for a report
        return []
    messages = []
    for pair, experiment, rows, declared in session.measured():
        if rows:
            messages += artifacts.publish(
                experiment,
                session.folders()[pair],
                options.root,
                rows=rows,
                declared=declared,
                profile=options.profile,
                arguments=arguments,
                reports_dir=options.reports_dir,
                state=session.checkout.state(experiment.measures()),
            )
    return messages


def check_start(session: Session, selected: Collection[Cell]) -> None:
    """Raise BaselineError if it is plain before the first cell that the purpose of a run cannot come about."""
    options = session.options
    if options.update_baseline or options.promote:
        require_clean(session.checkout.begin())
        for _, _, _, declared in session.measured():
            if missing := [cell for cell in declared if cell not in selected]:
                raise BaselineError(
                    f"{len(missing)} of {len(declared)} cells are not selected, for instance {missing[0].id}; a part "
                    "is neither promoted nor a baseline: widen -k"
                )
    if options.promote:
        _check_promotable(session)
    if options.regression == "strict" and not options.update_baseline:
        _check_baselines(session)


def _check_promotable(session: Session) -> None:
    for pair, folder in session.folders().items():
        if not folder.is_relative_to(session.options.root.resolve()):
            raise BaselineError(
                f"--promote: the pair {pair} lies outside the repository, so its conclusion could not be verified; "
                f"move {folder} into benchmark/ and commit"
            )
    for name, experiment in session.run_experiments().items():
        if not experiment.conclusion:
            raise BaselineError(f"--promote: {name} declares no conclusion; leave it out with -k, or give it one")


def _check_baselines(session: Session) -> None:
    for pair in session.folders():
        for name in session.run_experiments():
            path = baseline_path(session.options.root, pair, name)
            current = fingerprints(session.options.profile, session.digest(pair))
            unequal = difference(read_baseline(path), current)
            if "profile" in unequal:
                raise BaselineError(
                    f"{path} holds another grid than --profile {session.options.profile}: add --profile gate"
                )
            if unequal:
                raise BaselineError(
                    f"{path}: {unequal} differ from the baseline's, so nothing can be compared; if that is meant, "
                    "run with --profile gate --update-baseline and commit"
                )


def judge(session: Session) -> list[tuple[str, str, RegressionVerdict]]:
    """Return pair, experiment and the merge gate's verdict for every gated metric; at least one verdict a pair."""
    if not session.run_experiments():
        detail = "no case was run that a baseline could be held to"
        return [(pair, "nothing", RegressionVerdict("baseline", "missing", detail=detail)) for pair in session.names()]
    verdicts = []
    for pair, experiment, rows, declared in session.measured():
        current = fingerprints(session.options.profile, session.digest(pair))
        try:
            baseline = read_baseline(baseline_path(session.options.root, pair, experiment.name))
            found = compare(baseline, current, rows, declared)
        except BaselineError as error:
            found = [RegressionVerdict("baseline", "missing", detail=str(error))]
        verdicts += [(pair, experiment.name, verdict) for verdict in found]
    return verdicts


def update_baselines(session: Session, *, passed: bool) -> list[str]:
    """Write the baselines of what was measured; return what changed. Raises BaselineError before any is written."""
    if not passed:
        raise BaselineError("a baseline is made only from a run of which every case passes")
    root, profile = session.options.root, session.options.profile
    measured = list(session.measured())
    commits = [
        check_update(session.checkout.state(experiment.measures()), rows, declared)
        for _, experiment, rows, declared in measured
    ]
    messages = []
    for (pair, experiment, rows, _), commit in zip(measured, commits, strict=True):
        current = fingerprints(profile, session.digest(pair))
        messages += update_baseline(root, pair, experiment.name, current, rows, commit)
    return messages


def promote_reports(session: Session, *, passed: bool) -> list[str]:
    """Promote the reports just published into docs/research/; return where to. Raises ConclusionError."""
    if not passed:
        raise ConclusionError("not promoted: a conclusion is made only from a run of which every case passes")
    options, messages = session.options, []
    for pair, experiment, rows, declared in session.measured():
        missing = sum(cell not in rows for cell in declared)
        failed = sum(row["status"] != "ok" for row in rows.values())
        if missing or failed or not experiment.conclusion:
            found = f"{missing} cells missing, {failed} failed" if missing or failed else "it declares no conclusion"
            raise ConclusionError(
                f"not promoted: {experiment.name} on {pair} is no complete run for a conclusion ({found})"
            )
        base = artifacts.reports_base(session.folders()[pair], options.reports_dir)
        source = artifacts.report_folder(base, experiment.name, options.profile)
        target = promote(source, options.root, experiment.conclusion)
        messages.append(f"{experiment.name} on {pair}: promoted to {target.relative_to(options.root)}")
    return messages
