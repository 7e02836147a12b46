"""Standard errors of contrasts over seeds and items, against textbook formulas, libraries and simulation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from embalign.evaluation.scorecard import label_values
from embalign.verdicts.replicates import from_array, replicates
from embalign.verdicts.sanity import FEWEST_GROUPS
from embalign.verdicts.statistics import group_t, unequal_df

pytestmark = pytest.mark.instrument

VALUES = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.floats(-9, 9, width=16))


@given(VALUES, st.integers(0, 2**32))
def test_contrasts_over_seeds_are_a_one_sample_t_of_the_seeds_own_contrasts(values, seed):
    weights = np.random.default_rng(seed).normal(size=len(values))
    found = from_array(values, range(len(values))).contrast(weights)
    own = weights @ values
    assert found.mean == pytest.approx(own.mean(), abs=1e-9)
    assert found.standard_error == pytest.approx(stats.sem(own), abs=1e-9)
    assert found.df == values.shape[1] - 1


def crossed(rng, seeds, items, of_seed, of_item, of_rest, settings=1):
    return (
        of_seed * rng.standard_normal((settings, seeds, 1))
        + of_item * rng.standard_normal((settings, 1, items))
        + of_rest * rng.standard_normal((settings, seeds, items))
    )


def test_mean_squares_are_those_of_a_two_way_analysis_of_variance():
    values = crossed(np.random.default_rng(0), 4, 7, 1.0, 1.0, 1.0)
    found = from_array(values, ["only"])
    table = values[0]
    grand = table.mean()
    expected = (
        7 * ((table.mean(axis=1) - grand) ** 2).sum() / 3,
        4 * ((table.mean(axis=0) - grand) ** 2).sum() / 6,
        ((table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + grand) ** 2).sum() / 18,
    )
    assert [float(source[0, 0]) for source in found.mean_squares] == pytest.approx(expected)
    variance = (expected[0] + expected[1] - expected[2]) / 28
    assert found.contrast([1.0]).standard_error == pytest.approx(np.sqrt(variance))


@pytest.mark.parametrize("components", [(0.3, 0.3, 1.0), (0.3, 0.0, 1.0), (0.0, 0.3, 1.0), (0.5, 0.5, 0.1)])
@pytest.mark.parametrize("seeds", [3, 10])
def test_two_way_intervals_cover_other_seeds_and_other_items(components, seeds):
    rng = np.random.default_rng(1)
    runs = 400
    covered = 0
    for _ in range(runs):
        low, high = from_array(crossed(rng, seeds, 30, *components), ["only"]).contrast([1.0]).interval()
        covered += low <= 0 <= high
    # 400 runs of a 95 % interval miss this bound once in a thousand times; without either component it is conservative.
    assert covered / runs > 0.915


def test_more_seeds_do_not_average_items_away():
    found = from_array(crossed(np.random.default_rng(0), 8, 20, 0.1, 1.0, 0.1), ["only"])
    now, many = found.standard_error_with(np.array([1.0]), np.array([8, 10_000]))
    assert now == pytest.approx(found.contrast([1.0]).standard_error)
    assert many > 0.8 * now


def test_what_rounding_leaves_of_equal_numbers_is_no_effect():
    values = np.full((3, 4), 0.1) + np.array([0.0, 0.1, 0.2])[:, None]
    found = from_array(values, range(3)).contrasts([[1, -2, 1], [-1, 0, 1]])
    assert found.t().tolist() == [0.0, np.inf]


def test_cells_are_found_by_their_names_in_any_order():
    rows = pd.DataFrame([(r, s, i, 100 * r + 10 * s + i) for r in (1, 2) for s in (0, 1, 2) for i in range(4)])
    rows.columns = ["ratio", "seed", "item", "value"]
    found = replicates(rows.sample(frac=1, random_state=0), "ratio")
    assert found.settings == (1, 2)
    assert found.mean.tolist() == pytest.approx([111.5, 211.5])
    assert (found.seeds, found.items) == (3, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.iloc[1:], "ratio 1, seed 0, item 0 has no value"),
        (lambda d: pd.concat([d, d.iloc[:1]]), "ratio 1, seed 0, item 0 has more than one value"),
        (lambda d: d.assign(value=d["value"].where(d["seed"] > 0)), "ratio 1, seed 0, item 0 has the value nan"),
        (lambda d: d.assign(seed=d["seed"].where(d["seed"] > 0)), "a row has no seed"),
        (lambda d: d[d["seed"] == 0], "at least two seeds"),
        (lambda d: d[d["item"] == 0], "1 item"),
        (lambda d: d.drop(columns="value"), "lack column"),
    ],
)
def test_unpaired_rows_are_refused_by_name(change, message):
    rows = pd.DataFrame([(r, s, i, 1.0 * r) for r in (1, 2) for s in (0, 1) for i in range(3)])
    rows.columns = ["ratio", "seed", "item", "value"]
    with pytest.raises(ValueError, match=message):
        replicates(change(rows), "ratio")


def test_few_items_that_carry_the_variance_are_few_degrees_of_freedom():
    rng = np.random.default_rng(0)
    assert np.mean([unequal_df(np.square(rng.standard_normal(60))) for _ in range(200)]) == pytest.approx(56, abs=4)
    assert unequal_df(np.r_[np.ones(3), np.full(60, 1e-6)]) < 10
    assert unequal_df(np.zeros(8)) == 7
    uneven = np.geomspace(1, 1e-3, 40)
    covered = 0
    for _ in range(400):
        values = crossed(rng, 4, 40, 0.0, 1.0, 0.1) * uneven
        low, high = from_array(values, ["only"]).contrast([1.0]).interval()
        covered += low <= 0 <= high
    assert 0.93 < covered / 400 < 0.99


@pytest.mark.parametrize("exponent", [1.0, 0.6])
def test_intervals_hold_where_a_few_label_groups_are_large(exponent):
    """What `benchmark/calibration/intervals.py` measures at length."""
    rng = np.random.default_rng(1)
    held = []
    while len(held) < 300:
        sizes = np.ceil(2 * (1 + rng.pareto(exponent, 66))).clip(max=300).astype(int)
        if sizes.sum() ** 2 / (sizes**2).sum() < FEWEST_GROUPS:
            continue
        group = np.repeat(np.arange(66), sizes)
        of_item = 0.3 * rng.standard_normal(66)[group] + 0.4 * rng.standard_normal(len(group))
        low, high = group_t(label_values(of_item, group)).interval()
        held.append(low <= 0 <= high)
    assert 0.90 < np.mean(held) < 0.99
