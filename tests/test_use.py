"""Whether a map beats no map: the raw draft's own search, in each deployment."""

import numpy as np
import pytest
from scipy import stats

from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.results import collect
from embalign.experiments import references
from embalign.verdicts import use
from embalign.verdicts.use import judge_uses

COLUMNS = [f"{name}_ndcg_at_10" for name in DEPLOYMENTS]
RETENTION = [f"{name}_retention_ndcg_at_10" for name in DEPLOYMENTS]


def cells(values, by_label=None):
    """One arm's cells: `values` (deployments, seeds), with values by label (deployments, seeds, labels) or none."""
    found = []
    for seed in range(np.shape(values)[1]):
        metrics = {name: float(of_seed[seed]) for name, of_seed in zip(COLUMNS, values, strict=True)}
        metrics |= {name: float(of_seed[seed]) / 0.8 for name, of_seed in zip(RETENTION, values, strict=True)}
        labels = {} if by_label is None else dict(zip(COLUMNS, by_label[:, seed].astype(np.float32), strict=True))
        found.append(({"arm": "any", "draw": 0, "seed": seed}, Measurement(metrics, labels)))
    return collect(found)


def by_topic(level, noise, seeds=5, labels=40, topics=0.2):
    """Topics of very different difficulty, the same for whoever is given them, and noise of each arm's own."""
    difficulty = np.random.default_rng(7).normal(0, topics, labels)
    values = (
        np.array(level)[:, None, None] + difficulty + noise * np.random.default_rng(8).normal(size=(3, seeds, labels))
    )
    return cells(values.mean(axis=2), values)


def judged(of_map, of_draft):
    """The map in each deployment, held against a raw draft and references that have 0.8 by the teacher."""
    others = cells(np.full((3, 3), 0.8))
    return judge_uses(of_map, {"draft": of_draft, "untrained": others, "teacher": others, "chance": others})


def test_the_references_that_are_judged_are_those_that_are_measured():
    assert use.REFERENCES == references.REFERENCES


def test_each_deployment_has_a_verdict_of_its_own():
    uses, unused = judged(by_topic([0.25, 0.4, 0.3], 0.02), by_topic([0.3, 0.3, 0.3], 0.0))
    assert {name: found.answer for name, found in uses.items()} == {
        "query_adapter": "worse",
        "index_migration": "better",
        "draft_only": "not shown",
    }
    assert unused == {}
    for found, difference in zip(uses.values(), (-0.05, 0.1, 0.0), strict=True):
        assert found.value - found.no_map == pytest.approx(found.difference.mean, abs=1e-6)
        assert found.difference.mean == pytest.approx(difference, abs=0.01)
        assert found.retention.mean == pytest.approx(found.value / found.teacher, abs=1e-6)


def test_differences_are_paired_by_topic():
    """Topics differ by 0.2, both arms by 0.01 on each: pairing sees it, two means would not."""
    uses, _ = judged(by_topic([0.31, 0.3, 0.3], 0.005), by_topic([0.3, 0.3, 0.3], 0.0))
    assert uses["query_adapter"].answer == "better"
    assert uses["query_adapter"].difference.standard_error < 0.002


def test_the_bound_is_students_one_sided_one():
    """Seeds alone: scipy's paired test is the oracle, and 0.05 on one side is where the answer changes."""
    of_map = np.random.default_rng(0).normal(0.02, 0.03, (3, 6)) + 0.3
    of_draft = np.full((3, 6), 0.3)
    uses, _ = judged(cells(of_map), cells(of_draft))
    for found, values in zip(uses.values(), of_map, strict=True):
        test = stats.ttest_rel(values, of_draft[0], alternative="greater")
        assert found.as_record()["lower_bound"] == pytest.approx(test.confidence_interval(0.95).low)
        assert (found.answer == "better") == (test.pvalue < 0.05)


def test_what_was_not_measured_has_no_verdict():
    measured = cells(np.full((3, 3), 0.5) + np.arange(3) / 100)
    uses, unused = judged(measured.where(arm="other"), measured)
    assert (uses, set(unused.values())) == ({}, {"no map was measured on all of the data"})
    assert judged(measured, measured.where(seed=0))[0] == {}
    assert judged(measured, measured.where(arm="other"))[1]["draft_only"] == "the reference draft was not measured"


def test_other_seeds_and_a_single_seed_are_named_as_the_reason():
    others = by_topic([0.3, 0.3, 0.3], 0.0)
    assert "with the same seeds" in judged(by_topic([0.4, 0.4, 0.4], 0.02, seeds=4), others)[1]["query_adapter"]
    single = by_topic([0.4, 0.4, 0.4], 0.02, seeds=1)
    assert judged(single, single)[1]["query_adapter"] == "at least two seeds (and items) are needed, found 1"
