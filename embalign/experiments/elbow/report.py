"""Experiment 1's artifacts: CSVs, figures, verdict.json and report.md; the prose is in `report.md.j2`."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.evaluation.deployment import DEPLOYMENTS, QUERY_ADAPTER
from embalign.evaluation.results import STATUS, Results
from embalign.experiments.elbow import policies, protocol
from embalign.experiments.elbow.figures import draw, draw_trajectory
from embalign.experiments.elbow.policies import Comparison
from embalign.experiments.elbow.protocol import BESIDE, BUDGETS, MARGIN_SHARE, PRIMARY, Judged, Judgement, find_curve
from embalign.experiments.grid import rerun_command
from embalign.experiments.tables import as_json, cells_of, failures, mean_over_groups, widen, write_by_label, write_csv
from embalign.experiments.templates import render, sentences
from embalign.verdicts.basis import basis_of
from embalign.verdicts.metrics import ALIGNMENT, HEADLINES, OF_JUDGEMENTS, PUBLISHED, RETRIEVAL, label
from embalign.verdicts.statistics import StudentT
from embalign.verdicts.use import compare

SHOWN_POLICIES = ["random", "density", "coverage"]
# What the report shows of each deployment, of the map of all data.
SHOWN_COLUMNS = (
    *("ndcg_at_10", RETRIEVAL, "recall_at_10", "mrr"),
    *("mate_" + RETRIEVAL, *OF_JUDGEMENTS, "never_returned", "largest_hub"),
)
ABOUT_TEST_SET = ("queries", "index_size", "effective_groups")
COLUMNS = ("pair", "policy", "budget", "ratio", "n_train", "seed", *PUBLISHED)


def write_report(results: Mapping[str, Results], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figures, verdict.json and report.md into `folder`; return the answer, line by line."""
    _write_tables(results, folder)
    rows = cells_of(results, "data_ratio_vs_metrics", ("n_train", "n_over_d", *PUBLISHED))
    references = cells_of(results, "references", ("reference", *ABOUT_TEST_SET, *PUBLISHED))
    measured = rows.ok()
    judgement = protocol.judge(measured, references.ok(), about["data"].get("rows"), basis_of(about))
    primary = judgement.primary
    policy, budget = primary.policy, primary.budget
    claimed_by = policies.claim_budget(measured)
    claim = []
    if claimed_by is not None and not judgement.fatal:
        claim = policies.compare_policy(measured, references.ok(), claimed_by)
    followed = _followed(results, folder)
    by_size = _by_size(results.get("index_size"), folder)
    by_source = _by_source(results.get("fit_on"), folder)
    draw(measured.frame, references.frame, judgement.curves, folder / "data_ratio_vs_metrics.png")
    (folder / "verdict.json").write_text(_verdict(judgement, claim), encoding="ascii")
    budgets = protocol.budget_names(measured)
    answer = sentences("elbow/answer.md.j2", "lines", judgement, budgets, MARGIN_SHARE)
    report = render(
        "elbow/report.md.j2",
        about=about,
        answer=answer,
        protocol=protocol,
        policies=policies,
        budgets=budgets,
        share=MARGIN_SHARE,
        judgement=judgement,
        primary=primary,
        sizes=references.ok().frame[list(ABOUT_TEST_SET)].max().dropna().to_dict(),
        main=[found for found in judgement.curves if (found.policy, found.budget) == (policy, budget)],
        seconds=[found for name in BESIDE if (found := find_curve(judgement.curves, policy, budget, name))],
        claim=claim,
        claimed_by=claimed_by,
        of_own={} if judgement.fatal else policies.compare_own(measured, references.ok()),
        recipes=_by_recipe(measured),
        failed=failures(results),
        columns=_columns(measured.frame),
        first_hit=RETRIEVAL,
        by_size=by_size,
        by_source=by_source,
        curve=measured.where(budget=budget, policy=[*SHOWN_POLICIES, *policies.own_policies(measured)]).frame,
        whole=measured.where(ratio=1, policy=policy, budget=budget).frame,
        references=references.frame,
        spread=functools.partial(_spread, measured.where(budget=budget)),
        ridge_gap=_ridge_gap(measured.where(ratio=1, policy=PRIMARY["policy"])),
        followed=followed,
        command=rerun_command("elbow", about),
    )
    (folder / "report.md").write_text(report, encoding="utf-8")
    return "\n".join(answer)


def _columns(measured: pd.DataFrame) -> dict[str, str]:
    """Labels of the columns that are shown of each deployment: those that this pair has."""
    prefix, use = f"{QUERY_ADAPTER}_", DEPLOYMENTS[QUERY_ADAPTER].label
    known = {name for name in SHOWN_COLUMNS if prefix + name in measured and measured[prefix + name].notna().any()}
    shown = known or {name for name in SHOWN_COLUMNS if name not in OF_JUDGEMENTS}
    return {name: label(prefix + name).removeprefix(f"{use} ") for name in SHOWN_COLUMNS if name in shown}


def _write_tables(results: Mapping[str, Results], folder: Path) -> None:
    """Write the cells as CSV, and their values by label."""
    rows = results["data_ratio_vs_metrics"]
    write_csv(rows.frame, folder / "data_ratio_vs_metrics.csv", COLUMNS)
    write_by_label(rows, folder / "data_ratio_vs_metrics_by_label.npz")
    if "references" in results:
        write_csv(results["references"].frame, folder / "references.csv", ("pair", "reference", "seed"))


