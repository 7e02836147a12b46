"""Recipes chosen inside the training items: the inner split, tuned steps, and the better recipe of an export."""

import numpy as np
import pytest

from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.inner import inner_split
from embalign.alignment.training import apply_map, train_map
from embalign.alignment.tuning import DIMENSIONS, FEWEST, _peak, _sample_of_dimensions, tune_steps
from embalign.deploy.recipe import RIDGE, TUNED, fit_better
from embalign.evaluation.similarity import cosines
from embalign.experiments.fits import Share, fit_on_share, fitted_on, pool_of, rows_of

pytestmark = pytest.mark.instrument


@pytest.mark.parametrize("sizes", [[1] * 40, [3] * 20, [50, 1, 1, 1], [5, 5], list(range(1, 30))])
def test_the_inner_split_holds_out_a_fifth_in_whole_groups(sizes):
    groups = np.repeat([f"g{i}" for i in range(len(sizes))], sizes)
    inner = inner_split(groups)
    assert sorted([*inner.fit, *inner.check]) == list(range(len(groups)))
    assert not set(groups[inner.fit]) & set(groups[inner.check])
    fewest = min(sizes)
    assert fewest <= len(inner.check) <= max(fewest, len(groups) // 5)
    assert len(inner.check) > len(groups) // 5 - max(sizes)
    order = np.random.default_rng(0).permutation(len(groups))
    assert set(groups[order][inner_split(groups[order]).check]) == set(groups[inner.check])


@pytest.mark.parametrize("groups", [["a"] * 10, ["a"] * 9 + ["b"], ["a", "b"]])
def test_there_is_always_something_to_fit_and_to_check_on(groups):
    inner = inner_split(np.array(groups))
    assert min(len(inner.fit), len(inner.check)) >= 1


def test_a_single_item_cannot_be_split():
    assert inner_split(np.array(["a"])) is None
    one = np.ones((1, 4), np.float32) / 2
    assert tune_steps(one, one, np.array(["a"]), seed=0, most=300) == 300


@pytest.mark.parametrize("ratio", [0.05, 0.2, 0.5])
def test_tuned_steps_come_near_the_best_number_there_is(smollm2, ratio):
    """Near what the best of many numbers gives on the held-out items, which choosing it has not seen."""
    found = fit_on_share(smollm2, Share("random", ratio, "tuned"), 0, DEFAULT)
    fitted, rows = fitted_on(smollm2), rows_of(smollm2, Share("random", ratio), 0)
    test = smollm2.holdout.test

    def held_out(weights):
        return float(cosines(apply_map(weights, fitted.draft[test]), fitted.teacher[test]).mean())

    draft, teacher = fitted.draft[rows], fitted.teacher[rows]
    best = max(held_out(train_map(draft, teacher, seed=0, steps=steps).weights) for steps in (50, 90, 160, 280, 400))
    assert held_out(found.weights) > best - 0.01
    fixed = fit_on_share(smollm2, Share("random", ratio, "steps"), 0, DEFAULT)
    assert found.facts["steps"] < fixed.facts["steps"]
    assert held_out(found.weights) > held_out(fixed.weights)


def test_few_items_get_fewer_steps_than_many(smollm2):
    """And never more than the fixed ones, which are what is left where the largest number does best."""
    steps = [fit_on_share(smollm2, Share("random", ratio), 0, DEFAULT).facts["steps"] for ratio in (0.1, 0.3, 1.0)]
    assert FEWEST <= steps[0] < steps[1] < steps[2] <= DEFAULT.steps_for(len(pool_of(smollm2, 0)))


def test_whole_pools_of_all_budgets_of_as_many_steps_are_one_training(smollm2):
    budgets = [fit_on_share(smollm2, Share("random", 1.0, budget), 0, DEFAULT) for budget in ("steps", "epochs")]
    assert budgets[0].weights is budgets[1].weights
    assert [bool(found.trajectory) for found in budgets] == [True, False]


def test_an_unknown_budget_is_refused(smollm2):
    with pytest.raises(ValueError, match="budget 'step' is unknown: choose one of tuned, steps, epochs, closed_form"):
        fit_on_share(smollm2, Share("random", 0.1, "step"), 0, DEFAULT)


def test_the_best_length_is_read_off_a_parabola_in_its_logarithm():
    curve = [(steps, 0.5 - (np.log2(steps) - np.log2(130)) ** 2) for steps in (50, 100, 200, 400)]
    assert _peak(curve) == 130
    assert _peak(curve[:1]) == 50
    assert _peak([(50, 0.3), (100, 0.4), (130, 0.5)]) == 130
    assert _peak([(50, 0.5), (100, 0.4)]) == 50


def test_lengths_are_compared_in_dimensions_of_every_size():
    """The largest dimension of many decides much of the cosine: it must not be over- or under-represented."""
    generator = np.random.default_rng(0)
    teacher = generator.standard_normal((50, 4 * DIMENSIONS)) * np.exp(generator.standard_normal(4 * DIMENSIONS))
    seen = _sample_of_dimensions(teacher)
    assert len(set(seen.tolist())) == DIMENSIONS
    rank = np.empty(4 * DIMENSIONS, int)
    rank[np.argsort(-(teacher**2).sum(axis=0))] = np.arange(4 * DIMENSIONS)
    np.testing.assert_array_equal(np.sort(rank[seen]) // 4, np.arange(DIMENSIONS))
    np.testing.assert_array_equal(_sample_of_dimensions(teacher[:, :7]), np.arange(7))


@pytest.fixture(scope="module")
def recipe(smollm2):
    return fit_better(smollm2, 0, DEFAULT)


def test_an_export_takes_the_recipe_that_searches_better(smollm2, recipe):
    weights, chosen = recipe
    assert set(chosen.inner) == {TUNED, RIDGE}
    better = max(chosen.inner, key=lambda name: chosen.inner[name]["ndcg_at_10"])
    assert chosen.name == better
    train = smollm2.holdout.train
    steps = train_map(smollm2.draft[train], smollm2.teacher[train], seed=0, steps=chosen.steps).weights
    assert (weights.tobytes() == steps.tobytes()) == (better == TUNED)


def test_the_recipe_is_ridge_where_training_cannot_do_well(smollm2, recipe):
    hopeless = TrainingConfig(steps=60, passes=0.1, learning_rate=1e-7)
    weights, chosen = fit_better(smollm2, 0, hopeless)
    assert chosen.name == RIDGE
    assert chosen.penalty == recipe[1].penalty
    assert cosines(apply_map(weights, smollm2.draft), smollm2.teacher).mean() > 0.6
