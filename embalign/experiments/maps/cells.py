"""The cells of the bake-off: fit a family's map for each deployment on a share of the pool, and search in both ways."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embalign.alignment.own_map import fit_own
from embalign.evaluation import scorecard
from embalign.evaluation.deployment import QUERY_ADAPTER
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.retrieval import Search
from embalign.evaluation.similarity import cosines
from embalign.experiments.fits import Share, ceiling_of, rows_of, search_task_of
from embalign.experiments.references import score_reference
from embalign.lazy import Reference
from embalign.maps.choose import Chosen, fit_for, fitted_texts
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS, Map
from embalign.maps.searches import CSLS, Sample, column, find_by_each, find_without_map, sample_of
from embalign.maps.training import Family, Training
from embalign.maps.transforms import Affine
from embalign.pairs.pair import Pair
from embalign.verdicts.metrics import ALIGNMENT
from embalign.verdicts.use import NO_MAP

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell


def measure_family(pair: Pair, cell: Cell) -> Measurement:
    """Return what a family's map finds in each deployment, by each way of searching: columns as `column` names them.

    Beside them stand, for each deployment, `_inner`, the nDCG@10 on inner groups of the training items that a family is
    chosen by, and what the map takes: `_pairs` to fit, `_bytes` to keep, and `_multiplications` for a query. The table
    `tries` holds the nDCG@10 of every try. The family may be a function of one's own: see
    :func:`embalign.alignment.own_map.fit_own`.
    """
    family = _own(cell["family"]) if isinstance(cell["family"], Reference) else _family(cell["family"])
    kinds = dict.fromkeys(fitted_texts(pair, deployment) for deployment in DEPLOYMENTS)
    rows = {kind: rows_of(pair, Share("random", cell["ratio"], fit_on=kind), cell.seed) for kind in kinds}
    chosen = fit_for(family, pair, rows, cell.seed)
    scored = Measurement(_sizes(pair, len(rows["queries"])), tables={"tries": _tries(family, chosen)})
    for deployment, found in chosen.items():
        fitted_on = len(rows[fitted_texts(pair, deployment)])
        scored |= _score(pair, found.map, deployment) | Measurement(_facts(found, deployment, fitted_on))
    return scored | _alignment(pair, chosen[QUERY_ADAPTER].map)


def measure_reference(pair: Pair, cell: Cell) -> Measurement:
    """Return what a map is held against: the raw draft, by both ways of searching, and the teacher."""
    name = cell["reference"]
    scored = score_reference(pair, name, cell.seed)
    return scored | _no_map(pair) if name == NO_MAP else scored


@functools.lru_cache(maxsize=4)
def _no_map(pair: Pair) -> Measurement:
    """The raw draft's own search by CSLS: the same in every deployment and for every seed."""
    found = find_without_map(search_task_of(pair), _sample(pair), CSLS)
    scored = Measurement({})
    for deployment in DEPLOYMENTS:
        scored |= _columns(pair, deployment, CSLS, found)
    return scored


def _score(pair: Pair, fitted: Map, deployment: str) -> Measurement:
    scored = Measurement({})
    for how, found in find_by_each(fitted, search_task_of(pair), deployment, _sample(pair)).items():
        scored |= _columns(pair, deployment, how, found)
    return scored


def _columns(pair: Pair, deployment: str, how: str, found: Search) -> Measurement:
    prefix = column(deployment, how, "").removesuffix("_")
    return scorecard.score_deployment(prefix, search_task_of(pair), found, ceiling_of(pair))


@functools.lru_cache(maxsize=4)
def _sample(pair: Pair) -> Sample:
    return sample_of(pair, np.arange(len(pair.asking)))


def _sizes(pair: Pair, count: int) -> dict[str, float]:
    return {"n_train": count, "n_over_d": count / pair.draft.shape[1]}


def _facts(found: Chosen, deployment: str, pairs: int) -> dict[str, float]:
    of_queries, _ = found.map.sides(deployment)
    inner = {column(deployment, how, "inner"): value for how, value in found.inner.items()}
    return inner | {
        f"{deployment}_pairs": pairs,
        f"{deployment}_bytes": found.map.size(deployment),
        f"{deployment}_multiplications": of_queries.multiplications,
    }


def _alignment(pair: Pair, fitted: Map) -> Measurement:
    """The mean cosine of mapped queries to the teacher's, for a map into the teacher's space."""
    task = search_task_of(pair)
    mapped = fitted.asked(QUERY_ADAPTER, task.draft.queries, task.teacher.queries)
    if mapped.shape != task.teacher.queries.shape or fitted.teacher_index.kind != "unchanged":
        return Measurement({})
    cosine = cosines(mapped, task.teacher.queries)
    return Measurement({ALIGNMENT: float(cosine.mean())}, scorecard.by_label(task.blocks, **{ALIGNMENT: cosine}))


def _tries(family: Family, chosen: dict[str, Chosen]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for deployment, found in chosen.items():
        for setting, value in zip(family.settings, found.tries, strict=True):
            words = ", ".join(f"{name} {each:g}" for name, each in setting.items())
            taken = setting == found.setting
            rows.append({"deployment": deployment, "setting": words, "ndcg_at_10": value, "taken": taken})
    return pd.DataFrame(rows)


def _family(name: str) -> Family:
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ValueError(f"family {name!r} is unknown: choose one of {known}, or give a function of your own")
    return FAMILIES[name]


def _own(function: Reference) -> Family:
    """A family of one's own, with one try: a function of draft, teacher, label groups and seed that returns W."""

    def fit(training: Training, _: dict[str, float]) -> Map:
        weights = fit_own(function.resolve(), training.draft, training.teacher, training.groups, training.seed)
        linear = Affine.of(weights)
        return Map(query=linear, index=linear)

    return Family(str(function), str(function), "of one's own", ({},), fit)
