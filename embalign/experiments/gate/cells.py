"""The cells of the gate experiment, from pair to numbers: a map, its accept curves, its cascade, its steadiness."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.alignment.setting import Setting
from embalign.alignment.training import apply_map
from embalign.deploy import RISK_TARGETS
from embalign.deploy.recipe import fit_better
from embalign.deploy.thresholds import FOLDS, certify_targets, check_promise, choose_scores, search_deployment
from embalign.evaluation import cascade, gate, styles
from embalign.evaluation.certificate import risk_interval
from embalign.evaluation.deployment import DRAFT_ONLY, QUERY_ADAPTER, Embedded, SearchTask
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import FIRST_HIT, search_task
from embalign.evaluation.similarity import cosines
from embalign.evaluation.ties import same_first
from embalign.experiments.arms import Arm, train_arm
from embalign.experiments.fits import Share, ceiling_of, fit_on_share, map_task, search_task_of
from embalign.experiments.gate.protocol import ALONE, ARM_OF, CASCADE_LEVELS, STUDIED, USES, WHOLE, prefix
from embalign.experiments.references import agreement_of
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.deploy.card import Threshold
    from embalign.experiments.grid import Cell

COVERAGES = tuple(percent / 100 for percent in range(5, 101, 5))
SENT = tuple(percent / 100 for percent in range(0, 101, 5))
GATE_SCORES = ("top1", "margin")
Found = dict[tuple[str, str], Search]


def measure_ratio_gate(pair: Pair, cell: Cell) -> Measurement:
    """Return accept curves and cascade of a map trained on a random share of the pool, its steps tuned."""
    weights = fit_on_share(pair, Share("random", cell["ratio"]), cell.seed, cell.training).weights
    mapped = map_task(pair, weights)
    found = {use: _search(pair, mapped, *use) for use in STUDIED}
    return _accept_curves(pair, mapped, found) | _cascade(pair, found[QUERY_ADAPTER, WHOLE])


def measure_arm_gate(pair: Pair, cell: Cell) -> Measurement:
    """Return the same of a map trained with a loss term, and how steady it is over surface styles."""
    arm = Arm(ARM_OF[cell["term"]], Setting.named(cell["convention"], cell["lambda"]))
    trained, _ = train_arm(pair, arm, cell.seed, cell.training)
    mapped = map_task(pair, trained.weights)
    found = {use: _search(pair, mapped, *use) for use in STUDIED}
    measured = _accept_curves(pair, mapped, found) | _cascade(pair, found[QUERY_ADAPTER, WHOLE])
    return measured | _over_styles(pair, trained.weights, mapped)


def measure_deployed_gate(pair: Pair, cell: Cell) -> Measurement:
    """Return the exported map's curves, its score by deployment, the check of its promise, and every held-out output.

    The check: thresholds certified on four fifths of the label groups, applied to the remaining fifth, five times.
    """
    weights, _ = fit_better(pair, cell.seed, cell.training)
    mapped = map_task(pair, weights)
    found = {use: _search(pair, mapped, *use) for use in USES}
    scores = choose_scores(pair, weights)
    checks = []
    for (deployment, index), of_use in found.items():
        for target in RISK_TARGETS:
            values = getattr(of_use, scores[deployment])
            groups = _task(pair, index).groups
            folds, accepted = 0, np.zeros(len(values), dtype=bool)
            if len(set(groups.tolist())) >= FOLDS:
                folds, accepted = check_promise(values, of_use.correct, groups, target)
            kept, size = of_use.correct[accepted], _task(pair, index).index_size
            low, high = risk_interval(kept, groups[accepted]) if len(kept) else (np.nan, np.nan)
            checks.append((deployment, index, size, target, folds, len(kept), float((1 - kept).sum()), low, high))
    columns = ["deployment", "index", "index_size", "target", "folds", "accepted", "wrong", "risk_low", "risk_high"]
    tables = {
        "choice": pd.DataFrame(scores.items(), columns=["deployment", "score"]),
        "check": pd.DataFrame(checks, columns=columns),
        "outputs": _outputs(pair, found),
    }
    measured = _accept_curves(pair, mapped, found) | _cascade(pair, found[QUERY_ADAPTER, WHOLE])
    facts = agreement_of(pair) | {"index_size": search_task_of(pair).index_size}
    return measured | Measurement(_without_map(pair) | facts, tables=tables)


def _task(pair: Pair, index: str) -> SearchTask:
    task = search_task_of(pair)
    return task if index == WHOLE else task.alone


@functools.lru_cache(maxsize=4)
def _of_teacher(pair: Pair, index: str) -> Search:
    if index == WHOLE:
        return ceiling_of(pair)
    task = _task(pair, index)
    return search_task(task, task.teacher)


def _search(pair: Pair, mapped: Embedded, deployment: str, index: str) -> Search:
    """What the queries of a deployment find in the whole index, or in the held-out items alone."""
    task = search_task_of(pair)
    if index == ALONE:
        mapped, task = mapped.within(task.held_out), task.alone
    return search_deployment(deployment, task, mapped)


def _without_map(pair: Pair) -> dict[str, float]:
    """What the teacher and the raw draft answer right in their own whole indexes, and the draft's nDCG@10."""
    task = search_task_of(pair)
    draft = search_task(task, task.draft)
    return {
        "teacher_accuracy": float(_of_teacher(pair, WHOLE).correct.mean()),
        "draft_accuracy": float(draft.correct.mean()),
        "draft_ndcg_at_10": float(np.nanmean(draft.ndcg)),
    }


