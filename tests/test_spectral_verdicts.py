"""What experiment 2 says of effects whose cause is known, and its controls."""

import numpy as np
import pandas as pd
import pytest
from embalign.experiments.spectral.judgement import (
    answer,
    cause,
    find,
    judge_contrasts,
    judge_controls,
    settings_of,
)

from embalign.experiments.grid import Cell
from embalign.experiments.spectral.control import measure_control

SEEDS = 5
ARMS = ("baseline", "spectral", "signed_permutation", "norm_only")


def rows(effects, convention="raw", noise=0.0005):
    """Rows of every arm at one strength: a common value a seed, each arm's own effect, and a little noise."""
    rng = np.random.default_rng(0)
    common = rng.normal(0.6, 0.02, SEEDS)
    return pd.DataFrame(
        [
            {
                "arm": arm,
                "convention": "none" if arm == "baseline" else convention,
                "lambda": 0.0 if arm == "baseline" else 0.05,
                "draw": draw,
                "seed": seed,
                "cosine_mean": common[seed] + effects.get(arm, 0.0) + rng.normal(0, noise),
                "recall_at_1": 0.7 + rng.normal(0, 0.001),
            }
            for arm in ARMS
            for draw in range(2 if arm == "signed_permutation" else 1)
            for seed in range(SEEDS)
        ]
    )


def control_rows(gain=0.02):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        [
            {
                "arm": arm,
                "draw": draw,
                "seed": seed,
                "status": "ok",
                "cosine_mean": 0.9 + gain * own + rng.normal(0, 1e-3),
            }
            for arm, draw, own in (
                ("baseline", 0, 0),
                ("spectral", 0, 1),
                ("signed_permutation", 0, 0),
                ("signed_permutation", 1, 0),
            )
            for seed in range(SEEDS)
        ]
    )


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ({}, "no effect"),
        ({"spectral": 0.02}, "spectral"),
        ({"spectral": -0.02}, "spectral"),
        ({"spectral": 0.02, "signed_permutation": 0.02}, "shared with scrambled"),
        ({"spectral": 0.02, "signed_permutation": 0.02, "norm_only": 0.02}, "shared with the norm penalty"),
        ({"spectral": -0.02, "norm_only": -0.02}, "shared with the norm penalty"),
    ],
)
def test_an_effect_is_put_down_to_what_caused_it(effects, expected):
    contrasts = judge_contrasts(rows(effects))
    assert cause(contrasts, "raw", 0.05, "cosine_mean") == expected
    assert cause(contrasts, "raw", 0.05, "recall_at_1") == "no effect"


def test_a_planted_norm_effect_is_not_reported_as_a_gain_of_the_spectrum():
    contrasts = judge_contrasts(rows({"spectral": 0.02, "signed_permutation": 0.02, "norm_only": 0.02}))
    text = answer(contrasts, judge_controls(control_rows()))
    assert text.startswith("The spectral loss is not shown to help.")
    assert find(contrasts, "spectral", "baseline", "raw", 0.05, "cosine_mean").kind == "better"


def test_a_spectral_effect_is_reported_as_one():
    text = answer(judge_contrasts(rows({"spectral": 0.02})), judge_controls(control_rows()))
    assert text.startswith("The spectral loss helps, and the effect is spectral: mean cosine at 0.05 (raw)")


def test_the_norm_is_no_control_where_the_loss_does_not_see_it():
    contrasts = judge_contrasts(rows({"spectral": 0.02, "norm_only": 0.02}, convention="unit"))
    assert find(contrasts, "spectral", "norm_only", "unit", 0.05, "cosine_mean") is None
    assert cause(contrasts, "unit", 0.05, "cosine_mean") == "spectral"


def test_scrambled_draws_are_averaged_before_they_are_compared():
    measured = rows({})
    scrambled = (measured["arm"] == "signed_permutation") & (measured["draw"] == 1)
    contrasts = judge_contrasts(measured.assign(cosine_mean=measured["cosine_mean"] + 0.2 * scrambled))
    found = find(contrasts, "signed_permutation", "baseline", "raw", 0.05, "cosine_mean")
    assert found.verdict.difference == pytest.approx(0.1, abs=0.001)


def test_without_the_positive_control_there_is_no_verdict():
    contrasts = judge_contrasts(rows({"spectral": 0.02}))
    assert settings_of(contrasts) == [("raw", 0.05)]
    for controls in (control_rows(gain=0.0), control_rows().query("arm != 'spectral'")):
        assert answer(contrasts, judge_controls(controls)).startswith("No verdict: the positive control")


def test_the_positive_control_is_found_on_the_real_task_and_scrambling_twice_is_not():
    """Five trained maps an arm, as the quick profile has them."""
    measured = [
        {"arm": arm, "draw": draw, "seed": seed, "status": "ok", **measure_control(None, cell)}
        for arm, draw in (("spectral", 0), ("signed_permutation", 0), ("signed_permutation", 1))
        for seed in range(SEEDS)
        if (cell := Cell("spectral", "positive_control", "any", (("arm", arm), ("draw", draw)), seed))
    ]
    controls = judge_controls(pd.DataFrame(measured))
    assert controls.found
    assert controls.positive.difference > 0.01
    assert controls.negative.kind not in ("better", "worse")
