"""What a cell trains on and what it is scored on: a pool of its seed's own, never a label of the test set."""

import numpy as np
import pytest

from embalign.experiments.fits import pool_of, score_map

pytestmark = pytest.mark.instrument


def test_each_seed_trains_on_a_pool_of_its_own_from_the_training_rows(smollm2):
    pools = [pool_of(smollm2, seed) for seed in range(5)]
    assert len({pool.tobytes() for pool in pools}) == 5
    for pool in pools:
        assert set(pool) <= set(smollm2.holdout.train)


def test_no_item_and_no_label_of_a_pool_is_in_the_test_set(smollm2):
    test = smollm2.holdout.test
    for seed in range(5):
        pool = pool_of(smollm2, seed)
        assert not set(pool) & set(test)
        assert not set(smollm2.labels[pool]) & set(smollm2.labels[test])


def test_a_map_is_scored_on_the_test_set_alone(smollm2):
    """The mean cosine of the identity from the first teacher dimensions, by the definition."""
    test = smollm2.holdout.test
    d_teacher, d_draft = smollm2.teacher.shape[1], smollm2.draft.shape[1]
    weights = np.eye(d_teacher, d_draft, dtype=np.float32)
    mapped = smollm2.draft[test] @ weights.T
    cosine = (mapped * smollm2.teacher[test]).sum(axis=1) / np.linalg.norm(mapped, axis=1)
    assert abs(score_map(smollm2, weights, seed=0).metrics["cosine_mean"] - cosine.mean()) < 1e-4
