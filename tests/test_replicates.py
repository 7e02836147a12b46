"""Standard errors of contrasts over seeds and items, against textbook formulas, libraries and simulation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from embalign.verdicts.replicates import from_array, replicates

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