def _followed(results: Mapping[str, Results], folder: Path) -> dict[str, Any] | None:
    """Write trajectory.csv and draw it; return means by step and what is lost by the last, or None."""
    measured = results["data_ratio_vs_metrics"]
    if "trajectory" not in measured.tables:
        return None
    measured = measured.where(policy=PRIMARY["policy"], budget="steps")
    cells = measured.frame[["pair", "policy", "ratio", "n_train", "seed", STATUS]]
    steps = widen(cells, measured.tables["trajectory"], ["step"], {ALIGNMENT: "cosine_mean_step{:04d}"})
    write_csv(steps, folder / "trajectory.csv")
    followed = measured.table("trajectory")
    by_step = followed.pivot_table(index="ratio", columns="step", values=ALIGNMENT)
    draw_trajectory(by_step, folder / "trajectory.png")
    lost = by_step.max(axis="columns") - by_step.iloc[:, -1]
    return {"by_step": by_step, "seeds": followed["seed"].nunique(), "lost": lost}


def _verdict(judgement: Judgement, claim: list[Comparison]) -> str:
    """Return verdict.json."""
    primary = judgement.primary
    content = {
        "relevance": judgement.basis,
        "warnings": [dataclasses.asdict(suspicion) for suspicion in judgement.suspicions],
        "pairs": primary.pairs,
        "pairs_per_dimension": primary.pairs / primary.dimension if primary.dimension else None,
        "deployments": {
            name: found.as_record()
            | {"better_from_ratio": judgement.better_from.get(name)}
            | {budget: _amounts(judgement.in_use(name, budget)) for budget in BUDGETS}
            for name, found in judgement.uses.items()
        },
        "unseen": None if primary.unseen is None else dict(zip(("ratio", "difference"), primary.unseen, strict=True)),
        "primary": _machine_readable(primary),
        "curves": [_machine_readable(curve) for curve in judgement.curves],
        "density_first": {name: policies.claim_answer([c for c in claim if c.metric == name]) for name in HEADLINES},
        "density_minus_random": [dataclasses.asdict(comparison) for comparison in claim],
    }
    return as_json(content)


def _amounts(found: Judged | None) -> dict[str, Any] | None:
    """What is enough, what the last doubling brought and what describes the curve, by one recipe."""
    if found is None or (verdict := found.verdict) is None:
        return None
    return {
        "enough_pairs": None if verdict.recommended_ratio is None else round(found.pairs * verdict.recommended_ratio),
        "enough_ratio": verdict.recommended_ratio,
        "enough_interpolated_pairs": verdict.recommended_items_interval,
        "last_doubling": dataclasses.asdict(verdict.last_doubling),
        "next_doubling": dataclasses.asdict(verdict.next_doubling),
        "kind": verdict.kind,
        "shape": verdict.shape,
    }


def _by_size(measured: Results | None, folder: Path) -> pd.DataFrame | None:
    """Write index_size.csv, one row per index, and return it; None where none was measured."""
    if measured is None or "sizes" not in measured.tables:
        return None
    by_size = measured.table("sizes").sort_values(["deployment", "seed", "index_size"], kind="stable")
    write_csv(by_size.assign(status="ok"), folder / "index_size.csv", ("pair", "deployment", "index_size", "seed"))
    return by_size


def _by_source(measured: Results | None, folder: Path) -> pd.DataFrame | None:
    """Write fit_on.csv, one row a map, and return it; None where a pair has no queries of its own."""
    if measured is None or measured.frame.empty:
        return None
    write_csv(measured.frame, folder / "fit_on.csv", ("pair", "fit_on", "budget", "ratio", "n_train", "seed"))
    return measured.ok().frame


def _by_recipe(measured: Results) -> pd.DataFrame:
    """Steps and the headline's metrics of randomly selected shares: a row a ratio, a column a value and recipe."""
    random = measured.where(policy=PRIMARY["policy"]).frame
    values = ["steps", "draws_over_n", *HEADLINES]
    return random.pivot_table(index="ratio", columns="budget", values=[name for name in values if name in random])


def _spread(measured: Results, ratio: float, policy: str, metric: str) -> str:
    """The mean of cells with half its 95 % interval."""
    return mean_over_groups(measured.where(ratio=ratio, policy=policy), metric)


def _ridge_gap(whole: Results) -> StudentT | None:
    """Trained maps minus ridge at all of the data, by seed and group; None if they were not measured side by side."""
    by_budget = (whole.where(budget=PRIMARY["budget"]), whole.where(budget="closed_form"))
    try:
        return compare(*by_budget, PRIMARY["metric"])
    except (KeyError, ValueError):
        return None


def _machine_readable(found: Judged) -> dict[str, Any]:
    fields = {"policy": found.policy, "budget": found.budget, "metric": found.metric, "gain": found.gain}
    if found.verdict is None:
        return fields | {"kind": None, "reason": found.reason}
    verdict = dataclasses.asdict(found.verdict)
    tested = {"gain_over_origin": verdict.pop("gain"), "recommended_at_share": found.recommended}
    return fields | {"pairs": found.pairs} | verdict | tested
