"""Statistics against scipy, and verdicts on contrasts whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from embalign.verdicts.ab import judge_ab
from embalign.verdicts.statistics import holm, student_t

pytestmark = pytest.mark.instrument


def frame(values):
    return pd.DataFrame({"seed": range(len(values)), "value": values})


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12).filter(lambda v: np.ptp(v) > 1e-6))
def test_student_t_equals_scipy(values):
    found, expected = student_t(values), stats.ttest_1samp(values, 0)
    assert found.p_two_sided() == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6)
    assert found.p_greater() == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").pvalue, abs=1e-9)
    upper = stats.ttest_1samp(values, 0, alternative="less").confidence_interval(0.95).high
    assert found.upper_bound() == pytest.approx(upper, rel=1e-6)
    assert found.lower_bound() == pytest.approx(2 * found.mean - upper, rel=1e-6, abs=1e-9)


def test_student_t_needs_finite_values():
    with pytest.raises(ValueError, match="at least two"):
        student_t([1.0])
    with pytest.raises(ValueError, match="NaN"):
        student_t([1.0, float("nan")])


def test_detectable_effect_is_found_with_its_power():
    """In simulation a true difference of that size is found in about 80 % of runs."""
    generator = np.random.default_rng(0)
    size = np.mean([student_t(generator.normal(0, 1.0, 20)).minimum_detectable_effect() for _ in range(200)])
    power = np.mean([student_t(generator.normal(size, 1.0, 20)).p_greater() <= 0.05 for _ in range(1000)])
    assert power == pytest.approx(0.8, abs=0.05)


def test_detectable_difference_counts_the_family_and_is_never_inside_the_margin():
    control = frame([0.0, 0.0, 0.0, 0.0])
    treatment = frame([0.1, 0.3, 0.2, 0.5])
    alone, of_many = (judge_ab(treatment, control, margin=0.05, family=count) for count in (1, 24))
    assert alone.minimum_detectable_effect == pytest.approx(
        student_t([0.1, 0.3, 0.2, 0.5]).minimum_detectable_effect(0.025)
    )
    assert of_many.minimum_detectable_effect > 1.5 * alone.minimum_detectable_effect
    assert judge_ab(treatment, control, margin=3.0).minimum_detectable_effect == 3.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("difference", "spread", "kind"),
    [(0.5, 0.01, "better"), (-0.5, 0.01, "worse"), (0.001, 0.001, "equivalent"), (0.01, 0.5, "inconclusive")],
)
def test_ab_kinds(difference, spread, kind):
    control = np.random.default_rng(0).normal(0, 1, 8)
    verdict = judge_ab(frame(control + difference + spread * np.linspace(-1, 1, 8)), frame(control), margin=0.05)
    assert verdict.kind == kind
    assert verdict.interval[0] < verdict.difference < verdict.interval[1]
    assert verdict.seeds == 8


def test_ab_is_worse_where_lower_is_better():
    verdict = judge_ab(frame([1.0, 1.1, 1.0]), frame([0.0, 0.1, 0.05]), margin=0.01, higher_is_better=False)
    assert verdict.kind == "worse"


def test_ab_pairs_by_seed_not_by_row():
    values = np.array([0.1, 0.5, 0.9, 0.3])
    treatment = frame(values + 0.01 + np.array([0, 1e-4, -1e-4, 0]))
    assert judge_ab(treatment.iloc[::-1], frame(values), margin=0.001).difference == pytest.approx(0.01)


def test_ab_refuses_unpaired_seeds_and_bad_margins():
    with pytest.raises(ValueError, match="one to one"):
        judge_ab(frame([1.0, 2.0]), frame([1.0, 2.0, 3.0]), margin=0.1)
    with pytest.raises(ValueError, match="margin"):
        judge_ab(frame([1.0, 2.0]), frame([1.0, 2.0]), margin=0)


def with_items(effect, rng, seeds=5, items=40):
    seed, item = (axis.ravel() for axis in np.meshgrid(range(seeds), range(items), indexing="ij"))
    control = pd.DataFrame({"seed": seed, "item": item, "value": rng.normal(0, 1, seeds * items)})
    by_item = rng.normal(effect, 0.5, items)
    return control.assign(value=control["value"] + by_item[item] + rng.normal(0, 0.01, len(control))), control


def test_ab_pairs_by_seed_and_item_and_its_interval_covers_other_items():
    """A difference that varies from item to item is as uncertain as the items are few, whatever the seeds say."""
    treatment, control = with_items(0.1, np.random.default_rng(0))
    found = judge_ab(treatment.sample(frac=1, random_state=0), control, margin=0.05)
    over_seeds = judge_ab(
        *(f.groupby("seed", as_index=False)["value"].mean() for f in (treatment, control)), margin=0.05
    )
    assert (found.items, over_seeds.items) == (40, 0)
    assert found.difference == pytest.approx(over_seeds.difference)
    assert np.ptp(found.interval) > 5 * np.ptp(over_seeds.interval)
    with pytest.raises(ValueError, match="items must pair"):
        judge_ab(treatment, control[control["item"] > 0], margin=0.05)
    with pytest.raises(ValueError, match="items must pair"):
        judge_ab(treatment, control.drop(columns="item"), margin=0.05)
