"""Experiment 1: how much alignment data is enough, and is the densest data the best?

pytest benchmark/ -k elbow
"""

import math

import pytest

from embalign.experiments import elbow
from embalign.experiments.grid import Experiment, Table, grid

QUICK_RATIOS = [0.01, 0.05, 0.10, 0.20, 0.50, 1.00]
FULL_RATIOS = [0.01, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.50, 0.70, 1.00]
POLICIES = ["random", "density", "coverage", "sparse", "kcenter", "facility"]
RECIPES = ["tuned", "steps", "closed_form"]

ELBOW = Experiment(
    name="elbow",
    report=elbow.report.write_report,
    conclusion=elbow.conclusion.conclude,
    quick_seeds=4,
    fewest_seeds=3,  # fewer say nothing of how a curve bends
    tables=(
        Table(
            name="data_ratio_vs_metrics",
            measure=elbow.cells.measure_ratio,
            quick=[
                *grid(policy=["random"], budget=RECIPES, ratio=QUICK_RATIOS),
                *grid(policy=["density"], budget=["closed_form"], ratio=QUICK_RATIOS),
            ],
            full=[
                *grid(policy=POLICIES, budget=["tuned"], ratio=FULL_RATIOS),
                *grid(policy=["random"], budget=["steps", "epochs"], ratio=FULL_RATIOS),
                *grid(policy=["random", "density"], budget=["closed_form"], ratio=FULL_RATIOS),
            ],
            regression=[
                *grid(policy=["random"], budget=["tuned"], ratio=[0.10]),
                *grid(policy=["random"], budget=["steps"], ratio=[0.10, 1.00]),
                *grid(policy=["density"], budget=["steps"], ratio=[0.10]),
                *grid(policy=["random"], budget=["closed_form"], ratio=[0.10]),
            ],
        ),
        Table(
            name="fit_on",
            measure=elbow.cells.measure_fit_on,
            own_queries=True,
            quick=grid(
                fit_on=["queries", "documents", "query_document"], budget=["tuned", "closed_form"], ratio=[0.10, 1.00]
            ),
        ),
        Table(
            name="index_size",
            measure=elbow.cells.measure_index_size,
            seeds=3,
            quick=grid(deployment=["query_adapter", "index_migration", "draft_only"]),
        ),
        Table(
            name="references",
            measure=elbow.cells.measure_reference,
            quick=grid(reference=["mean_vector", "untrained", "chance", "draft", "teacher"]),
        ),
    ),
)


@pytest.mark.cells(ELBOW, "data_ratio_vs_metrics")
def test_elbow(cell, embeddings, seed, measure):
    """A map fitted on a share of the pool can be scored on the held-out label groups, and followed as it is trained."""
    measured = measure(cell, embeddings, seed)
    assert math.isfinite(measured.metrics["cosine_mean"])
    assert (len(measured.tables.get("trajectory", [])) > 2) == (cell["budget"] == "steps")


@pytest.mark.cells(ELBOW, "fit_on")
def test_elbow_fit_on(cell, embeddings, seed, measure):
    """In a pair with queries of its own, a map can be fitted on queries, on documents, or from one to the other."""
    assert math.isfinite(measure(cell, embeddings, seed).metrics["cosine_mean"])


@pytest.mark.cells(ELBOW, "index_size")
def test_elbow_index_size(cell, embeddings, seed, measure):
    """The map of all data can be searched with in indexes of growing size."""
    assert measure(cell, embeddings, seed).tables["sizes"]["ndcg_at_10"].notna().all()


@pytest.mark.cells(ELBOW, "references")
def test_elbow_reference(cell, embeddings, seed, measure):
    """What the maps are held against can be scored on the same items."""
    assert len(measure(cell, embeddings, seed).metrics) >= 3
