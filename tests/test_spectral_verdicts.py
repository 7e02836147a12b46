"""What experiment 2 says of effects whose cause is known, and its controls."""

import dataclasses
import itertools
import re

import numpy as np
import pytest

from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.results import collect
from embalign.experiments.elbow.cells import measure_reference
from embalign.experiments.grid import Cell
from embalign.experiments.references import REFERENCES
from embalign.experiments.spectral import protocol
from embalign.experiments.spectral.cells import measure_arm
from embalign.experiments.spectral.control import measure_control
from embalign.experiments.spectral.findings import findings
from embalign.experiments.spectral.protocol import MARGINS, PHASE, cause, judge, judge_controls, planned, settings_of
from embalign.experiments.templates import sentences
from embalign.pairs.pair import load_pair
from embalign.verdicts.contrasts import find
from embalign.verdicts.metrics import PRIMARY
from embalign.verdicts.sanity import Suspicion
from embalign.verdicts.statistics import StudentT
from embalign.verdicts.use import Use

SEEDS = 5
ARMS = ("baseline", "spectral", "signed_permutation", "norm_only")
OF_PHASE = ("baseline", "phase", "scrambled_phase", "shrink")
RAW = ("raw", 0.05, "small")


def cells_of(effects, *, init="small", convention="raw", names=ARMS, ratios=None, noise=0.0005, changed=None):
    """Cells of every arm at one strength from one start: a common value a seed, each arm's own effect, a little noise.

    Effects are on mean cosine and on the primary metric; `changed` is added to the mean cosine of cells by their
    settings, and `ratios` are gradient ratios of arms, 0.01 for others.
    """
    rng = np.random.default_rng([1, *init.encode()])
    common = rng.normal(0.6, 0.02, SEEDS)
    cells = []
    for arm in names:
        strength = ("none", 0.0) if arm == "baseline" else (convention, 0.05)
        for draw, seed in itertools.product(range(2 if arm == "signed_permutation" else 1), range(SEEDS)):
            settings = dict(zip(("convention", "lambda"), strength, strict=True))
            settings = {"arm": arm, **settings, "init": init, "draw": draw, "seed": seed}
            cosine = common[seed] + effects.get(arm, 0.0) + rng.normal(0, noise)
            metrics = {
                PRIMARY: 0.3 + effects.get(arm, 0.0) + rng.normal(0, noise),
                "cosine_mean": cosine + (changed(settings) if changed else 0.0),
                "recall_at_1": 0.7 + rng.normal(0, 0.001),
                "gradient_ratio": 0.0 if arm == "baseline" else (ratios or {}).get(arm, 0.01),
                "output_norm": 0.04,
            }
            cells.append((settings, Measurement(metrics)))
    return cells


def results(effects, **how):
    return collect(cells_of(effects, **how))


def control(gain=0.005):
    """Cells of the positive control: the spectral arm gains, neither draw of the scrambled one does."""
    rng = np.random.default_rng(1)
    gains = {("baseline", 0): 0, ("spectral", 0): gain, ("signed_permutation", 0): 0, ("signed_permutation", 1): 0}
    return collect(
        [
            ({"arm": arm, "draw": draw, "seed": seed}, Measurement({PRIMARY: 0.9 + own + rng.normal(0, 5e-4)}))
            for (arm, draw), own in gains.items()
            for seed in range(SEEDS)
        ]
    )


def answer(measured, controls, uses=(), suspicions=()):
    contrasts = judge(measured) if measured else []
    found = findings(contrasts, judge_controls(controls), measured)
    return " ".join(sentences("spectral/answer.md.j2", "lines", found, dict(uses), suspicions, protocol))


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
    contrasts = judge(results(effects))
    assert cause(contrasts, RAW, PRIMARY) == expected
    assert cause(contrasts, RAW, "cosine_mean") == expected
    assert cause(contrasts, RAW, "recall_at_1") == "no effect"


