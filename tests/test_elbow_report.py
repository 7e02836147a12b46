"""What experiment 1's report says of curves whose truth is known."""

import dataclasses

import numpy as np
import pytest
from worlds import TEN_RATIOS, broken_stick, scaled_log

from embalign.evaluation.measurement import Measurement
from embalign.evaluation.results import collect
from embalign.experiments.elbow.policies import claim_answer, claim_budget, compare_policy
from embalign.experiments.elbow.protocol import BUDGETS, MARGIN_SHARE, Judgement, judge_curves
from embalign.experiments.templates import sentence

SEEDS, LABELS = 5, 20
USE, ALIGNMENT = "query_adapter_ndcg_at_10", "cosine_mean"
METRICS = (USE, ALIGNMENT, "spearman", "recall_at_1", "mrr")


def references(height=0.2):
    """References that count a gain from that height."""
    return collect(
        [
            ({"reference": name, "seed": seed}, Measurement(dict.fromkeys(METRICS, height)))
            for name in ("mean_vector", "untrained")
            for seed in range(SEEDS)
        ]
    )


def cells(advantage=0.0, elbow=0.2, budget="tuned"):
    """Cells of random and density selection on a broken stick from 0.3 to 0.8; density is off by `advantage` below 1.

    Each is its settings and the values by label (20,) that every metric has; Spearman alone is no mean over them.
    """
    rng = np.random.default_rng(0)
    of_label = rng.normal(0, 0.05, LABELS)
    for policy in ("random", "density"):
        for ratio, height in zip(TEN_RATIOS, broken_stick(elbow)(scaled_log(TEN_RATIOS)), strict=True):
            for seed in range(SEEDS):
                shift = advantage * (policy == "density") * (ratio < 1)
                values = 0.3 + 0.5 * height + shift + of_label + rng.normal(0, 0.01, LABELS)
                yield {"policy": policy, "budget": budget, "ratio": ratio, "seed": seed}, dict.fromkeys(METRICS, values)


def results(measured):
    """Results of such cells."""
    return collect(
        [
            (
                settings,
                Measurement(
                    {metric: values.mean() for metric, values in found.items()}
                    | {"n_train": round(2000 * settings["ratio"])},
                    {metric: values.astype("f4") for metric, values in found.items() if metric != "spearman"},
                ),
            )
            for settings, found in measured
        ]
    )


def curve(judged, metric, budget="tuned"):
    return next(f for f in judged if (f.policy, f.budget, f.metric) == ("random", budget, metric))


def elbow_line(found):
    return sentence("elbow/answer.md.j2", "elbow_line", found, BUDGETS)


def recommendation(found):
    return sentence("elbow/answer.md.j2", "recommendation", found, MARGIN_SHARE)


@pytest.mark.parametrize(("advantage", "expected"), [(0.05, "supported"), (-0.05, "refuted"), (0.0, "not settled")])
def test_the_claim_is_answered_by_metric(advantage, expected):
    comparisons = compare_policy(results(cells(advantage)), references(), "tuned")
    assert {found.metric for found in comparisons} == {USE, ALIGNMENT}
    for metric in (USE, ALIGNMENT):
        assert claim_answer([found for found in comparisons if found.metric == metric]) == expected


def test_gain_shares_are_counted_from_no_training_to_all_data():
    comparisons = compare_policy(results(cells(-0.06)), references(), "tuned")
    found = next(c for c in comparisons if (c.metric, c.ratio) == ("cosine_mean", 0.5))
    assert found.share == pytest.approx(0.9, abs=0.02)
    assert found.difference.mean == pytest.approx(-0.1, abs=0.02)


def test_a_difference_at_a_few_ratios_settles_nothing():
    measured = [
        (settings, {**found, USE: np.full(LABELS, 0.1)} if few(settings, "density", 0.05) else found)
        for settings, found in cells()
    ]
    own = [c for c in compare_policy(results(measured), references(), "tuned") if c.metric == USE]
    assert [c.word for c in own].count("worse") == 3
    assert claim_answer(own) == "not settled"


def few(settings, policy, most):
    return settings["policy"] == policy and settings["ratio"] <= most


def test_the_answer_names_elbow_and_ratio_over_seeds_and_labels():
    judged = judge_curves(results(cells()), references())
    primary = curve(judged, "cosine_mean")
    assert primary.verdict.items == LABELS
    assert primary.gain == pytest.approx(0.6, abs=0.03)
    assert primary.recommended.keys() == {0.01, 0.10}
    assert primary.pairs == 2000
    assert elbow_line(primary).startswith("Elbow: ")
    assert " pairs (" in elbow_line(primary)
    assert "beyond it a doubling brings" in elbow_line(primary)
    assert recommendation(primary).startswith("Recommended ratio: 20 %, 400 pairs: ")
    assert "pairs are enough, and fewer than 3" in recommendation(primary)
    assert curve(judged, "spearman").verdict.items == 0


