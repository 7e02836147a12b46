"""What experiment 1's report says of curves whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from embalign.experiments.elbow.answers import answer, beside_ridge
from embalign.experiments.elbow.judgement import claim_answer, compare_density, judge_all, long_frame
from worlds import TEN_RATIOS, broken_stick, scaled_log

from embalign.evaluation.by_label import pack

SEEDS, LABELS = 5, 20
METRICS = ("cosine_mean", "spearman", "recall_at_1", "mrr")


def references():
    return pd.DataFrame({"reference": ["mean_vector", "chance"], "seed": 0} | {key: [0.2, 0.2] for key in METRICS})


def rows(advantage=0.0, elbow=0.2):
    """Rows of random and density selection on a broken stick from 0.3 to 0.8; density is off by `advantage` below 1."""
    rng = np.random.default_rng(0)
    of_label = rng.normal(0, 0.05, LABELS)
    lines = []
    for policy in ("random", "density"):
        for ratio, height in zip(TEN_RATIOS, broken_stick(elbow)(scaled_log(TEN_RATIOS)), strict=True):
            for seed in range(SEEDS):
                shift = advantage * (policy == "density") * (ratio < 1)
                values = 0.3 + 0.5 * height + shift + of_label + rng.normal(0, 0.01, LABELS)
                line = {
                    "policy": policy,
                    "budget": "steps",
                    "ratio": ratio,
                    "n_train": round(2000 * ratio),
                    "seed": seed,
                }
                for metric in METRICS:
                    line[metric] = values.mean()
                    if metric != "spearman":
                        line[f"{metric}_by_label"] = pack(values)
                lines.append(line)
    return pd.DataFrame(lines)


@pytest.mark.parametrize(("advantage", "expected"), [(0.05, "supported"), (-0.05, "refuted"), (0.0, "not settled")])
def test_the_claim_is_answered_by_metric(advantage, expected):
    comparisons = compare_density(rows(advantage), references(), "steps")
    assert {found.metric for found in comparisons} == {"cosine_mean", "recall_at_1"}
    for metric in ("cosine_mean", "recall_at_1"):
        assert claim_answer([found for found in comparisons if found.metric == metric]) == expected


def test_gain_shares_are_counted_from_no_data_to_all_of_it():
    found = next(
        c for c in compare_density(rows(-0.06), references(), "steps") if (c.metric, c.ratio) == ("cosine_mean", 0.5)
    )
    assert found.share == pytest.approx(0.9, abs=0.02)
    assert found.difference.mean == pytest.approx(-0.1, abs=0.02)


def test_a_difference_at_a_few_ratios_settles_nothing():
    measured = rows()
    few = (measured["policy"] == "density") & (measured["ratio"] <= 0.05)
    measured.loc[few, "recall_at_1_by_label"] = pack(np.full(LABELS, 0.1))
    own = [c for c in compare_density(measured, references(), "steps") if c.metric == "recall_at_1"]
    assert [c.word for c in own].count("worse") == 3
    assert claim_answer(own) == "not settled"


def test_the_answer_names_elbow_and_ratio_over_seeds_and_labels():
    judged = judge_all(rows(), references())
    primary = next(found for found in judged if (found.policy, found.metric) == ("random", "cosine_mean"))
    assert primary.verdict.items == LABELS
    assert primary.gain == pytest.approx(0.6, abs=0.03)
    assert primary.recommended.keys() == {0.01, 0.10}
    first, second = answer(primary)
    assert first.startswith("There is an elbow at ")
    assert "beyond it a doubling brings" in first
    assert second.startswith("Recommended ratio: 20 %")
    assert next(found for found in judged if found.metric == "spearman").verdict.items == 0


def test_a_straight_curve_is_answered_with_no():
    judged = judge_all(rows(elbow=1.0), references())
    first, second = answer(next(found for found in judged if (found.policy, found.metric) == ("random", "mrr")))
    assert first.startswith("There is no elbow: more data goes on helping")
    assert "100 %, not saturated" in second


def test_smaller_ratios_are_called_worse_only_if_each_is_shown_to_be():
    wide = rows()
    few = (wide["ratio"] <= 0.02) & (wide["policy"] == "random")
    noise = np.random.default_rng(1).normal(0, 2.0, few.sum())
    for metric in METRICS:
        wide.loc[few, metric] += noise
        if metric != "spearman":
            wide.loc[few, f"{metric}_by_label"] = [pack(np.full(LABELS, value)) for value in wide.loc[few, metric]]
    told = {}
    for name, frame in (("sure", rows()), ("wide", wide)):
        judged = judge_all(frame, references())
        told[name] = answer(next(f for f in judged if (f.policy, f.metric) == ("random", "mrr")))[1]
    assert "every smaller one is shown to be worse" in told["sure"]
    assert "the next smaller one, 15 %, is shown to be worse" in told["wide"]


def test_ridge_speaks_beside_the_curve_of_fixed_steps():
    both = pd.concat([rows(elbow=1.0), rows().assign(budget="closed_form")])
    judged = judge_all(both, references())
    primary = next(f for f in judged if (f.policy, f.budget, f.metric) == ("random", "steps", "cosine_mean"))
    assert "ridge on the same ones, which has none, has an elbow at " in beside_ridge(judged, primary)
    assert beside_ridge([primary], primary) == ""


def test_values_by_label_become_items_of_their_row():
    frame = long_frame(rows().head(2), "mrr", "ratio")
    assert list(frame.columns) == ["ratio", "seed", "item", "value"]
    assert len(frame) == 2 * LABELS
    assert frame.groupby("seed")["value"].mean().to_numpy() == pytest.approx(rows().head(2)["mrr"], abs=1e-6)
