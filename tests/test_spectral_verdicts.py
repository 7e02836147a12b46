"""What experiment 2 says of effects whose cause is known, and its controls."""

import numpy as np
import pytest

from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.results import collect
from embalign.experiments.elbow.cells import measure_reference
from embalign.experiments.grid import Cell
from embalign.experiments.references import REFERENCES
from embalign.experiments.spectral.cells import measure_arm
from embalign.experiments.spectral.control import measure_control
from embalign.experiments.spectral.protocol import MARGINS, cause, judge_controls, planned, settings_of
from embalign.experiments.spectral.report import _answer
from embalign.experiments.templates import sentences
from embalign.pairs.pair import load_pair
from embalign.verdicts.contrasts import find, judge_contrasts
from embalign.verdicts.metrics import PRIMARY
from embalign.verdicts.sanity import Suspicion
from embalign.verdicts.statistics import StudentT
from embalign.verdicts.use import Use

SEEDS = 5
ARMS = ("baseline", "spectral", "signed_permutation", "norm_only")
RAW = ("raw", 0.05)


def results(effects, convention="raw", noise=0.0005, changed=lambda settings: 0.0):
    """Cells of every arm at one strength: a common value a seed, each arm's own effect, and a little noise.

    Effects are on mean cosine and on the primary metric; `changed` is added to the mean cosine of cells by their
    settings.
    """
    rng = np.random.default_rng(0)
    common = rng.normal(0.6, 0.02, SEEDS)
    cells = []
    for arm in ARMS:
        setting = ("none", 0.0) if arm == "baseline" else (convention, 0.05)
        for draw in range(2 if arm == "signed_permutation" else 1):
            for seed in range(SEEDS):
                settings = {"arm": arm, "convention": setting[0], "lambda": setting[1], "draw": draw, "seed": seed}
                cosine = common[seed] + effects.get(arm, 0.0) + rng.normal(0, noise) + changed(settings)
                ndcg = 0.3 + effects.get(arm, 0.0) + rng.normal(0, noise)
                recall = 0.7 + rng.normal(0, 0.001)
                metrics = {PRIMARY: ndcg, "cosine_mean": cosine, "recall_at_1": recall}
                cells.append((settings, Measurement(metrics)))
    return collect(cells)


def judged(measured):
    return judge_contrasts(measured, planned(measured), MARGINS)


def control(gain=0.02):
    """Cells of the positive control: the spectral arm gains, neither draw of the scrambled one does."""
    rng = np.random.default_rng(1)
    gains = {("baseline", 0): 0, ("spectral", 0): gain, ("signed_permutation", 0): 0, ("signed_permutation", 1): 0}
    return collect(
        [
            ({"arm": arm, "draw": draw, "seed": seed}, Measurement({"cosine_mean": 0.9 + own + rng.normal(0, 1e-3)}))
            for (arm, draw), own in gains.items()
            for seed in range(SEEDS)
        ]
    )


def answer(contrasts, controls, uses=(), suspicions=()):
    found = _answer(contrasts, judge_controls(controls)) | {"uses": dict(uses), "suspicions": suspicions}
    return " ".join(sentences("spectral/answer.md.j2", "lines", found))


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
    contrasts = judged(results(effects))
    assert cause(contrasts, RAW, PRIMARY) == expected
    assert cause(contrasts, RAW, "cosine_mean") == expected
    assert cause(contrasts, RAW, "recall_at_1") == "no effect"


def test_a_planted_norm_effect_is_not_reported_as_a_gain_of_the_spectrum():
    contrasts = judged(results({"spectral": 0.02, "signed_permutation": 0.02, "norm_only": 0.02}))
    assert answer(contrasts, control()).startswith("The spectral loss is not shown to help.")
    assert find(contrasts, "spectral", "baseline", RAW, "cosine_mean").kind == "better"


def test_a_spectral_effect_is_reported_as_one():
    """The deployment that the metric belongs to is named."""
    text = answer(judged(results({"spectral": 0.02})), control())
    gains = "query adapter nDCG@10 at 0.05 (raw), mean cosine at 0.05 (raw)."
    assert text.startswith(f"The spectral loss helps, and the effect is spectral: {gains}")


@pytest.mark.parametrize(
    ("level", "words"), [(0.4, "better"), (0.2, "worse"), (0.3, "not shown to be better")], ids=str
)
def test_the_answer_says_whether_the_map_beats_no_map_as_a_query_adapter(level, words):
    difference = StudentT(level - 0.3, 0.01, 50)
    use = Use("query_adapter", level, 0.3, 0.0, 0.6, 0.0, difference, StudentT(level / 0.6, 0.01, 50))
    text = answer(judged(results({})), control(), {"query_adapter": use})
    assert f"As a query adapter, the baseline map is {words} than no map: nDCG@10 {level:.3f} against 0.300 for" in text