def _outputs(pair: Pair, found: Found) -> pd.DataFrame:
    """Every held-out query: score and outcome in each use, and nDCG@10 in the whole index by deployment and teacher."""
    outputs: dict[str, object] = {
        "id": [pair.asking[row].id for row in pair.holdout.test.tolist()],
        "label": search_task_of(pair).groups.tolist(),
    }
    for use, of_use in [((DRAFT_ONLY, ALONE), found[DRAFT_ONLY, ALONE]), *found.items()]:
        outputs |= {prefix(*use) + name: getattr(of_use, name) for name in (*GATE_SCORES, "correct")}
        if use[1] == WHOLE:
            outputs[prefix(*use) + "ndcg_at_10"] = of_use.ndcg
    teacher = _of_teacher(pair, WHOLE)
    return pd.DataFrame(outputs | {"teacher_correct": teacher.correct, "teacher_ndcg_at_10": teacher.ndcg})


def _accept_curves(pair: Pair, mapped: Embedded, found: Found) -> Measurement:
    """In each use: the curve of each score at fixed coverages, its areas, and its certified thresholds by risk."""
    metrics: dict[str, float] = {}
    curves, certificates = [], []
    oracle = cosines(mapped.queries, search_task_of(pair).teacher.queries)
    for (deployment, index), of_use in found.items():
        task, before = _task(pair, index), prefix(deployment, index)
        metrics[before + "accuracy"] = float(of_use.correct.mean())
        teacher = _of_teacher(pair, index)
        metrics[before + "teacher_agreement"] = float(
            same_first((of_use.nearest, of_use.tied), (teacher.nearest, teacher.tied)).mean()
        )
        where = {"deployment": deployment, "index": index, "index_size": task.index_size}
        scores = {name: getattr(of_use, name) for name in GATE_SCORES}
        if deployment in (QUERY_ADAPTER, DRAFT_ONLY):  # elsewhere no query is mapped
            scores["oracle"] = oracle
        for name, values in scores.items():
            areas = (gate.augrc, gate.aurc, gate.e_aurc)
            metrics |= {f"{before}{name}_{area.__name__}": area(values, of_use.correct) for area in areas}
            curves.append(_curve(values, of_use.correct).assign(score=name, **where))
        for name in GATE_SCORES:
            certificates += [
                where | {"score": name, "target": target} | _certificate(own)
                for target, own in certify_targets(task, of_use, name).items()
            ]
    order = ["deployment", "index", "index_size", "score", "coverage", "threshold", "risk"]
    tables = {"accept_curve": pd.concat(curves, ignore_index=True)[order], "certificates": pd.DataFrame(certificates)}
    return Measurement(metrics, tables=tables)