def test_a_planted_norm_effect_is_not_reported_as_a_gain_of_the_spectrum():
    measured = results({"spectral": 0.02, "signed_permutation": 0.02, "norm_only": 0.02})
    text = answer(measured, control())
    assert text.startswith("No gain of the spectral loss counts as spectral. It is better than the baseline in 2 of 3 ")
    assert "comparisons: 2 shared with the norm penalty." in text
    assert "helps" not in text
    assert find(judge(measured), "spectral", "baseline", RAW, "cosine_mean").kind == "better"


def test_a_spectral_effect_is_reported_as_one():
    """The deployment that the metric belongs to is named."""
    text = answer(results({"spectral": 0.02}), control())
    gains = (
        r"query adapter nDCG@10 \+0\.0\d+ at 0\.05 \(raw, small start\), mean cosine \+0\.0\d+ at 0\.05 \(raw, small"
    )
    assert re.match(rf"The spectral loss helps, and the effect is spectral: {gains} start\)\. At", text)
    assert "It counts as spectral, at this initial scale and learning rate." in text


@pytest.mark.parametrize(
    ("level", "words"), [(0.4, "better"), (0.2, "worse"), (0.3, "not shown to be better")], ids=str
)
def test_the_answer_says_whether_the_map_beats_no_map_as_a_query_adapter(level, words):
    difference = StudentT(level - 0.3, 0.01, 50)
    use = Use("query_adapter", level, 0.3, 0.0, 0.6, 0.0, difference, StudentT(level / 0.6, 0.01, 50))
    text = answer(results({}), control(), {"query_adapter": use})
    assert f"As a query adapter, the baseline map is {words} than no map: nDCG@10 {level:.3f} against 0.300 for" in text


def test_a_fatal_suspicion_comes_first_and_leaves_no_verdict():
    suspicion = Suspicion("rows", "the rows do not match.", fatal=True)
    text = answer(results({"spectral": 0.02}), control(), suspicions=[suspicion])
    assert text == "Warning: the rows do not match. No verdict: what is warned of has to be settled first."


def test_references_are_no_arms_of_a_contrast():
    """A margin of 0.003 says nothing of the teacher, nor of chance."""
    references = [
        ({"arm": arm, "convention": "none", "lambda": 0.0, "init": init, "seed": seed}, Measurement({PRIMARY: 0.5}))
        for arm, init in (
            *[(arm, "none") for arm in ("mean_vector", "untrained", "chance", "draft", "teacher", "ridge")],
            *[("baseline", init) for init in ("small", "linear")],
        )
        for seed in range(SEEDS)
    ]
    plans = [(plan.treatment, plan.control, plan.init) for plan in planned(collect(references))]
    assert plans == [("ridge", "baseline", "small"), ("ridge", "baseline", "linear")]


def test_the_norm_is_no_control_where_the_loss_does_not_see_it():
    contrasts = judge(results({"spectral": 0.02, "norm_only": 0.02}, convention="unit"))
    assert find(contrasts, "spectral", "norm_only", ("unit", 0.05, "small"), "cosine_mean") is None
    assert cause(contrasts, ("unit", 0.05, "small"), "cosine_mean") == "spectral"


def test_scrambled_draws_are_averaged_before_they_are_compared():
    second = {"arm": "signed_permutation", "draw": 1}
    contrasts = judge(results({}, changed=lambda settings: 0.2 * (settings.items() >= second.items())))
    found = find(contrasts, "signed_permutation", "baseline", RAW, "cosine_mean")
    assert found.verdict.difference == pytest.approx(0.1, abs=0.001)


def test_without_the_positive_control_there_is_no_verdict():
    measured = results({"spectral": 0.02})
    assert settings_of(judge(measured)) == [RAW]
    for controls in (control(gain=0.0), control().where(arm=["baseline", "signed_permutation"])):
        assert answer(measured, controls).startswith("No verdict: the positive control")


