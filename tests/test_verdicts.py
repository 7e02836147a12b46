"""Verdicts on curves and contrasts whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from embalign.verdicts.ab import judge_ab
from embalign.verdicts.elbow import judge_elbow
from embalign.verdicts.statistics import holm, student_t

RATIOS = [0.01, 0.05, 0.1, 0.2, 0.5, 1.0]


def curve(values, noise=0.002, seeds=5, rng=0):
    """A curve of the given means, the same seed offset at every ratio and a little noise of its own."""
    generator = np.random.default_rng(rng)
    offsets = generator.normal(0, 0.02, seeds)
    return pd.DataFrame(
        [
            {"ratio": ratio, "seed": seed, "value": value + offsets[seed] + generator.normal(0, noise)}
            for ratio, value in zip(RATIOS, values, strict=True)
            for seed in range(seeds)
        ]
    )


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


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_a_saturating_curve_gets_the_smallest_sufficient_ratio():
    verdict = judge_elbow(curve([0.2, 0.5, 0.7, 0.90, 0.90, 0.90]), margin=0.03)
    assert verdict.saturated
    assert verdict.recommended_ratio == 0.2
    assert verdict.recommended_interval == (0.2, 0.2)
    assert verdict.kind == "elbow"
    assert verdict.elbow in (0.1, 0.2)


def test_a_straight_curve_has_no_elbow_and_is_not_saturated():
    verdict = judge_elbow(curve(list(0.1 + 0.15 * np.log(np.array(RATIOS) / 0.01))), margin=0.01)
    assert (verdict.kind, verdict.elbow, verdict.elbow_interval) == ("gradual", None, None)
    assert (verdict.recommended_ratio, verdict.saturated) == (1.0, False)


def test_a_flat_curve_is_flat_and_the_smallest_ratio_is_enough():
    verdict = judge_elbow(curve([0.5] * 6), margin=0.02)
    assert verdict.kind == "flat"
    assert verdict.recommended_ratio == 0.01


def test_a_curve_that_falls_is_declining():
    assert judge_elbow(curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.8]), margin=0.01).kind == "declining"


def test_few_ratios_are_unidentifiable():
    data = curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.9])
    assert judge_elbow(data[data["ratio"] > 0.05], margin=0.01).kind == "unidentifiable"


def test_a_dip_above_ends_the_walk_down():
    """A ratio below one that fails is not recommended, however well it does itself."""
    assert judge_elbow(curve([0.2, 0.5, 0.9, 0.9, 0.6, 0.9]), margin=0.03).recommended_ratio == 1.0


def test_lower_is_better_mirrors_the_curve():
    data = curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.9])
    up = judge_elbow(data, margin=0.03)
    down = judge_elbow(data.assign(value=-data["value"]), margin=0.03, higher_is_better=False)
    assert up == down


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.floats(0.1, 10), st.floats(-5, 5))
def test_order_seed_names_scale_and_origin_do_not_matter(random, scale, shift):
    data = curve([0.2, 0.4, 0.6, 0.75, 0.85, 0.9], noise=0.01)
    rows = list(range(len(data)))
    random.shuffle(rows)
    names = dict(zip(range(5), random.sample(range(100), 5), strict=True))
    moved = data.iloc[rows].assign(value=data["value"] * scale + shift, seed=data["seed"].map(names))
    one, other = judge_elbow(data, margin=0.05), judge_elbow(moved, margin=0.05 * scale)
    assert (one.kind, one.elbow, one.recommended_ratio) == (other.kind, other.elbow, other.recommended_ratio)
    assert one.recommended_interval == other.recommended_interval


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: pd.concat([d, d.iloc[:1]]), "more than one value"),
        (lambda d: d.iloc[1:], "finite value at every ratio"),
        (lambda d: d.assign(value=d["value"].where(d["seed"] > 0)), "needs a finite value"),
        (lambda d: d[d["ratio"] < 1], "include 1"),
        (lambda d: d[d["seed"] == 0], "at least two seeds"),
        (lambda d: d.drop(columns="seed"), "lacks column"),
    ],
)
def test_unusable_curves_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        judge_elbow(change(curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.9])), margin=0.01)


@pytest.mark.parametrize("margin", [-0.1, float("nan"), float("inf")])
def test_margins_must_be_finite_and_not_negative(margin):
    with pytest.raises(ValueError, match="margin"):
        judge_elbow(curve([0.5] * 6), margin=margin)


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
