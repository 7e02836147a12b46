"""The cells of the gate experiment, from pair to numbers: a map, its accept curve, its promise, its steadiness."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from embalign.alignment.setting import Setting
from embalign.alignment.training import apply_map
from embalign.deploy import RISK_TARGETS
from embalign.deploy.thresholds import check_promise, choose_score, train_pair_map
from embalign.evaluation import gate, styles
from embalign.evaluation.certificate import certify
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.similarity import cosines
from embalign.experiments.arms import Arm, train_arm
from embalign.experiments.fits import Share, fit_on_share
from embalign.experiments.gate.protocol import ARM_OF
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell

COVERAGES = tuple(percent / 100 for percent in range(5, 101, 5))


def measure_ratio_gate(pair: Pair, cell: Cell) -> Measurement:
    """Return the accept curve of a map fitted on a random share of the pool with fixed steps."""
    weights, _ = fit_on_share(pair, Share("random", cell["ratio"]), cell.seed, cell.training)
    return _accept_curve(pair, weights)


def measure_arm_gate(pair: Pair, cell: Cell) -> Measurement:
    """Return the accept curve of a map trained with a loss term, and how steady it is over surface styles."""
    arm = Arm(ARM_OF[cell["term"]], Setting.named(cell["convention"], cell["lambda"]))
    trained, _ = train_arm(pair, arm, cell.seed, cell.training)
    return _accept_curve(pair, trained.weights) | _over_styles(pair, trained.weights)


def measure_deployed_gate(pair: Pair, cell: Cell) -> Measurement:
    """Return the exported map's accept curve, its score, the check of its promise, and every held-out output.

    The check: thresholds certified on four fifths of the label groups, applied to the remaining fifth, five times.
    """
    weights = train_pair_map(pair, cell.seed, cell.training)
    test = pair.holdout.test
    mapped, labels = apply_map(weights, pair.draft[test]), pair.labels[test]
    found, correct = gate.leave_one_out(mapped, labels)
    score = choose_score(pair, weights)
    checks = []
    for target in RISK_TARGETS:
        folds, accepted = check_promise(getattr(found, score), correct, labels, target)
        checks.append((target, folds, int(accepted.sum()), int((accepted & ~correct).sum())))
    outputs = {
        "id": [pair.items[i].id for i in test],
        "label": labels.tolist(),
        "top1": found.top1,
        "margin": found.margin,
        "correct": correct.astype(int),
    }
    tables = {
        "choice": pd.DataFrame({"score": [score]}),
        "check": pd.DataFrame(checks, columns=["target", "folds", "accepted", "wrong"]),
        "outputs": pd.DataFrame(outputs),
    }
    return _accept_curve(pair, weights) | Measurement({}, tables=tables)


def _accept_curve(pair: Pair, weights: Vectors) -> Measurement:
    """The curve of each score at fixed coverages, its areas, and its certified thresholds by risk target."""
    test = pair.holdout.test
    mapped, teacher, labels = apply_map(weights, pair.draft[test]), pair.teacher[test], pair.labels[test]
    found, correct = gate.leave_one_out(mapped, labels)
    of_teacher, _ = gate.leave_one_out(teacher, labels)
    metrics = {
        "accuracy": float(correct.mean()),
        "teacher_agreement": float((found.nearest == of_teacher.nearest).mean()),
    }
    coverage = np.array(COVERAGES)
    curves = []
    for name, scores in (("top1", found.top1), ("margin", found.margin), ("oracle", cosines(mapped, teacher))):
        metrics |= {f"{name}_{area.__name__}": area(scores, correct) for area in (gate.augrc, gate.aurc, gate.e_aurc)}
        thresholds = np.sort(scores)[::-1][np.ceil(coverage * len(scores)).astype(int) - 1]
        risks = gate.selective_risk(scores, correct, coverage)
        curves.append(pd.DataFrame({"score": name, "coverage": coverage, "threshold": thresholds, "risk": risks}))
    certificates = []
    for name, target in itertools.product(("top1", "margin"), RISK_TARGETS):
        own = certify(getattr(found, name), correct, risk_target=target, groups=labels)
        bound = None if own.threshold is None else own.bound
        certificates.append((name, target, own.accepted / len(test), own.threshold, bound, own.lacking))
    columns = ["score", "target", "coverage", "threshold", "bound", "lacking"]
    tables = {
        "accept_curve": pd.concat(curves, ignore_index=True),
        "certificates": pd.DataFrame(certificates, columns=columns),
    }
    return Measurement(metrics, tables=tables)


def _over_styles(pair: Pair, weights: Vectors) -> Measurement:
    """Metrics by surface style over the test items that every style has; nothing where a pair has no variants."""
    test = pair.holdout.test
    place = {pair.items[row].id: i for i, row in enumerate(test)}
    of_style: dict[str, dict[int, int]] = {}
    for row, item in enumerate(pair.styled):
        if item.base in place and item.style is not None:
            of_style.setdefault(item.style, {})[place[item.base]] = row
    groups = np.unique(pair.labels[test], return_inverse=True)[1]
    paired = {i for i in range(len(test)) if (groups == groups[i]).sum() > 1}
    own = np.array(sorted(paired.intersection(*of_style.values())), dtype=np.int64) if of_style else np.array([], int)
    if len(own) == 0:
        return Measurement({})
    mapped = apply_map(weights, pair.draft[test])
    outcomes = {styles.PLAIN: styles.style_outcomes(mapped[own], mapped, own, groups)}
    for style, rows in of_style.items():
        queries = apply_map(weights, pair.styled_draft[[rows[i] for i in own]])
        outcomes[style] = styles.style_outcomes(queries, mapped, own, groups)
    return styles.score_styles(outcomes, pair.labels[test][own])
