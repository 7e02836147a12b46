"""Which map? Families of maps in both deployments that need one, searched by cosine and by CSLS, and a verdict.

pytest benchmark/ -k maps
"""

import math

import pytest

from embalign.experiments import maps
from embalign.experiments.grid import Experiment, Table, grid

FAMILIES = [
    *["ridge", "affine", "procrustes", "deshrunk", "reversed", "lowrank"],
    *["kernel", "cosine", "contrastive", "residual"],
]

MAPS = Experiment(
    name="maps",
    report=maps.report.write_report,
    conclusion=maps.conclusion.conclude,
    quick_seeds=3,
    full_seeds=5,
    checked=(
        *("query_adapter_ndcg_at_10", "query_adapter_csls_ndcg_at_10"),
        *("index_migration_ndcg_at_10", "index_migration_csls_ndcg_at_10"),
    ),
    tables=(
        Table(
            name="map_bakeoff",
            measure=maps.cells.measure_family,
            # The family changes fastest: those that follow each other share sums of one training set.
            quick=grid(ratio=[0.10, 0.30, 1.00], family=FAMILIES),
            full=grid(ratio=[0.03, 0.10, 0.20, 0.30, 0.50, 1.00], family=FAMILIES),
            regression=grid(ratio=[0.30], family=["ridge", "deshrunk", "contrastive"]),
        ),
        Table(
            name="references",
            measure=maps.cells.measure_reference,
            quick=grid(reference=["mean_vector", "untrained", "chance", "draft", "teacher"]),
        ),
    ),
)


@pytest.mark.cells(MAPS, "map_bakeoff")
def test_maps(cell, embeddings, seed, measure):
    """A family's map, its try chosen inside the share, can be searched with in both deployments."""
    metrics = measure(cell, embeddings, seed).metrics
    assert math.isfinite(metrics["query_adapter_ndcg_at_10"])
    assert math.isfinite(metrics["index_migration_csls_ndcg_at_10"])


@pytest.mark.cells(MAPS, "references")
def test_maps_reference(cell, embeddings, seed, measure):
    """What the maps are held against can be scored on the same queries."""
    assert len(measure(cell, embeddings, seed).metrics) >= 3
