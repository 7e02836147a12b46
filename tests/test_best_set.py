"""The set of the best: against an independent computation, its properties, refusals, and how often it errs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from maps import ALIKE, LITTLE, MUCH, World
from scipy import stats

from embalign.verdicts.best_set import best_of, judge_best
from embalign.verdicts.replicates import from_array
from embalign.verdicts.statistics import unequal_df

pytestmark = pytest.mark.instrument

# Systems, seeds and items; sixteenths, so that sums are exact and many values are equal.
BAKE_OFFS = arrays(
    np.float64,
    st.tuples(st.integers(2, 5), st.integers(2, 4), st.integers(2, 6)),
    elements=st.integers(-48, 48).map(lambda value: value / 16),
)


def frame_of(values, names=None):
    """A frame of values (systems, seeds) or (systems, seeds, items)."""
    names = [f"s{number}" for number in range(len(values))] if names is None else names
    rows = [
        dict(zip(("system", "seed", "item"), (names[place[0]], *place[1:]), strict=False), value=float(value))
        for place, value in np.ndenumerate(values)
    ]
    return pd.DataFrame(rows)


def p_values_by_hand(found):
    return {standing.system: standing.p_value for standing in found.standings}


def eliminated(p_better, means):
    """Adjusted p-values, one system after the other: p_better(i, j) is that of j being better than i."""
    still, adjusted, so_far = sorted(means), {}, 0.0
    while len(still) > 1:
        pairs = {(i, j): p_better(i, j) for i in still for j in still if i != j}
        (worst, _), smallest = min(pairs.items(), key=lambda each: (each[1], means[each[0][0]]))
        so_far = max(so_far, min(1.0, smallest * len(pairs)))
        adjusted[worst] = so_far
        still.remove(worst)
    return adjusted | {still[0]: 1.0}


@pytest.mark.parametrize("seed", range(4))
def test_over_seeds_it_is_paired_t_tests_and_bonferroni_over_those_still_in(seed):
    values = np.random.default_rng(seed).normal(0, 1, (4, 6)) + np.array([[0.0], [2.0], [2.2], [4.0]])
    expected = eliminated(
        lambda i, j: stats.ttest_rel(values[j], values[i], alternative="greater").pvalue,
        dict(enumerate(values.mean(axis=1))),
    )
    found = judge_best(frame_of(values))
    assert p_values_by_hand(found) == pytest.approx({f"s{place}": p for place, p in expected.items()})
    assert found.systems == tuple(each.system for each in found.standings if expected[int(each.system[1:])] > 0.05)


def test_over_seeds_and_items_it_is_the_crossed_t_with_the_usual_degrees_of_freedom():
    rng = np.random.default_rng(5)
    values = rng.normal(0, 1, (5, 3, 12)) + rng.normal(0, 1, (5, 3, 1)) + np.array([0, 0.5, 1, 2, 3])[:, None, None]

    def crossed(i, j):
        """Difference, standard error and degrees of freedom by mean squares written out."""
        d = values[j] - values[i]
        seeds, items = d.shape
        of_seed, of_item, grand = d.mean(axis=1), d.mean(axis=0), d.mean()
        rest = ((d - of_seed[:, None] - of_item + grand) ** 2).sum() / ((seeds - 1) * (items - 1))
        by_seed, by_item = items * of_seed.var(ddof=1), seeds * of_item.var(ddof=1)
        item_df = float(unequal_df((of_item - grand) ** 2))
        total = by_seed + by_item - rest
        df = total**2 / (by_seed**2 / (seeds - 1) + by_item**2 / item_df + rest**2 / ((seeds - 1) * (items - 1)))
        if by_seed < rest and by_item < rest:
            total, df = max(by_seed, by_item), min(seeds - 1, item_df)
        elif by_seed < rest or by_item < rest:
            total, df = (by_item, item_df) if by_seed < rest else (by_seed, seeds - 1)
        return grand, np.sqrt(total / (seeds * items)), max(df, 1.0)

    usual = {i: np.median([crossed(i, j)[2] for j in range(5) if j != i]) for i in range(5)}

    def p_better(i, j):
        mean, error, df = crossed(i, j)
        return stats.t.sf(mean / error, min(df, usual[i], usual[j]))

    expected = eliminated(p_better, dict(enumerate(values.mean(axis=(1, 2)))))
    found = judge_best(frame_of(values))
    assert p_values_by_hand(found) == pytest.approx({f"s{place}": p for place, p in expected.items()})
    assert found["s0"].difference.mean == pytest.approx(values[0].mean() - values.mean(axis=(1, 2)).max())
    assert found["s0"].difference.standard_error == pytest.approx(crossed(0, int(found.systems[0][1:]))[1])


def test_two_systems_are_judged_by_a_two_sided_test():
    values = np.random.default_rng(1).normal(0, 1, (2, 8))
    found = judge_best(frame_of(values))
    assert found.standings[1].p_value == pytest.approx(stats.ttest_rel(*values).pvalue)
    assert found.standings[0].p_value == 1.0


def test_who_is_beaten_names_by_whom_and_by_how_much():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 0.1, (3, 3, 20)) + np.array([0.0, 1.0, 2.0])[:, None, None]
    found = judge_best(frame_of(values, ["low", "middle", "high"]))
    assert found.systems == ("high",)
    assert [standing.system for standing in found.standings] == ["high", "middle", "low"]
    assert found["low"].beaten_by in ("middle", "high")
    assert found["middle"].beaten_by == "high"
    assert found["high"].beaten_by is None
    assert found["high"].difference is None
    assert found["low"].difference.mean == pytest.approx(values[0].mean() - values[2].mean())
    assert (found.seeds, found.items, found.alpha) == (3, 20, 0.05)


def test_what_is_better_without_any_noise_beats_all_others_and_is_named():
    values = np.random.default_rng(3).integers(0, 9, (1, 3, 5)) - np.arange(3.0)[:, None, None]
    found = judge_best(frame_of(values))
    assert found.systems == ("s0",)
    assert [standing.beaten_by for standing in found.standings] == [None, "s0", "s0"]
    assert [standing.p_value for standing in found.standings] == [1.0, 0.0, 0.0]


def test_a_system_is_in_the_set_for_every_error_rate_below_its_p_value():
    values = np.random.default_rng(8).normal(0, 1, (3, 4, 10)) + np.array([0.0, 0.6, 0.9])[:, None, None]
    p_value = judge_best(frame_of(values))["s0"].p_value
    assert 0.001 < p_value < 0.4
    assert not judge_best(frame_of(values), alpha=p_value)["s0"].in_set
    assert judge_best(frame_of(values), alpha=0.99 * p_value)["s0"].in_set


@given(BAKE_OFFS)
def test_the_best_mean_is_always_in_the_set(values):
    found = judge_best(frame_of(values))
    assert found.standings[0].in_set
    assert found.standings[0].mean == max(standing.mean for standing in found.standings)
    assert [standing.mean for standing in found.standings] == sorted((s.mean for s in found.standings), reverse=True)
    assert all(standing.in_set == (standing.p_value > found.alpha) for standing in found.standings)
    assert all((standing.beaten_by is None) == standing.in_set for standing in found.standings)


@given(BAKE_OFFS, st.randoms(use_true_random=False))
def test_order_of_rows_and_names_do_not_matter(values, random):
    names = [f"s{number}" for number in range(len(values))]
    others = random.sample(["b", "d", "a", "c", "e"], len(values))
    order = random.sample(range(values.size), values.size)
    plain = p_values_by_hand(judge_best(frame_of(values, names)))
    other = p_values_by_hand(judge_best(frame_of(values, others).iloc[order]))
    for name, renamed in zip(names, others, strict=True):
        assert other[renamed] == pytest.approx(plain[name], rel=1e-6, abs=1e-9)


@given(BAKE_OFFS)
def test_lower_is_better_is_the_same_of_negated_values(values):
    high = judge_best(frame_of(values))
    low = judge_best(frame_of(-values), higher_is_better=False)
    assert low.systems == high.systems
    assert p_values_by_hand(low) == p_values_by_hand(high)
    assert [standing.mean for standing in low.standings] == [-standing.mean for standing in high.standings]


@given(BAKE_OFFS)
def test_a_copy_of_the_best_is_in_the_set_too(values):
    best = values.mean(axis=(1, 2)).argmax()
    found = judge_best(frame_of(np.concatenate([values, values[[best]]])))
    assert {f"s{best}", f"s{len(values)}"} <= set(found.systems)


# Where mean squares of seeds are those of the residual, where items differ by nothing, and where two pairs of systems
# have one p-value: there rounding alone would choose.
SEEDS_LIKE_RESIDUAL = [[[0, 0], [0, -7], [0, 0], [0, 0]], [[0, -39], [0, 0], [0, 31], [0, -9]]]
NO_ITEMS = [
    [[-1, 2, 0], [0, 0, -1], [0, 0, 0], [-1, -1, 0]],
    [[-1, 1, 1], [1, 1, 1], [0, 2, 1], [2, 1, 0]],
    [[0, 2, 1], [-1, 0, 1], [2, 1, 0], [2, -1, 1]],
    [[1, -1, 0], [0, 1, 2], [2, 1, 0], [1, -1, 2]],
]
EQUAL_P_VALUES = [
    [[-1, 2, 0], [2, 2, 0], [2, 0, 0]],
    [[2, 2, 1], [1, 2, -1], [-1, 0, 2]],
    [[1, -1, -1], [1, 1, 0], [0, 1, 1]],
    [[1, 2, -1], [0, 1, 0], [-1, -1, 1]],
    [[1, 1, 2], [2, 2, 0], [-1, -1, 2]],
]


@given(BAKE_OFFS, st.integers(-3, 3))
@example(np.array(SEEDS_LIKE_RESIDUAL) / 16, 0)
@example(np.array(NO_ITEMS) / 16, 0)
@example(np.array(EQUAL_P_VALUES) / 16, 0)
def test_units_and_a_level_that_all_share_do_not_matter(values, power):
    plain = p_values_by_hand(judge_best(frame_of(values)))
    assert p_values_by_hand(judge_best(frame_of(values * 2.0**power))) == pytest.approx(plain)
    # What every system has alike of a seed and an item cancels in each difference.
    shared = np.arange(values[0].size).reshape(values[0].shape) / 4
    assert p_values_by_hand(judge_best(frame_of(values + shared))) == pytest.approx(plain, rel=1e-6, abs=1e-9)


@given(BAKE_OFFS, st.floats(0.001, 0.4))
def test_a_higher_error_rate_only_makes_the_set_smaller(values, alpha):
    strict, loose = judge_best(frame_of(values), alpha=alpha), judge_best(frame_of(values), alpha=1.2 * alpha)
    assert set(loose.systems) <= set(strict.systems)


ONE = frame_of(np.random.default_rng(0).normal(0, 1, (2, 3, 4)))


@pytest.mark.parametrize(
    ("frame", "options", "words"),
    [
        (ONE[ONE["system"] == "s0"], {}, "one system, 's0': there is nothing to compare it with"),
        (ONE[ONE["seed"] == 0], {}, "at least two seeds"),
        (ONE.iloc[1:], {}, "has no value: verdicts are paired"),
        (pd.concat([ONE, ONE.iloc[:1]]), {}, "has more than one value"),
        (ONE.assign(value=np.inf), {}, "every value must be finite"),
        (ONE.drop(columns="seed"), {}, "seed"),
        (ONE, {"alpha": 0.0}, "alpha"),
        (ONE, {"alpha": 0.7}, "alpha"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_words(frame, options, words):
    with pytest.raises(ValueError, match=words):
        judge_best(frame, **options)


@pytest.mark.parametrize(("frame", "options"), [("values", {}), (ONE, {"higher_is_better": "yes"})])
def test_what_is_of_another_type_is_refused_in_words(frame, options):
    with pytest.raises(TypeError, match=r"frame|higher_is_better"):
        judge_best(frame, **options)


def sets_of(world, means, runs):
    rng = np.random.default_rng([3, runs])
    return [best_of(from_array(world.draw(rng, means), range(world.systems))).systems for _ in range(runs)]


@pytest.mark.parametrize(
    "world",
    [
        World("normal", 2, 3, 20, LITTLE),
        World("normal", 8, 3, 30, ALIKE),
        World("lognormal, negative", 8, 3, 20, LITTLE),
        # Without a limit on degrees of freedom some system is left out in 40 % of these.
        World("normal", 20, 3, 100, MUCH),
    ],
    ids=["two", "eight", "skewed", "seeds"],
)
def test_of_equal_systems_all_are_in_the_set(world):
    runs = 200
    left_out = sum(len(found) < world.systems for found in sets_of(world, world.means(0.0, 0), runs))
    assert stats.binomtest(left_out, runs, 0.05, alternative="greater").pvalue > 1e-3


def test_the_best_is_found_where_it_is_better_by_twice_the_detectable_effect():
    world, runs = World("normal", 8, 3, 30, LITTLE), 100
    gap = 2 * world.detectable(np.random.default_rng(0), world.systems - 1)
    sets = sets_of(world, world.means(gap, 1), runs)
    assert sum(found[0] == 0 and len(found) <= 2 for found in sets) >= 0.9 * runs


def test_worlds_of_values_have_the_means_they_are_given():
    rng = np.random.default_rng(4)
    for noise in ("normal", "unequal groups", "lognormal", "right or wrong"):
        world = World(noise, 4, 3, 50, LITTLE)
        means = world.means(0.2, 1)
        drawn = np.array([world.draw(rng, means).mean(axis=(1, 2)) for _ in range(300)])
        assert means[0] - means[1] == pytest.approx(0.2)
        assert np.abs(drawn.mean(axis=0) - means).max() < 5 * drawn.std(axis=0).max() / np.sqrt(300)
