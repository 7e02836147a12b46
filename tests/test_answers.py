"""No two sentences of an answer contradict each other, whatever the curve."""

import itertools
import re
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from worlds import (
    AT_MARGIN,
    DECLINE,
    ELBOW_WORLDS,
    NOISE,
    PLATEAU,
    POWER_LAWS,
    SHAPES,
    SIX_RATIOS,
    STRAIGHT_WORLDS,
    TEN_RATIOS,
    simulate,
)

from embalign.experiments.elbow.protocol import BUDGETS, MARGIN_SHARE, Judged
from embalign.experiments.templates import sentence
from embalign.verdicts.elbow import Kind, judge_elbow
from embalign.verdicts.metrics import PRIMARY

PAIRS = 4_000
WORLDS = (*STRAIGHT_WORLDS, *ELBOW_WORLDS, *POWER_LAWS, *SHAPES, DECLINE, PLATEAU, AT_MARGIN)
MACROS = ("pairs", "recommendation", "doubling", "elbow_line", "unseen", "enough")
# Of each pair at most one may be said of a curve.
EXCLUSIVE = [
    ("more data is shown to help", "no effect of the amount of data was found"),
    ("more data is shown to help", "at most the margin of"),
    ("more data is shown to help", "not settled"),
    ("more data is shown to help", "there is no gain"),
    ("more data is shown to help", "beat all"),
    ("more data is shown to help", "Recommended ratio: none"),
    ("Elbow: none", "a corner, and beyond it"),
    ("no bend towards diminishing returns is shown", "corner would lie between"),
    ("no bend towards diminishing returns is shown", "b is "),
    ("without a corner", "corner would lie between"),
    ("there is no gain", "Twice the pairs would bring"),
    ("there is no gain", "the fewest from which on"),
    ("there is no gain", "Enough for"),
    ("beat all", "Twice the pairs would bring"),
    ("Twice the pairs would bring", "nothing is foreseen"),
    ("every measured number is shown to lose", "no smaller measured number is shown"),
    ("Recommended ratio: 100 %", "every measured number is shown to lose"),
    ("inconclusive", "a corner, and beyond it"),
]


def judged(world, ratios, seeds, noise, rng, origin):
    """A judged curve of a simulated world, as the experiment has it."""
    rows = simulate(world, ratios, seeds, rng, noise)
    rows = rows.assign(n_train=(PAIRS * rows["ratio"]).round())
    gain = float(rows.loc[rows["ratio"] == 1, "value"].mean()) - origin
    start = pd.DataFrame({"seed": range(seeds), "value": origin + 0.001 * rng.standard_normal(seeds)})
    verdict = judge_elbow(rows, margin=MARGIN_SHARE * max(gain, 0.0), origin=start, dimension=100)
    return Judged("random", "tuned", PRIMARY, gain, verdict, "", PAIRS, 100)


def answer(found):
    """What is said of a curve, without what is said of deployments."""
    options = {"recommendation": [MARGIN_SHARE], "enough": [MARGIN_SHARE], "elbow_line": [BUDGETS]}
    return [sentence("elbow/answer.md.j2", macro, found, *options.get(macro, [])) for macro in MACROS]


@pytest.fixture(scope="module")
def curves():
    """Curves of every world, with the untrained map below all of them, near the end, and above it."""
    rng = np.random.default_rng(0)
    grids = ((TEN_RATIOS, 10, NOISE), (TEN_RATIOS, 5, NOISE / 10), (SIX_RATIOS, 5, NOISE), (SIX_RATIOS[2:], 3, NOISE))
    return [
        judged(world, *grid, rng, origin) for world, grid, origin in itertools.product(WORLDS, grids, (-0.2, 0.9, 1.3))
    ]


def test_verdicts_of_every_kind_are_among_the_curves(curves):
    assert {found.verdict.kind for found in curves} == set(get_args(Kind))
    assert {found.verdict.last_doubling.kind for found in curves} == {"rising", "saturated", "not_settled"}
    assert {found.verdict.shape for found in curves} == {"corner", "smooth", "either", "neither", None}


def test_no_two_sentences_contradict_each_other(curves):
    for found in curves:
        text = " ".join(answer(found))
        both = [pair for pair in EXCLUSIVE if all(phrase in text for phrase in pair)]
        assert not both, (both, text)


def test_every_answer_has_its_lines_and_whole_sentences(curves):
    for found in curves:
        lines = dict(zip(MACROS, answer(found), strict=True))
        assert lines["elbow_line"].startswith("Elbow: ")
        assert lines["recommendation"].startswith("Recommended ratio: ")
        assert lines["doubling"].startswith("Last doubling: 2,000 to 4,000 pairs brought ")
        for line in lines.values():
            assert line == "" or line.endswith(".")
            assert not re.search(r"\bNone\b|\bnan\b|  |\(\)| ,| \.|inf", line), line


def test_what_is_said_of_amounts_agrees(curves):
    """The fewest shown to be enough, where the smallest of all may lie, and what the last doubling brought."""
    for found in curves:
        verdict = found.verdict
        if verdict.recommended_ratio is None:
            assert verdict.kind == "no_gain"
            continue
        low, high = verdict.recommended_items_interval
        assert low <= high == verdict.recommended_items <= round(PAIRS * verdict.recommended_ratio)
        if verdict.last_doubling.kind == "rising" and not verdict.last_doubling.interpolated:
            assert verdict.recommended_ratio > 0.5
        if verdict.kind == "elbow":
            assert verdict.elbow_interval[0] <= verdict.elbow <= verdict.elbow_interval[1]
            assert verdict.slope_ratio_upper <= 0.5
        if found.unseen:
            assert found.unseen[0] < verdict.recommended_ratio