def test_without_a_comparison_there_is_no_verdict():
    assert answer(None, control()) == (
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
    own = [c for c in judge(measured) if (c.treatment, c.control) == ("spectral", "baseline")]
    assert [(c.metric, *c.setting) for c in own] == [(metric, *RAW) for metric in MARGINS]
    small, middle, large = sorted(own, key=lambda contrast: contrast.verdict.p_value)
    assert small.p_holm == pytest.approx(3 * small.verdict.p_value)
    assert middle.p_holm == pytest.approx(max(small.p_holm, 2 * middle.verdict.p_value))
    assert large.p_holm == pytest.approx(max(middle.p_holm, large.verdict.p_value))
    assert own[0].as_record()["weight"] == 0.05


def test_arms_are_compared_with_those_of_their_own_start():
    """An effect of the linear start alone is said of it alone, though the starts differ by far more."""
    effects = {"spectral": 0.02}
    high = {name: 0.3 + effects.get(name, 0.0) for name in ARMS}
    measured = collect([*cells_of({}), *cells_of(high, init="linear")])
    contrasts = judge(measured)
    assert {c.init for c in contrasts} == {"small", "linear"}
    assert settings_of(contrasts) == [RAW, ("raw", 0.05, "linear")]
    assert cause(contrasts, RAW, PRIMARY) == "no effect"
    assert cause(contrasts, ("raw", 0.05, "linear"), PRIMARY) == "spectral"
    assert max(abs(c.verdict.difference) for c in contrasts) < 0.03
    text = answer(measured, control())
    assert "(raw, linear start)" in text
    assert "(raw, small start)" not in text
    small, linear = text.index("With the small start (initial scale 0.01"), text.index("With the linear start (initial")
    assert (
        "It does not count as spectral: its effect is within the margin and not shown to differ from 0."
        in text[small:linear]
    )
    assert "It counts as spectral, at this initial scale and learning rate." in text[linear:]


def test_cells_without_a_start_are_compared_as_they_are():
    """The gate's table does not vary it."""
    cells = [({k: v for k, v in settings.items() if k != "init"}, own) for settings, own in cells_of({})]
    contrasts = judge(collect(cells))
    assert {(c.init, c.inert) for c in contrasts} == {("", False)}
    assert find(contrasts, "spectral", "baseline", ("raw", 0.05, ""), PRIMARY).kind == "equivalent"


@pytest.mark.parametrize(("effect", "direction"), [(0.0015, "better"), (-0.0015, "worse"), (0.0, None)])
def test_a_difference_inside_the_margin_that_excludes_zero_is_called_below_the_margin(effect, direction):
    measured = results({"spectral": effect, "signed_permutation": effect, "norm_only": effect}, noise=0.0001)
    contrasts = judge(measured)
    found = find(contrasts, "spectral", "baseline", RAW, PRIMARY)
    assert (found.kind, found.below_margin) == ("equivalent", direction)
    assert found.words == (f"{direction}, below the margin" if direction else "equivalent")
    assert found.as_record()["below_margin"] == direction
    assert cause(contrasts, RAW, PRIMARY) == ("below the margin" if direction else "no effect")
    assert ("its effect is below the margin" in answer(measured, control())) == (direction is not None)


def test_a_difference_below_the_margin_has_to_survive_holms_adjustment():
    found = find(judge(results({"spectral": 0.0015}, noise=0.0001)), "spectral", "baseline", RAW, PRIMARY)
    assert dataclasses.replace(found, p_holm=0.05).below_margin == "better"
    assert dataclasses.replace(found, p_holm=0.051).words == "equivalent"


def test_below_the_margin_knows_which_direction_is_better():
    found = find(judge(results({"spectral": 0.0015}, noise=0.0001)), "spectral", "baseline", RAW, PRIMARY)
    assert dataclasses.replace(found, metric="gate_augrc").below_margin == "worse"


@pytest.mark.parametrize(("ratio", "inert"), [(0.99e-4, True), (1.01e-4, False)])
def test_a_term_without_a_gradient_worth_the_name_is_inert_and_no_evidence(ratio, inert):
    measured = results({}, ratios={"spectral": ratio})
    contrasts = judge(measured)
    assert {c.inert for c in contrasts if c.treatment == "spectral"} == {inert}
    assert not any(c.inert for c in contrasts if c.treatment != "spectral")
    assert cause(contrasts, RAW, PRIMARY) == ("inert" if inert else "no effect")
    text = answer(measured, control())
    assert ("of 3 comparisons with the baseline: 3 equivalent." in text) != inert
    assert ("3 more are of inert terms (λ 0.05) and count as no evidence." in text) == inert
    assert find(contrasts, "spectral", "baseline", RAW, PRIMARY).as_record()["inert"] == inert


def test_an_inert_control_gives_no_ground_to_call_an_effect_spectral():
    """Whatever beats a control that cannot do anything, beats the baseline."""
    contrasts = judge(results({"spectral": 0.02}, ratios={"norm_only": 1e-6}))
    against = find(contrasts, "spectral", "norm_only", RAW, PRIMARY)
    assert (against.verdict.kind, against.words) == ("better", "inert")
    assert cause(contrasts, RAW, PRIMARY) == "not settled"


def test_inert_contrasts_are_no_tests_that_holms_adjustment_counts():
    """Adding them to a family does not make the others harder to show."""
    inert = [cell for cell in cells_of({}, ratios={"spectral": 1e-6}, init="linear") if cell[0]["arm"] != "norm_only"]
    both, alone = (
        judge(collect(cells)) for cells in ([*cells_of({"spectral": 0.02}), *inert], cells_of({"spectral": 0.02}))
    )
    of_both = [c for c in both if (c.treatment, c.init) == ("spectral", "small")]
    assert of_both == [c for c in alone if c.treatment == "spectral"]
    assert {c.p_holm for c in both if c.inert} == {1.0}


def test_inert_terms_never_help():
    measured = results({"spectral": 0.02}, ratios={"spectral": 1e-6})
    assert answer(measured, control()).startswith("The spectral loss is not shown to help. 3 more are of inert terms")


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ({"phase": 0.02}, "phase"),
        ({"phase": 0.02, "scrambled_phase": 0.02}, "shared with scrambled"),
        ({"phase": 0.02, "scrambled_phase": 0.02, "shrink": 0.02}, "shared with shrinking"),
        ({"phase": 0.02, "shrink": 0.04}, "shared with shrinking"),
        ({}, "no effect"),
    ],
)
def test_an_effect_of_the_phase_has_to_go_beyond_scrambled_phase_and_shrinking(effects, expected):
    both = [*cells_of({}), *(cell for cell in cells_of(effects, names=OF_PHASE) if cell[0]["arm"] != "baseline")]
    measured = collect(both)
    contrasts = judge(measured)
    assert cause(contrasts, RAW, PRIMARY, PHASE) == expected
    assert findings(contrasts, judge_controls(control())).cause[find(contrasts, "phase", "baseline", RAW, PRIMARY)] == (
        expected
    )
    text = answer(measured, control())
    assert text.startswith("The spectral loss is not shown to help.")
    assert ("It nowhere counts as phase." in text) == (expected != "phase")


def test_the_positive_control_is_found_on_the_real_task_and_scrambling_twice_is_not():
    """Five trained maps an arm, as the quick profile has them; the effect is of the size of the real margin."""
    measured = [
        (cell.identity(), measure_control(None, cell))
        for arm, draw in (("spectral", 0), ("signed_permutation", 0), ("signed_permutation", 1))
        for seed in range(SEEDS)
        if (cell := Cell("spectral", "positive_control", "any", (("arm", arm), ("draw", draw)), seed))
    ]
    controls = judge_controls(collect(measured))
    assert controls.found
    assert MARGINS[PRIMARY] < controls.positive.difference < 2 * MARGINS[PRIMARY]
    assert controls.negative.kind not in ("better", "worse")


def test_references_are_measured_as_experiment_1_measures_them(small_pair):
    """Maps have spectral metrics beside; no map and chance have no cosine to the teacher, the constant no search."""
    pair = load_pair(small_pair)
    measured = {}
    for name in REFERENCES:
        settings = {"arm": name, "convention": "none", "lambda": 0.0, "init": "none", "draw": 0}
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
