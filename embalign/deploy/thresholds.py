"""The map of a pair as it is deployed, and the gate that goes with it.

Three sets that share no label group keep the promise clean: the map is trained on the training items, which also choose
the score; the threshold is certified on the held-out items, seen by neither.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.training import apply_map, train_map
from embalign.deploy import RISK_TARGETS
from embalign.errors import CorpusError
from embalign.evaluation import gate
from embalign.evaluation.certificate import CONFIDENCE, certify
from embalign.evaluation.gate import Outcomes, Scores
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

SCORES = {"margin": "that minus the second similarity", "top1": "similarity to the nearest neighbour"}
FOLDS = 5


def train_pair_map(pair: Pair, seed: int = 0, config: TrainingConfig = DEFAULT) -> Vectors:
    """Return the map (d_teacher, d_draft) trained with the cosine loss on every training item of the pair."""
    rows = pair.holdout.train
    return train_map(pair.draft[rows], pair.teacher[rows], seed=seed, config=config).weights


def choose_score(pair: Pair, weights: Vectors) -> str:
    """Return the score with the lower AUGRC on the training items, whose labels the map has not been trained on."""
    rows = pair.holdout.train
    mapped, labels = apply_map(weights, pair.draft[rows]), pair.labels[rows]
    found, correct = gate.leave_one_out(mapped, labels)
    return min(SCORES, key=lambda score: gate.augrc(getattr(found, score), correct))


def check_promise(
    scores: Scores, correct: Outcomes, labels: NDArray[np.str_], risk_target: float
) -> tuple[int, NDArray[np.bool_]]:
    """Return in how many of five folds a threshold is certified on the other four, and which outputs (n,) it accepts.

    Folds are of whole label groups. Raises CorpusError for fewer label groups than folds.
    """
    if (groups := len(set(labels.tolist()))) < FOLDS:
        few = f"{groups} held-out label groups are too few to check a promise on"
        raise CorpusError(f"{few}; give at least {FOLDS * 5}")
    certified, accepted = 0, np.zeros(len(scores), dtype=bool)
    for rest, fold in GroupKFold(FOLDS).split(scores, groups=labels):
        certificate = certify(scores[rest], correct[rest], risk_target=risk_target, groups=labels[rest])
        if certificate.threshold is not None:
            certified += 1
            accepted[fold] = scores[fold] >= certificate.threshold
    return certified, accepted


def gate_of_map(pair: Pair, weights: Vectors) -> dict[str, Any]:
    """Return the gate of a map: its score and, for each risk target, the certified threshold or what is lacking."""
    test = pair.holdout.test
    mapped, labels = apply_map(weights, pair.draft[test]), pair.labels[test]
    found, correct = gate.leave_one_out(mapped, labels)
    score = choose_score(pair, weights)
    groups = len(set(labels.tolist()))
    targets = {}
    for target in RISK_TARGETS:
        certificate = certify(getattr(found, score), correct, risk_target=target, groups=labels)
        targets[f"{target:.2f}"] = {
            "threshold": certificate.threshold,
            "coverage": certificate.accepted / len(test),
            "risk_bound": None if certificate.threshold is None else certificate.bound,
            "lacking_accepts": certificate.lacking,
        }
    return {
        "score": score,
        "score_is": SCORES[score],
        "confidence": CONFIDENCE,
        "certified_on": f"{len(test)} held-out items of {groups} label groups, each searched in all others",
        "promise": "of outputs with this score or a higher one, at most the target's share is wrong, for queries and "
        "an index drawn like the held-out items",
        "targets": targets,
    }
