"""The elbow verdict on curves whose truth is known; `benchmark/calibration/elbow.py` is its long form."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from worlds import (
    ALMOST,
    AT_MARGIN,
    DIP,
    EARLY,
    ELBOW_WORLDS,
    GRIDS,
    LATE,
    MARGIN,
    NOISE,
    POWER_LAWS,
    RISE_THEN_FLAT,
    SIX_RATIOS,
    STAIRCASE,
    STRAIGHT_WORLDS,
    TEN_RATIOS,
    World,
    broken_stick,
    normal,
    scaled_log,
    simulate,
)

from embalign.verdicts.elbow import judge_elbow

RUNS = 200


def curve(values, noise=0.002, seeds=5, rng=0, ratios=SIX_RATIOS):
    """A curve of the given means, the same seed offset at every ratio and a little noise of its own."""
    generator = np.random.default_rng(rng)
    offsets = generator.normal(0, 0.02, seeds)
    return pd.DataFrame(
        [
            {"ratio": ratio, "seed": seed, "value": value + offsets[seed] + generator.normal(0, noise)}
            for ratio, value in zip(ratios, values, strict=True)
            for seed in range(seeds)
        ]
    )


def stick(elbow, ratios=TEN_RATIOS, slope_ratio=0.0, **options):
    return curve(broken_stick(elbow, slope_ratio)(scaled_log(ratios)), ratios=ratios, **options)


def at_most(rate, runs=RUNS):
    """The most times that something of at most this rate happens in so many runs, but for one test in ten thousand."""
    return binom.ppf(0.9999, runs, rate)


def test_an_elbow_is_found_where_it_is():
    verdict = judge_elbow(stick(0.2, rng=1), margin=0.03)
    assert verdict.kind == "elbow"
    assert verdict.elbow == pytest.approx(0.2, rel=0.03)
    low, high = verdict.elbow_interval
    assert low < 0.2 < high
    assert high < 1.1 * low
    assert verdict.slope_ratio == pytest.approx(0, abs=0.05)
    assert verdict.recommended_ratio == 0.2
    low, high = verdict.recommended_interval
    assert 0.15 < low < high <= 0.2
    assert verdict.shape == "corner"
    assert verdict.last_doubling.kind == "saturated"


def test_sample_counts_place_the_elbow_in_log_n():
    """With counts that are not in the ratio's proportion the axis is the counts', and the elbow is still a ratio."""
    counts = {ratio: round(10 + 1000 * ratio) for ratio in TEN_RATIOS}
    x = np.log(list(counts.values()))
    values = np.minimum(x, x[5]) / x[5]
    rows = curve(values, ratios=TEN_RATIOS)
    verdict = judge_elbow(rows.assign(n_train=rows["ratio"].map(counts)), margin=0.03)
    assert verdict.kind == "elbow"
    assert verdict.elbow == pytest.approx(TEN_RATIOS[5], rel=0.05)


@pytest.mark.instrument
def test_a_straight_curve_has_no_elbow_and_is_not_saturated():
    verdict = judge_elbow(curve(scaled_log(SIX_RATIOS)), margin=0.01)
    assert (verdict.kind, verdict.elbow, verdict.elbow_interval, verdict.bend) == ("rising", None, None, None)
    assert (verdict.recommended_ratio, verdict.last_doubling.kind) == (1.0, "rising")
    assert verdict.last_doubling.value == pytest.approx(np.log(2) / np.log(100), abs=0.01)


def test_a_corner_that_does_not_halve_the_slope_is_no_elbow():
    verdict = judge_elbow(stick(0.1, slope_ratio=0.7), margin=0.01)
    assert (verdict.kind, verdict.shape) == ("diminishing", "corner")
    assert "are not shown to halve" in verdict.reason
    assert verdict.bend == pytest.approx(0.1, rel=0.1)
    assert verdict.slope_ratio_upper > 0.5


@pytest.mark.parametrize("elbow", [0.015, 0.05, 0.5, 0.85])
def test_an_elbow_near_the_end_of_six_ratios_cannot_be_identified(elbow):
    """Less than two ratios on one side: its bend may be seen, its place not, and nothing is guessed."""
    verdict = judge_elbow(stick(elbow, ratios=SIX_RATIOS), margin=0.01)
    assert verdict.kind in ("saturated", "diminishing", "rising")
    assert verdict.elbow is None


def test_a_smooth_curve_has_no_elbow_and_its_exponent_is_told():
    verdict = judge_elbow(curve(1 - np.array(TEN_RATIOS) ** -0.5 / 10, noise=0.002, ratios=TEN_RATIOS), margin=0.01)
    assert (verdict.kind, verdict.shape, verdict.elbow) == ("diminishing", "smooth", None)
    assert verdict.straight_line_p_value < 0.01
    assert verdict.exponent == pytest.approx(0.5, abs=0.05)
    assert verdict.exponent_interval[0] < 0.5 < verdict.exponent_interval[1]


def test_where_a_corner_and_a_smooth_law_cannot_be_told_apart_the_verdict_says_so():
    law = POWER_LAWS[3]
    verdict = judge_elbow(simulate(law, TEN_RATIOS, 5, np.random.default_rng(0)), margin=MARGIN)
    assert (verdict.shape, verdict.elbow) == ("either", None)
    assert "a corner and a smooth law cannot be told apart" in verdict.reason
    assert verdict.exponent_interval[0] < 0.7 < verdict.exponent_interval[1]
    assert verdict.bend_interval is not None


def test_a_curve_flat_at_first_and_at_last_is_seen_to_bend():
    """As a whole it is nearly straight: a convex start hides a concave end from a test of the whole."""
    verdict = judge_elbow(simulate(RISE_THEN_FLAT, TEN_RATIOS, 5, np.random.default_rng(0)), margin=MARGIN)
    assert verdict.kind == "elbow"
    assert verdict.elbow == pytest.approx(0.3, rel=0.1)
    assert verdict.last_doubling.kind == "saturated"


def test_a_curve_that_rises_again_does_not_diminish():
    verdict = judge_elbow(simulate(STAIRCASE, TEN_RATIOS, 5, np.random.default_rng(0)), margin=MARGIN)
    assert (verdict.kind, verdict.last_doubling.kind, verdict.bend) == ("rising", "rising", None)
    assert verdict.next_doubling.bracket is None
    assert "bends upwards" in verdict.next_doubling.reason


def test_a_flat_curve_is_flat_and_the_smallest_ratio_is_enough():
    verdict = judge_elbow(curve([0.5] * 6), margin=0.02)
    assert verdict.kind == "flat"
    assert verdict.recommended_ratio == 0.01
    assert verdict.minimum_detectable_effect < 0.02


def test_the_detectable_effect_is_found_with_its_power_among_ten_ratios():
    """One ratio off by that much, whichever way, is seen in at least four fifths of runs: the adjustment is counted."""
    runs, seen = 120, 0
    for rng in range(runs):
        flat = judge_elbow(curve([0.5] * 10, noise=0.01, seeds=10, rng=rng, ratios=TEN_RATIOS), margin=0.01)
        values = [0.5] * 10
        values[3] += (-1) ** rng * flat.minimum_detectable_effect
        off = judge_elbow(curve(values, noise=0.01, seeds=10, rng=1000 + rng, ratios=TEN_RATIOS), margin=0.01)
        seen += off.kind != "flat"
    assert seen / runs > 0.7


def test_the_ratio_that_beats_all_of_it_is_one_that_is_shown_to():
    """The highest mean may be chance: here one seed makes it."""
    frame = curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.8], noise=0.001)
    lucky = (frame["ratio"] == SIX_RATIOS[2]) & (frame["seed"] == 0)
    verdict = judge_elbow(frame.assign(value=frame["value"] + 2.0 * lucky), margin=0.01)
    assert verdict.kind == "declining"
    assert verdict.best_ratio in SIX_RATIOS[3:5]


def test_a_curve_that_falls_is_declining():
    verdict = judge_elbow(curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.8]), margin=0.01)
    assert verdict.kind == "declining"
    assert verdict.best_ratio in (0.2, 0.5)


def test_few_ratios_or_seeds_are_unidentifiable_and_still_recommend():
    data = stick(0.2, ratios=SIX_RATIOS)
    for few in (data[data["ratio"] > 0.05], data[data["seed"] < 2]):
        verdict = judge_elbow(few, margin=0.05)
        assert verdict.kind == "unidentifiable"
        assert "an elbow needs 5 and 3" in verdict.reason
    assert judge_elbow(data[data["ratio"] > 0.05], margin=0.05).recommended_ratio == 0.2


def test_a_dip_above_ends_the_walk_down():
    """A ratio below one that fails is not recommended, however well it does itself."""
    assert judge_elbow(curve([0.2, 0.5, 0.9, 0.9, 0.6, 0.9]), margin=0.03).recommended_ratio == 1.0


def test_seeds_needed_settle_what_is_open():
    """With that many seeds of the same kind, ratios that were open are settled, mostly."""
    world = World("near", lambda u: np.where(u < 1, 0.985, 1.0), normal)
    rng = np.random.default_rng(4)
    few = judge_elbow(simulate(world, TEN_RATIOS, 5, rng), margin=0.05)
    assert few.open_ratios
    assert 5 < few.seeds_needed < 500
    many = judge_elbow(simulate(world, TEN_RATIOS, 2 * few.seeds_needed, rng), margin=0.05)
    assert many.recommended_ratio == 0.01
    assert many.seeds_needed == many.seeds


def test_lower_is_better_mirrors_the_curve():
    data = curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.9])
    up = judge_elbow(data, margin=0.03)
    down = judge_elbow(data.assign(value=-data["value"]), margin=0.03, higher_is_better=False)
    assert up == down


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.floats(0.1, 10), st.floats(-5, 5), st.sampled_from(ELBOW_WORLDS))
def test_order_seed_names_scale_and_origin_do_not_matter(random, scale, shift, world):
    data = simulate(world, TEN_RATIOS, 5, np.random.default_rng(random.randrange(10**6)))
    rows = list(range(len(data)))
    random.shuffle(rows)
    names = dict(zip(range(5), random.sample(range(100), 5), strict=True))
    moved = data.iloc[rows].assign(value=data["value"] * scale + shift, seed=data["seed"].map(names))
    one, other = judge_elbow(data, margin=0.05), judge_elbow(moved, margin=0.05 * scale)
    assert (one.kind, one.recommended_ratio) == (other.kind, other.recommended_ratio)
    assert one.recommended_interval == pytest.approx(other.recommended_interval)
    assert one.last_doubling.kind == other.last_doubling.kind
    assert (one.bend is None) == (other.bend is None)  # of a few draws no bend is shown
    if one.bend is not None:
        assert one.bend == pytest.approx(other.bend, rel=0.01)
    assert one.straight_line_p_value == pytest.approx(other.straight_line_p_value, abs=1e-3)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(TEN_RATIOS[:-1]), st.floats(0, 0.5), st.sampled_from(ELBOW_WORLDS))
def test_a_better_ratio_never_becomes_inferior(seed, ratio, improvement, world):
    """Raised by the same amount for every seed: a ratio that was enough stays enough, its loss shrinks by as much."""
    data = simulate(world, TEN_RATIOS, 4, np.random.default_rng(seed))
    raised = data.assign(value=data["value"] + improvement * (data["ratio"] == ratio))
    before, after = judge_elbow(data, margin=0.05), judge_elbow(raised, margin=0.05)
    assert after.recommended_ratio <= before.recommended_ratio
    assert after.loss[ratio].mean == pytest.approx(before.loss[ratio].mean - improvement)
    assert after.loss[ratio].upper_bound() <= before.loss[ratio].upper_bound() + 1e-12


def test_items_widen_what_seeds_alone_make_narrow():
    """A loss that varies from item to item is as uncertain as the items are few, however many seeds there are."""
    rng = np.random.default_rng(0)
    by_item = 0.05 + 0.3 * rng.standard_normal(30)
    rows = [
        {"ratio": ratio, "seed": seed, "item": item, "value": -by_item[item] * (ratio < 1) + 0.01 * rng.normal()}
        for ratio in SIX_RATIOS
        for seed in range(5)
        for item in range(30)
    ]
    frame = pd.DataFrame(rows)
    over_items = judge_elbow(frame, margin=0.03)
    over_seeds = judge_elbow(frame.groupby(["ratio", "seed"], as_index=False)["value"].mean(), margin=0.03)
    assert (over_items.items, over_seeds.items) == (30, 0)
    assert over_items.loss[0.5].mean == pytest.approx(over_seeds.loss[0.5].mean)
    assert over_items.loss[0.5].standard_error > 10 * over_seeds.loss[0.5].standard_error
    assert over_items.seeds_needed is None


RISING = [0.2, 0.5, 0.7, 0.8, 0.85, 0.9]


@pytest.mark.instrument
@pytest.mark.parametrize(
    "origin",
    [0.95, dict.fromkeys(range(5), 0.95), pd.DataFrame({"seed": range(5), "value": 0.95})],
    ids=["number", "by seed", "frame"],
)
def test_a_curve_that_ends_below_its_origin_has_no_gain_and_nothing_is_recommended(origin):
    verdict = judge_elbow(curve(RISING), margin=0.01, origin=origin)
    assert (verdict.kind, verdict.elbow, verdict.recommended_ratio) == ("no_gain", None, None)
    assert verdict.recommended_interval is verdict.recommended_items is None
    assert verdict.next_doubling.bracket is None
    assert verdict.gain.mean == pytest.approx(-0.05, abs=0.03)


@pytest.mark.instrument
def test_a_shown_gain_changes_nothing_else():
    data = curve(RISING)
    with_origin, without = judge_elbow(data, margin=0.01, origin=0.1), judge_elbow(data, margin=0.01)
    assert with_origin.gain.mean == pytest.approx(0.8, abs=0.03)
    assert dataclasses.replace(with_origin, gain=None) == without


def test_lower_is_better_turns_the_gain_round():
    data = curve([0.9, 0.6, 0.4, 0.3, 0.25, 0.2])
    assert judge_elbow(data, margin=0.01, higher_is_better=False, origin=0.1).kind == "no_gain"
    assert judge_elbow(data, margin=0.01, higher_is_better=False, origin=1.0).gain.mean > 0.7


def test_the_gain_is_paired_by_seed_and_item():
    """Values that differ much between seeds and items, and lie 0.05 above their own origin everywhere."""
    rng = np.random.default_rng(0)
    start = {(seed, item): rng.normal(0, 1) for seed in range(5) for item in range(20)}
    rows = [
        {"ratio": ratio, "seed": seed, "item": item, "value": value + 0.05 + rng.normal(0, 0.001)}
        for ratio in SIX_RATIOS
        for (seed, item), value in start.items()
    ]
    origin = pd.DataFrame([{"seed": seed, "item": item, "value": value} for (seed, item), value in start.items()])
    paired = judge_elbow(pd.DataFrame(rows), margin=0.01, origin=origin)
    alone = judge_elbow(pd.DataFrame(rows), margin=0.01, origin=origin["value"].mean())
    assert paired.gain.lower_bound() > 0
    assert (paired.kind, alone.kind) == ("flat", "no_gain")


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_gain_that_is_none_is_shown_in_at_most_the_tests_share_of_runs(seeds):
    rng = np.random.default_rng(seeds)
    runs = 400
    shown = 0
    for _ in range(runs):
        data = curve([0.5] * 6, noise=0.05, seeds=seeds, rng=rng.integers(2**32))
        origin = {seed: 0.5 + rng.normal(0, 0.05) for seed in range(seeds)}
        shown += judge_elbow(data, margin=0.01, origin=origin).kind != "no_gain"
    assert shown <= at_most(0.05, runs)


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ({0: 0.1}, "no finite value for seed 1"),
        (float("nan"), "no finite value for seed 0"),
        (pd.DataFrame({"seed": range(5)}), "the origin lacks column"),
    ],
)
def test_an_unusable_origin_is_refused(origin, message):
    with pytest.raises(ValueError, match=message):
        judge_elbow(curve(RISING), margin=0.01, origin=origin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: pd.concat([d, d.iloc[:1]]), "ratio 0.01, seed 0 has more than one value"),
        (lambda d: d.iloc[1:], "ratio 0.01, seed 0 has no value"),
        (lambda d: d.assign(value=d["value"].where(d["seed"] > 0)), "ratio 0.01, seed 0 has the value nan"),
        (lambda d: d[d["ratio"] < 1], "1 among them"),
        (lambda d: d.assign(ratio=d["ratio"] * 2), r"1 among them, found \[0\.02"),
        (lambda d: d[d["seed"] == 0], "at least two seeds"),
        (lambda d: d.drop(columns="seed"), "lacks column"),
        (lambda d: d.assign(n_train=5), "n_train must rise"),
        (lambda d: d.assign(n_train=range(len(d))), "n_train differs between the rows of ratio 0.01"),
        (lambda d: d.assign(seed=[0, "one", 2, 3, 4] * 6), "every seed must be of one type"),
        (lambda d: d.assign(value=d["value"].astype(object).where(d["seed"] > 0, None)), "nan|None|one type"),
    ],
)
def test_unusable_curves_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        judge_elbow(change(curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.9])), margin=0.01)


@pytest.mark.parametrize("margin", [-0.1, float("nan"), float("inf"), None, "0.1"])
def test_margins_must_be_finite_numbers_and_not_negative(margin):
    with pytest.raises(ValueError, match="margin"):
        judge_elbow(curve([0.5] * 6), margin=margin)


def test_alpha_must_be_a_probability_below_one_half():
    with pytest.raises(ValueError, match="alpha"):
        judge_elbow(curve([0.5] * 6), margin=0.1, alpha=0.5)


@pytest.mark.parametrize("world", STRAIGHT_WORLDS, ids=lambda world: world.name.replace(" ", "_"))
def test_no_elbow_is_found_where_there_is_none(world):
    rng = np.random.default_rng(0)
    kinds = [judge_elbow(simulate(world, TEN_RATIOS, 5, rng), margin=0.05).kind for _ in range(RUNS)]
    assert kinds.count("elbow") <= at_most(0.05)
    if world.name != "flat":
        assert kinds.count("declining") + kinds.count("flat") <= at_most(0.05)


@pytest.mark.parametrize("world", ELBOW_WORLDS, ids=lambda world: world.name.replace(" ", "_"))
def test_elbows_are_found_and_covered(world):
    rng = np.random.default_rng(0)
    verdicts = [judge_elbow(simulate(world, TEN_RATIOS, 10, rng), margin=0.05) for _ in range(RUNS)]
    found = [verdict for verdict in verdicts if verdict.kind == "elbow"]
    missed = [verdict for verdict in found if not verdict.elbow_interval[0] <= world.elbow <= verdict.elbow_interval[1]]
    assert len(verdicts) - len(found) <= at_most(0.10)
    assert len(missed) <= at_most(0.07)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_loss_exactly_at_the_margin_is_rarely_called_enough(seeds):
    rng = np.random.default_rng(0)
    verdicts = [judge_elbow(simulate(AT_MARGIN, SIX_RATIOS, seeds, rng), margin=MARGIN) for _ in range(RUNS)]
    assert sum(verdict.recommended_ratio < 1 for verdict in verdicts) <= at_most(0.05)


@pytest.mark.parametrize("law", POWER_LAWS, ids=lambda world: world.name.replace(" ", "_"))
def test_a_smooth_law_has_no_elbow_and_its_amount_does_not_follow_the_grid(law):
    """The pairs that are enough are those of the law, whatever ratios were measured."""
    rng = np.random.default_rng(0)
    spans = {}
    for name, ratios in GRIDS.items():
        curves = [simulate(law, ratios, 10, rng) for _ in range(RUNS // 8)]
        verdicts = [
            judge_elbow(rows.assign(n_train=(10_000 * rows["ratio"]).round()), margin=MARGIN) for rows in curves
        ]
        assert sum(verdict.kind == "elbow" for verdict in verdicts) <= at_most(0.05, len(verdicts))
        spans[name] = np.array([verdict.recommended_items_interval for verdict in verdicts])
        assert np.median(spans[name][:, 1] / spans[name][:, 0]) <= 4
    for one, other in itertools.combinations(spans.values(), 2):
        overlap = (one[:, 0] <= other[:, 1]) & (other[:, 0] <= one[:, 1])
        assert (~overlap).sum() <= at_most(0.10, len(overlap))


@pytest.mark.parametrize("world", [EARLY, LATE, STAIRCASE, DIP], ids=["early", "late", "staircase", "dip"])
def test_more_data_is_not_said_to_help_or_not_to_where_it_is_otherwise(world):
    rng = np.random.default_rng(0)
    brought = float(np.diff(world.curve(scaled_log([0.5, 1.0])))[0])
    kinds = [judge_elbow(simulate(world, TEN_RATIOS, 5, rng), margin=MARGIN).last_doubling.kind for _ in range(60)]
    wrong = "rising" if brought <= 0 else "saturated" if brought > MARGIN else None
    assert kinds.count(wrong) <= at_most(0.05, 60)


def test_rising_then_flat_is_saturated():
    rng = np.random.default_rng(0)
    verdicts = [judge_elbow(simulate(RISE_THEN_FLAT, TEN_RATIOS, 10, rng), margin=MARGIN) for _ in range(100)]
    assert sum(verdict.last_doubling.kind == "saturated" for verdict in verdicts) >= 90
    assert {verdict.kind for verdict in verdicts} <= {"elbow", "saturated", "declining"}
    assert sum(verdict.kind == "declining" for verdict in verdicts) <= at_most(0.05, 100)


@pytest.mark.parametrize("noise", [NOISE, NOISE / 10])
def test_a_slope_that_does_not_quite_halve_is_no_elbow(noise):
    rng = np.random.default_rng(0)
    for world in ALMOST[:4]:
        kinds = [judge_elbow(simulate(world, TEN_RATIOS, 10, rng, noise), margin=MARGIN).kind for _ in range(25)]
        assert kinds.count("elbow") <= at_most(0.05, 25)


@pytest.mark.instrument
def test_the_last_doubling_is_interpolated_where_half_of_the_data_was_not_measured():
    rows = stick(1.0, ratios=(0.01, 0.05, 0.1, 0.2, 0.4, 1.0))
    last = judge_elbow(rows, margin=0.01).last_doubling
    assert last.interpolated
    assert last.value == pytest.approx(np.log(2) / np.log(100), abs=0.01)
    assert not judge_elbow(stick(1.0), margin=0.01).last_doubling.interpolated
    assert judge_elbow(rows[rows["ratio"] >= 0.4], margin=0.01).last_doubling.value == pytest.approx(last.value)


def test_twice_the_data_is_foreseen_within_a_bracket():
    rng = np.random.default_rng(0)
    for law in (*POWER_LAWS[1:4], STRAIGHT_WORLDS[1]):
        to_come = float(np.diff(law.curve(scaled_log([1.0, 2.0])))[0])
        verdicts = [judge_elbow(simulate(law, TEN_RATIOS, 10, rng), margin=MARGIN) for _ in range(30)]
        brackets = [verdict.next_doubling.bracket for verdict in verdicts if verdict.next_doubling.bracket]
        assert sum(not low <= to_come <= high for low, high in brackets) <= at_most(0.10, len(brackets))
        widths = [high - low for low, high in brackets]
        assert np.median(widths) <= 1.3 * float(np.diff(law.curve(scaled_log([0.5, 1.0])))[0])


def test_nothing_is_foreseen_from_few_pairs_a_dimension_nor_where_more_is_worse():
    rows = stick(1.0)
    counted = rows.assign(n_train=(1000 * rows["ratio"]).round())
    assert judge_elbow(counted, margin=0.01, dimension=100).next_doubling.bracket is not None
    refused = judge_elbow(counted, margin=0.01, dimension=250).next_doubling
    assert refused.bracket is None
    assert "4.0 pairs a dimension" in refused.reason
    falling = judge_elbow(curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.8]), margin=0.01).next_doubling
    assert (falling.bracket, falling.reason) == (None, "a smaller ratio beats 100 %")
    few = judge_elbow(rows[rows["ratio"] >= 0.3], margin=0.01).next_doubling
    assert "4 ratios are too few" in few.reason


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_copies_of_one_run_are_refused(offset):
    rows = curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.8], seeds=1)
    copies = [rows.assign(seed=seed, value=rows["value"] + offset * seed) for seed in range(4)]
    with pytest.raises(ValueError, match="seeds 0 and 1 have the same curve"):
        judge_elbow(pd.concat(copies, ignore_index=True), margin=0.01)


def test_one_copied_seed_among_others_is_refused():
    rows = curve([0.2, 0.5, 0.7, 0.9, 0.9, 0.8])
    with pytest.raises(ValueError, match="seeds 3 and 9 have the same curve"):
        judge_elbow(pd.concat([rows, rows[rows["seed"] == 3].assign(seed=9)]), margin=0.01)