def _certificate(own: Threshold) -> dict[str, object]:
    return {
        "coverage": own.coverage,
        "threshold": own.threshold,
        "bound": own.risk_bound,
        "lacking": own.lacking_accepts,
    }


def _curve(scores: NDArray[np.float64], correct: gate.Outcomes) -> pd.DataFrame:
    coverage = np.array(COVERAGES)
    thresholds = np.sort(scores)[::-1][np.ceil(coverage * len(scores)).astype(int) - 1]
    risks = gate.selective_risk(scores, correct, coverage)
    return pd.DataFrame({"coverage": coverage, "threshold": thresholds, "risk": risks})


def _cascade(pair: Pair, found: Search) -> Measurement:
    """The query adapter backed by the teacher: the metrics by share of queries sent, for each way of choosing them."""
    teacher = _of_teacher(pair, WHOLE)
    sent = np.array(SENT)
    tables = {}
    metrics: dict[str, float] = {}
    for metric, mapped, ceiling in (
        ("ndcg_at_10", found.ndcg, teacher.ndcg),
        (FIRST_HIT, found.hits[1], teacher.hits[1]),
    ):
        curves = {
            **{name: cascade.by_score(getattr(found, name), mapped, ceiling) for name in GATE_SCORES},
            "random": cascade.random_routing(mapped, ceiling),
            "oracle": cascade.oracle(mapped, ceiling),
        }
        alone, ceiling_mean = curves["random"].value.tolist()
        metrics |= {f"query_adapter_{metric}": alone, f"teacher_{metric}": ceiling_mean}
        for name, curve in curves.items():
            tables[name, metric] = curve.at(sent)
            for level in CASCADE_LEVELS if metric == "ndcg_at_10" else ():
                share = curve.share_for(level * ceiling_mean)
                metrics[f"query_adapter_{name}_sent_{round(100 * level):02d}"] = (
                    float("nan") if share is None else share
                )
    routes = dict.fromkeys(name for name, _ in tables)
    frames = [
        pd.DataFrame({"score": name, "sent": sent} | {m: v for (n, m), v in tables.items() if n == name})
        for name in routes
    ]
    where = {"deployment": QUERY_ADAPTER, "index_size": search_task_of(pair).index_size}
    return Measurement(metrics, tables={"cascade": pd.concat(frames, ignore_index=True).assign(**where)})


def _over_styles(pair: Pair, weights: Vectors, mapped: Embedded) -> Measurement:
    """Metrics by surface style over the test items that every style has; nothing where a pair has no variants."""
    contents, of_style = _styled(pair)
    if len(contents) == 0:
        return Measurement({})
    task = search_task_of(pair)
    queries = {styles.PLAIN: mapped.queries[contents]}
    queries |= {style: apply_map(weights, pair.styled_draft[rows]) for style, rows in of_style.items()}
    parts = []
    for deployment, index in STUDIED:
        asked = styles.asked_by(_task(pair, index), contents)
        of_maps = mapped if index == WHOLE else mapped.within(task.held_out)
        outcomes = {
            style: search_deployment(deployment, asked, of_maps.asked_by(vectors)) for style, vectors in queries.items()
        }
        parts.append(styles.score_styles(outcomes, asked.groups, prefix(deployment, index)))
    by_style = pd.concat([part.tables["styles"] for part in parts], ignore_index=True)
    return parts[0] | parts[1] | Measurement({}, tables={"styles": by_style})


def _styled(pair: Pair) -> tuple[NDArray[np.int64], dict[str, Sequence[int]]]:
    """Places among the held-out items of those that every style has and whose label another has; the rows by style."""
    place = {pair.asking[row].id: i for i, row in enumerate(pair.holdout.test.tolist())}
    of_style: dict[str, dict[int, int]] = {}
    for row, item in enumerate(pair.styled):
        if item.base in place and item.style is not None:
            of_style.setdefault(item.style, {})[place[item.base]] = row
    paired = set(np.flatnonzero(~np.isnan(_of_teacher(pair, ALONE).rank)).tolist())
    contents = sorted(paired.intersection(*of_style.values())) if of_style else []
    return np.array(contents, np.int64), {style: [rows[i] for i in contents] for style, rows in of_style.items()}
