"""One cell of the gate experiment, from pair to row: a map of experiment 1 or 2, its accept curve, its promise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from embalign.alignment.terms import Setting
from embalign.alignment.training import apply_map
from embalign.deploy.thresholds import TARGETS, check_promise, choose_score, train_pair_map
from embalign.evaluation import gate, styles
from embalign.evaluation.certificate import certify
from embalign.evaluation.similarity import cosines
from embalign.experiments.elbow.cells import fit_on_share
from embalign.experiments.spectral.cells import train_arm
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell, Row

COVERAGES = tuple(range(5, 101, 5))  # percent
# The gate's name of a loss term -> experiment 2's arm.
ARM_OF = {"none": "baseline", "amplitude": "spectral", "scrambled": "signed_permutation", "norm": "norm_only"}


def measure_ratio_gate(pair: Pair, cell: Cell) -> Row:
    """Return the accept curve of a map fitted on a random share of the pool with fixed steps."""
    weights, _ = fit_on_share(pair, "random", "steps", cell["ratio"], cell.seed)
    return _accept_curve(pair, weights)


def measure_arm_gate(pair: Pair, cell: Cell) -> Row:
    """Return the accept curve of a map trained with a loss term, and how steady it is over surface styles.

    ``arm`` is what experiment 2 calls the term.
    """
    arm = ARM_OF[cell["term"]]
    trained, _ = train_arm(pair, arm, Setting.named(cell["convention"], cell["lambda"]), 0, cell.seed)
    return {"arm": arm, **_accept_curve(pair, trained.weights), **_over_styles(pair, trained.weights)}


def measure_deployed_gate(pair: Pair, cell: Cell) -> Row:
    """Return the exported map's accept curve, its score, the check of its promise, and every held-out output.

    The check: thresholds certified on four fifths of the label groups, seen on the remaining fifth, five times.
    """
    weights = train_pair_map(pair, cell.seed)
    test = pair.holdout.test
    mapped, labels = apply_map(weights, pair.draft[test]), pair.labels[test]
    found, correct = gate.leave_one_out(mapped, labels)
    score = choose_score(pair, weights)
    row: Row = {"score": score, **_accept_curve(pair, weights)}
    for target in TARGETS:
        certified, accepted = check_promise(getattr(found, score), correct, labels, target)
        name = f"check_{round(100 * target):02d}"
        row |= {f"{name}_folds": certified, f"{name}_accepted": int(accepted.sum())}
        row[f"{name}_wrong"] = int((accepted & ~correct).sum())
    outputs = {
        "id": [pair.items[i].id for i in test],
        "label": labels.tolist(),
        "top1": found.top1.tolist(),
        "margin": found.margin.tolist(),
        "correct": correct.astype(int).tolist(),
    }
    return row | {"outputs": json.dumps(outputs)}


def _accept_curve(pair: Pair, weights: Vectors) -> Row:
    """The curve of each score at fixed coverages, its areas, and its certified thresholds by risk target."""
    test = pair.holdout.test
    mapped, teacher, labels = apply_map(weights, pair.draft[test]), pair.teacher[test], pair.labels[test]
    found, correct = gate.leave_one_out(mapped, labels)
    of_teacher, _ = gate.leave_one_out(teacher, labels)
    row: Row = {
        "accuracy": float(correct.mean()),
        "teacher_agreement": float((found.nearest == of_teacher.nearest).mean()),
    }
    coverage = np.array(COVERAGES) / 100
    for name, scores in (("top1", found.top1), ("margin", found.margin), ("oracle", cosines(mapped, teacher))):
        row |= {f"{name}_{area.__name__}": area(scores, correct) for area in (gate.augrc, gate.aurc, gate.e_aurc)}
        thresholds = np.sort(scores)[::-1][np.ceil(coverage * len(scores)).astype(int) - 1]
        risks = gate.selective_risk(scores, correct, coverage)
        for percent, threshold, risk in zip(COVERAGES, thresholds, risks, strict=True):
            row |= {f"{name}_threshold_{percent:03d}": float(threshold), f"{name}_risk_{percent:03d}": float(risk)}
    for name in ("top1", "margin"):
        for target in TARGETS:
            certificate = certify(getattr(found, name), correct, risk_target=target, groups=labels)
            key = f"{name}_certified_{round(100 * target):02d}"
            row[f"{key}_coverage"] = certificate.accepted / len(test)
            if certificate.threshold is not None:
                row |= {f"{key}_threshold": certificate.threshold, f"{key}_bound": certificate.bound}
            elif certificate.lacking is not None:
                row[f"{key}_lacking"] = certificate.lacking
    return row


def _over_styles(pair: Pair, weights: Vectors) -> Row:
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
        return {}
    mapped = apply_map(weights, pair.draft[test])
    outcomes = {styles.PLAIN: styles.style_outcomes(mapped[own], mapped, own, groups)}
    for style, rows in of_style.items():
        queries = apply_map(weights, pair.styled_draft[[rows[i] for i in own]])
        outcomes[style] = styles.style_outcomes(queries, mapped, own, groups)
    return styles.score_styles(outcomes, pair.labels[test][own])