def test_a_fatal_suspicion_comes_first_and_leaves_no_verdict():
    suspicion = Suspicion("rows", "the rows do not match.", fatal=True)
    text = answer(judged(results({"spectral": 0.02})), control(), suspicions=[suspicion])
    assert text == "Warning: the rows do not match. No verdict: what is warned of has to be settled first."


def test_references_are_no_arms_of_a_contrast():
    """A margin of 0.003 says nothing of the teacher, nor of chance."""
    references = [
        ({"arm": arm, "convention": "none", "lambda": 0.0, "draw": 0, "seed": seed}, Measurement({PRIMARY: 0.5}))
        for arm in ("mean_vector", "untrained", "chance", "draft", "teacher", "ridge")
        for seed in range(SEEDS)
    ]
    assert [plan.treatment for plan in planned(collect(references))] == ["ridge"]


def test_the_norm_is_no_control_where_the_loss_does_not_see_it():
    contrasts = judged(results({"spectral": 0.02, "norm_only": 0.02}, convention="unit"))
    assert find(contrasts, "spectral", "norm_only", ("unit", 0.05), "cosine_mean") is None
    assert cause(contrasts, ("unit", 0.05), "cosine_mean") == "spectral"


def test_scrambled_draws_are_averaged_before_they_are_compared():
    second = {"arm": "signed_permutation", "draw": 1}
    contrasts = judged(results({}, changed=lambda settings: 0.2 * (settings.items() >= second.items())))
    found = find(contrasts, "signed_permutation", "baseline", RAW, "cosine_mean")
    assert found.verdict.difference == pytest.approx(0.1, abs=0.001)


def test_without_the_positive_control_there_is_no_verdict():
    contrasts = judged(results({"spectral": 0.02}))
    assert settings_of(contrasts) == [RAW]
    for controls in (control(gain=0.0), control().where(arm=["baseline", "signed_permutation"])):
        assert answer(contrasts, controls).startswith("No verdict: the positive control")


def test_without_a_comparison_there_is_no_verdict():
    assert answer([], control()) == (
        "No verdict: no comparison of the spectral loss with the baseline could be measured."
    )


def test_contrasts_are_planned_with_each_control_and_adjusted_over_settings_and_metrics():
    measured = results({"spectral": 0.02})
    plans = {(plan.treatment, plan.control): plan.control_has_setting for plan in planned(measured)}
    assert plans == {
        ("spectral", "signed_permutation"): True,
        ("spectral", "baseline"): False,
        ("spectral", "norm_only"): True,
        ("signed_permutation", "baseline"): False,
        ("norm_only", "baseline"): False,
    }
    own = [c for c in judged(measured) if (c.treatment, c.control) == ("spectral", "baseline")]
    assert [(c.metric, c.convention, c.strength) for c in own] == [(metric, *RAW) for metric in MARGINS]
    small, middle, large = sorted(own, key=lambda contrast: contrast.verdict.p_value)
    assert small.p_holm == pytest.approx(3 * small.verdict.p_value)
    assert middle.p_holm == pytest.approx(max(small.p_holm, 2 * middle.verdict.p_value))
    assert large.p_holm == pytest.approx(max(middle.p_holm, large.verdict.p_value))
    assert own[0].as_record()["weight"] == 0.05


def test_the_positive_control_is_found_on_the_real_task_and_scrambling_twice_is_not():
    """Five trained maps an arm, as the quick profile has them."""
    measured = [
        (cell.identity(), measure_control(None, cell))
        for arm, draw in (("spectral", 0), ("signed_permutation", 0), ("signed_permutation", 1))
        for seed in range(SEEDS)
        if (cell := Cell("spectral", "positive_control", "any", (("arm", arm), ("draw", draw)), seed))
    ]
    controls = judge_controls(collect(measured))
    assert controls.found
    assert controls.positive.difference > 0.01
    assert controls.negative.kind not in ("better", "worse")


def test_references_are_measured_as_experiment_1_measures_them(small_pair):
    """Maps have spectral metrics beside; no map and chance have no cosine to the teacher, the constant no search."""
    pair = load_pair(small_pair)
    measured = {}
    for name in REFERENCES:
        settings = {"arm": name, "convention": "none", "lambda": 0.0, "draw": 0}
        found = measure_arm(pair, Cell("spectral", "spectral_ab", "small", tuple(settings.items()), 1)).metrics
        reference = measure_reference(pair, Cell("elbow", "references", "small", (("reference", name),), 1)).metrics
        assert found | reference == found
        measured[name] = found
    assert {name for name, found in measured.items() if "cosine_mean" not in found} == {"draft", "chance"}
    assert {name for name, found in measured.items() if PRIMARY not in found} == {"mean_vector"}
    assert {name for name, found in measured.items() if "spec_cosine" in found} == {"mean_vector", "untrained"}
    for use in DEPLOYMENTS:
        retention = {name: found.get(f"{use}_retention_ndcg_at_10") for name, found in measured.items()}
        assert retention["teacher"] == pytest.approx(1.0)
        assert retention["chance"] < retention["draft"] < 1
