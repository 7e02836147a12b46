"""How the exported map is fitted: training for a tuned number of steps, or ridge, whichever searches better.

Steps and penalty are each chosen by mean cosine on label groups held out of the training items. Which of the two
recipes is better is asked of the same groups by what maps are judged by, nDCG@10 as a query adapter: the map of the
higher cosine is not always the one that finds more. The better one is then fitted on all training items.
"""

import math
from dataclasses import dataclass

import numpy as np

from embalign.alignment.closed_form import choose_penalty, solve_ridge
from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.inner import inner_split
from embalign.alignment.training import train_map
from embalign.alignment.tuning import tune_steps
from embalign.deploy.quality import NDCG
from embalign.evaluation.deployment import QUERY_ADAPTER, asked_by, vectors_of
from embalign.evaluation.scorecard import map_task, metrics_of, search_task
from embalign.evaluation.similarity import cosines
from embalign.pairs import Vectors
from embalign.pairs.holdout import Rows
from embalign.pairs.pair import Pair
from embalign.pairs.picked import pick
from embalign.verdicts.metrics import ALIGNMENT

TUNED, RIDGE = "tuned", "ridge"


@dataclass(frozen=True)
class Recipe:
    """The recipe that was taken, `tuned` or `ridge`, with the steps and the penalty of both.

    `inner` is what the choice rests on: by recipe, mean cosine and nDCG@10 as a query adapter on the inner groups; the
    cosine alone, which then decides, where nothing is known to be relevant to any of them. Where nothing can be held
    out it is empty, and `tuned` is taken. `steps_and_penalty_by` is what these were chosen by.
    """

    name: str
    steps: int
    penalty: float
    inner: dict[str, dict[str, float]]
    steps_and_penalty_by: str = ALIGNMENT


def fit_better(pair: Pair, seed: int = 0, config: TrainingConfig = DEFAULT) -> tuple[Vectors, Recipe]:
    """Return the map (d_teacher, d_draft) fitted on every training item by the better recipe, and which that is."""
    fitted = pair.fitted_on()
    rows = fitted.train
    draft, teacher, groups = pick(fitted.draft, rows), pick(fitted.teacher, rows), fitted.groups[rows]
    steps = tune_steps(draft, teacher, groups, seed=seed, most=config.steps_for(len(rows)), config=config)
    penalty = choose_penalty(draft, teacher, groups)

    def fit(name: str, chosen: Rows) -> Vectors:
        if name == RIDGE:
            return solve_ridge(pick(draft, chosen), pick(teacher, chosen), penalty)
        return train_map(pick(draft, chosen), pick(teacher, chosen), seed=seed, config=config, steps=steps).weights

    inner = inner_split(groups)
    if inner is None:
        return fit(TUNED, np.arange(len(rows))), Recipe(TUNED, steps, penalty, {})
    found = {name: _score(pair, fit(name, inner.fit), rows[inner.check]) for name in (TUNED, RIDGE)}
    better = max(found, key=lambda name: found[name].get(NDCG, found[name][ALIGNMENT]))
    return fit(better, np.arange(len(rows))), Recipe(better, steps, penalty, found)


def _score(pair: Pair, weights: Vectors, queries: Rows) -> dict[str, float]:
    """What a map gives training queries that it was not fitted on, with the training documents as the index."""
    asked = queries if pair.judgements is None else queries[np.isin(queries, pair.judgements.queries)]
    task = asked_by(pair, queries, pair.holdout.train_documents)
    mapped = map_task(weights, task)
    cosine = float(cosines(mapped.queries, task.teacher.queries).mean())
    if len(asked) == 0:
        return {ALIGNMENT: cosine}
    ndcg = metrics_of(search_task(task, vectors_of(QUERY_ADAPTER, mapped, task.teacher)))[NDCG]
    return {ALIGNMENT: cosine} if math.isnan(ndcg) else {ALIGNMENT: cosine, NDCG: ndcg}