def test_a_straight_curve_is_answered_with_no():
    found = curve(judge_curves(results(cells(elbow=1.0)), references()), "mrr")
    words = elbow_line(found)
    assert words.startswith("Elbow: none: no bend towards diminishing returns is shown (")
    told = sentence("elbow/answer.md.j2", "doubling", found)
    assert told.startswith("Last doubling: 1,000 to 2,000 pairs brought +0.0")
    assert "more data is shown to help" in told
    assert recommendation(found).startswith(
        "Recommended ratio: 100 %, 2,000 pairs: no smaller measured number is shown"
    )


def test_a_curve_that_is_not_settled_is_inconclusive_and_one_without_a_verdict_says_why():
    found = curve(judge_curves(results(cells()), references()), "cosine_mean")
    open_ended = dataclasses.replace(found.verdict, kind="unidentifiable", reason="too few ratios lie before it")
    words = elbow_line(dataclasses.replace(found, verdict=open_ended))
    assert words.startswith("Elbow: inconclusive: too few ratios lie before it (")
    assert words.endswith("(mean cosine, random selection, tuned steps).")
    missing = dataclasses.replace(found, verdict=None, reason="fewer than 5 ratios")
    where = "(mean cosine, random selection, tuned steps)"
    assert elbow_line(missing) == f"Elbow: no verdict {where}: fewer than 5 ratios."
    assert recommendation(missing) == "Recommended ratio: none."


def test_a_curve_that_does_not_rise_above_the_untrained_map_has_neither_elbow_nor_recommended_ratio():
    found = curve(judge_curves(results(cells()), references(0.85)), USE)
    assert (found.verdict.kind, found.verdict.recommended_ratio) == ("no_gain", None)
    assert found.recommended == {}
    assert elbow_line(found).startswith("Elbow: none, for there is no gain (")
    assert "better than the untrained map;" in elbow_line(found)
    of_cosine = curve(judge_curves(results(cells()), references(0.85)), ALIGNMENT)
    assert "better than the better of untrained map and constant vector;" in elbow_line(of_cosine)
    assert recommendation(found) == "Recommended ratio: none."


def test_the_gain_in_mean_cosine_counts_from_the_better_of_constant_and_untrained():
    rows = [
        ({"reference": name, "seed": seed}, Measurement({ALIGNMENT: height, USE: height}))
        for name, height in (("mean_vector", 0.5), ("untrained", 0.1))
        for seed in range(SEEDS)
    ]
    judged = judge_curves(results(cells()), collect(rows))
    assert curve(judged, ALIGNMENT).gain == pytest.approx(0.3, abs=0.03)
    assert curve(judged, USE).gain == pytest.approx(0.7, abs=0.03)


def test_other_recipes_speak_beside_the_curve_of_tuned_steps():
    others = [*cells(budget="closed_form"), *cells(elbow=1.0, budget="steps")]
    told = recipe(judge_curves(results([*cells(elbow=1.0), *others]), references()))
    assert told.startswith("Recipe: that is with tuned steps, chosen by cosine inside each subset. With fixed steps: ")
    assert "By ridge: elbow at 40" in told
    alone = recipe(judge_curves(results(cells()), references()))
    assert alone.endswith("No other recipe was measured beside it.")


def test_there_is_no_verdict_where_training_has_not_seen_all_of_the_data():
    def judged(draws):
        measured = results(cells())
        frame = measured.frame.assign(draws_over_n=draws * 0.1 / measured.frame["ratio"])
        return curve(judge_curves(dataclasses.replace(measured, frame=frame), references()), USE)

    assert judged(10).verdict is not None
    few = judged(9)
    assert few.verdict is None
    assert few.reason == "its training draws each item 0.9 times, so it has not seen all of the data"


def test_the_claim_is_judged_by_the_headlines_recipe_or_by_ridge():
    random_alone = [(settings, found) for settings, found in cells() if settings["policy"] == "random"]
    assert claim_budget(results(random_alone)) is None
    assert claim_budget(results([*random_alone, *cells(budget="closed_form")])) == "closed_form"
    assert claim_budget(results([*cells(), *cells(budget="closed_form")])) == "tuned"


def recipe(judged):
    return sentence("elbow/answer.md.j2", "recipe", Judgement([], {}, {}, {}, judged), BUDGETS, MARGIN_SHARE)


def test_values_by_label_become_items_of_their_cell():
    of_two = list(cells())[:2]
    frame = results(of_two).long("mrr", "ratio")
    assert list(frame.columns) == ["ratio", "seed", "item", "value"]
    assert len(frame) == 2 * LABELS
    means = [found["mrr"].mean() for _, found in of_two]
    assert frame.groupby("seed")["value"].mean().to_numpy() == pytest.approx(means, abs=1e-6)
