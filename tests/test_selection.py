"""Selection policies on small pools with a known answer."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embalign.alignment import selection
from embalign.alignment.selection import POLICIES, density, draw_pool, head, selection_order
from embalign.errors import SelectionError

pytestmark = pytest.mark.instrument


@pytest.fixture(scope="module")
def pool():
    """60 unit vectors: a tight cluster of 40 and 20 far apart."""
    generator = np.random.default_rng(0)
    centre = generator.standard_normal(30)
    vectors = np.concatenate([centre + 0.1 * generator.standard_normal((40, 30)), generator.standard_normal((20, 30))])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def large_pool():
    """3,000 unit vectors in 60 clusters of unequal size and width."""
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((60, 16)) + 0.5
    of_item = generator.choice(60, size=3000, p=generator.dirichlet(np.ones(60)))
    width = generator.choice([0.2, 0.5, 1.0], size=(3000, 1))
    vectors = centres[of_item] + width * generator.standard_normal((3000, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def coverage(draft, picked):
    """The pool's mean similarity to its nearest picked item, in [0, 1]."""
    return float(((1 + draft @ draft[picked].T) / 2).max(axis=1).mean())


@pytest.mark.parametrize("policy", POLICIES)
def test_an_order_names_every_item_once_and_repeats(pool, policy):
    order = selection_order(policy, pool, seed=1)
    assert sorted(order) == list(range(60))
    assert (order == selection_order(policy, pool, seed=1)).all()


def test_density_takes_the_tight_cluster_first(pool):
    assert set(selection_order("density", pool, seed=0)[:40]) == set(range(40))


def test_density_is_the_mean_cosine_to_the_nearest_others(pool):
    similarity = pool.astype(np.float64) @ pool.T.astype(np.float64)
    np.fill_diagonal(similarity, -np.inf)
    expected = np.sort(similarity, axis=1)[:, -10:].mean(axis=1)
    np.testing.assert_allclose(density(pool), expected, atol=1e-5)


def test_coverage_spreads_over_clusters(pool):
    """Its first items take in the scattered ones, where density has none of them."""
    assert np.mean(selection_order("coverage", pool, seed=0)[:8] >= 40) > 0.3


def test_sparse_is_density_backwards(pool):
    order = selection_order("sparse", pool, seed=0)
    assert (np.diff(density(pool)[order]) >= 0).all()


def test_kcenter_always_takes_the_item_farthest_from_those_it_has(pool):
    order = selection_order("kcenter", pool, seed=0)
    for count in range(1, len(order)):
        nearest = (pool @ pool[order[:count]].T).max(axis=1)
        left = order[count:]
        assert nearest[left[0]] <= nearest[left].min() + 1e-6


def test_facility_location_takes_what_covers_the_pool_best_in_every_step(pool):
    """The lazy evaluation gives the gains of the plain greedy algorithm."""
    similarity = ((1 + pool @ pool.T) / 2).astype(np.float64)
    covered = np.zeros(len(pool))
    order = selection_order("facility", pool, seed=0)
    for count, item in enumerate(order):
        gains = np.maximum(similarity - covered, 0).sum(axis=1)
        assert gains[item] >= gains[order[count:]].max() - 1e-4
        covered = np.maximum(covered, similarity[item])


@pytest.fixture
def sampled(monkeypatch):
    """Facility location in samples of 300 items, 20 picks from each."""
    monkeypatch.setattr(selection, "SAMPLE", 300)
    monkeypatch.setattr(selection, "PICKS", 20)


@pytest.mark.usefixtures("sampled")
def test_sampled_facility_location_names_every_item_once_and_repeats(large_pool):
    order = selection_order("facility", large_pool, seed=1)
    assert sorted(order) == list(range(3000))
    assert (order == selection_order("facility", large_pool, seed=1)).all()
    assert (order != selection_order("facility", large_pool, seed=2)).any()


@pytest.mark.parametrize(
    ("count", "kept"), [(10, 0.75), (30, 0.75), (100, 0.6), (300, 0.45), (1000, 0.75), (2000, 0.9)]
)
def test_sampled_facility_location_keeps_much_of_what_the_exact_one_has_over_chance(large_pool, request, count, kept):
    """Though it sees a tenth of the items at once."""
    exact = selection_order("facility", large_pool, seed=0)
    request.getfixturevalue("sampled")
    found = selection_order("facility", large_pool, seed=0)
    random = selection_order("random", large_pool, seed=0)
    best, reached, chance = (coverage(large_pool, order[:count]) for order in (exact, found, random))
    assert kept < (reached - chance) / (best - chance) < 1.02


def test_kcenter_in_windows_is_kcenter(large_pool, monkeypatch):
    whole = selection_order("kcenter", large_pool, seed=0)
    for window in (1, 50, 2999):
        monkeypatch.setattr(selection, "WINDOW", window)
        assert (selection_order("kcenter", large_pool, seed=0) == whole).all()


def test_density_in_blocks_is_density(large_pool, monkeypatch):
    whole = density(large_pool)
    monkeypatch.setattr(selection, "SIMILARITIES", 2**18)
    np.testing.assert_allclose(density(large_pool), whole, atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
def test_memory_is_far_below_a_similarity_for_each_pair(policy, monkeypatch):
    """6,000 items have 144 MB of them."""
    monkeypatch.setattr(selection, "SAMPLE", 1000)
    monkeypatch.setattr(selection, "SIMILARITIES", 2**21)
    draft = np.random.default_rng(2).standard_normal((6000, 8)).astype(np.float32)
    draft /= np.linalg.norm(draft, axis=1, keepdims=True)
    selection_order(policy, draft[:100], seed=0)  # what is imported on first use takes memory too
    tracemalloc.start()
    selection_order(policy, draft, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e7


def test_seeds_draw_different_random_orders(pool):
    assert (selection_order("random", pool, seed=0) != selection_order("random", pool, seed=1)).any()


@given(st.permutations(range(40)), st.floats(0.02, 1), st.floats(0.02, 1))
def test_smaller_subsets_lie_inside_larger_ones(order, one, other):
    small, large = (head(np.array(order), ratio) for ratio in sorted((one, other)))
    assert set(small) <= set(large)
    assert (np.diff(large) > 0).all()


@given(st.permutations(range(40)), st.floats(0.02, 1))
def test_a_subset_is_the_head_of_the_order_to_the_nearest_whole_item(order, ratio):
    assert head(np.array(order), ratio).tolist() == sorted(order[: round(40 * ratio)])


def test_a_pool_is_nine_tenths_of_the_training_rows():
    train = np.arange(100, 300)
    pools = [draw_pool(train, seed) for seed in (0, 0, 1)]
    assert len(pools[0]) == 180
    assert set(pools[0]) <= set(train)
    assert (pools[0] == pools[1]).all()
    assert set(pools[0]) != set(pools[2])


@pytest.mark.parametrize(
    ("ratio", "message"), [(0.01, "0.01 of 40 items rounds to no samples"), (0, "outside"), (1.5, "outside")]
)
def test_a_ratio_that_selects_nothing_is_an_error(ratio, message):
    with pytest.raises(SelectionError, match=message):
        head(np.arange(40), ratio)


def test_unknown_policy_is_named(pool):
    with pytest.raises(SelectionError, match="'dense'"):
        selection_order("dense", pool, seed=0)
