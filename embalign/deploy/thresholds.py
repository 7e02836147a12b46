"""The map of a pair as it is deployed, and the gate that goes with it in each deployment.

Three sets that share no label group keep the promise clean: the map is trained on the training items, which also choose
the score; the threshold is certified on the held-out items, seen by neither.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from embalign.deploy import RISK_TARGETS
from embalign.deploy.card import Threshold
from embalign.errors import CorpusError
from embalign.evaluation import gate
from embalign.evaluation.certificate import CONFIDENCE, certify
from embalign.evaluation.deployment import DEPLOYMENTS, Embedded, SearchTask, asked_by, vectors_of
from embalign.evaluation.gate import Outcomes, Scores
from embalign.evaluation.relevance import Rows
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import map_task, search_task
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

SCORES = {
    "margin": "similarity to the nearest neighbour minus that to the second nearest",
    "top1": "similarity to the nearest neighbour",
}
FOLDS = 5
MOST_ASKED = 10_000


def search_deployment(deployment: str, task: SearchTask, mapped: Embedded) -> Search:
    """Return what the queries of a deployment find. Raises CorpusError for an index too small for a margin."""
    check_size(task)
    return search_task(task, vectors_of(deployment, mapped, task.teacher))


def check_size(task: SearchTask) -> None:
    """Raise CorpusError for an index too small for a margin."""
    if task.index_size < 3:
        raise CorpusError(f"a margin needs two neighbours besides the query itself, found {task.index_size} items")


def training_task(pair: Pair) -> SearchTask:
    """Return what scores are chosen with: training texts ask, at most 10,000, and search each other."""
    queries = pair.holdout.train
    if pair.judgements is not None:
        queries = queries[np.isin(queries, pair.judgements.queries)]
    return asked_by(pair, sample(queries, MOST_ASKED), pair.holdout.train_documents)


def sample(rows: Rows, most: int) -> Rows:
    """Return at most so many of the rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).round().astype(int)])


def choose_scores(pair: Pair, weights: Vectors) -> dict[str, str]:
    """Return, by deployment, the score with the lower AUGRC on the training items.

    The map has not been trained on their labels.
    """
    return better_scores(search_all(weights, training_task(pair)))


def search_all(weights: Vectors, task: SearchTask) -> dict[str, Search]:
    """Return what the queries of every deployment find with a matrix W (d_teacher, d_draft)."""
    mapped = map_task(weights, task)
    return {name: search_deployment(name, task, mapped) for name in DEPLOYMENTS}


def better_scores(found: Mapping[str, Search]) -> dict[str, str]:
    """Return, by deployment, the score with the lower AUGRC of what was found."""
    return {
        name: min(SCORES, key=lambda score: gate.augrc(getattr(of_use, score), of_use.correct))
        for name, of_use in found.items()
    }


def certify_targets(task: SearchTask, found: Search, score: str) -> dict[float, Threshold]:
    """Return, for each risk target, the certified threshold or what is lacking."""
    targets = {}
    for target in RISK_TARGETS:
        own = certify(getattr(found, score), found.correct, risk_target=target, groups=task.groups)
        is_certified = own.threshold is not None
        targets[target] = Threshold(
            threshold=own.threshold,
            coverage=own.accepted / len(task.groups),
            risk_bound=own.bound if is_certified else None,
            lacking_accepts=own.lacking,
            index_size=task.index_size,
            promise=_promise(target, task) if is_certified else None,
        )
    return targets


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


def _promise(target: float, task: SearchTask) -> str:
    wrong = "not among the teacher's own ten nearest" if task.by_teacher else "wrong"
    return (
        f"with {100 * CONFIDENCE:g} % confidence, at most {100 * target:g} % of the accepted answers are {wrong}, for "
        f"queries drawn like the held-out ones and an index of {task.index_size} items like this one"
    )
