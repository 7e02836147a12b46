"""What is said of pairs whose numbers mean nothing, before any headline, and that nothing is said of sound ones."""

import copy
import itertools

import msgspec
import numpy as np
import pytest

from embalign.alignment.config import TrainingConfig
from embalign.evaluation.mantel import measure
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.results import collect
from embalign.experiments.elbow import protocol
from embalign.experiments.elbow.cells import measure_reference
from embalign.experiments.fits import Share, measure_share
from embalign.experiments.grid import Cell
from embalign.experiments.templates import sentences
from embalign.verdicts.metrics import PRIMARY
from embalign.verdicts.sanity import UNRELATED, suspect, suspect_vectors

SEEDS = range(2)
CONFIG = TrainingConfig(steps=20)
SIZE = 1200
REFERENCES = ("mean_vector", "untrained", "chance", "draft", "teacher")


@pytest.fixture(scope="module")
def pair(smollm2):
    """The first items of the shipped pair."""
    part = copy.copy(smollm2)
    vars(part).update({name: getattr(smollm2, name)[:SIZE] for name in ("items", "draft", "teacher")})
    for name in ("labels", "groups", "holdout", "_smaller"):
        vars(part).pop(name, None)
    return part


def judged(pair):
    """What experiment 1 says of a pair, from its maps on half and on all of the data, and their references."""
    cells, references = [], []
    for seed, ratio in itertools.product(SEEDS, (0.5, 1.0)):
        settings = {"policy": "random", "budget": "tuned", "ratio": ratio, "seed": seed}
        cells.append((settings, measure_share(pair, Share("random", ratio), seed, CONFIG)))
    for seed, name in itertools.product(SEEDS, REFERENCES):
        cell = Cell("elbow", "references", "any", (("reference", name),), seed, CONFIG)
        references.append(({"reference": name, "seed": seed}, measure_reference(pair, cell)))
    return protocol.judge(collect(cells), collect(references), measure(pair.draft, pair.teacher))


def lines(judgement):
    return sentences("elbow/answer.md.j2", "lines", judgement, protocol.BUDGETS, protocol.MARGIN_SHARE)


def shuffled(rows, start=0, stop=None):
    """Rows in random order from one row to another."""
    moved = rows.copy()
    moved[start:stop] = np.random.default_rng(0).permutation(moved[start:stop])
    return moved


def with_labels(pair, labels):
    """A pair with other labels of the same items."""
    changed = copy.copy(pair)
    items = [msgspec.structs.replace(item, label=str(label)) for item, label in zip(pair.items, labels, strict=True)]
    vars(changed).update(items=tuple(items))
    for name in ("labels", "groups", "holdout", "_smaller"):
        vars(changed).pop(name, None)
    return changed


def test_nothing_is_suspicious_about_a_shipped_pair(smollm2):
    judgement = judged(smollm2)
    assert judgement.suspicions == []
    assert set(judgement.uses) == {"query_adapter", "index_migration", "draft_only"}
    assert lines(judgement)[0].startswith("Training pairs: ")
    assert lines(judgement)[1].startswith("Query adapter (mapped queries, teacher's index): the map is ")
    assert len(lines(judgement)) == 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: shuffled(rows), "do not seem to belong to the same texts"),
        (lambda rows: shuffled(rows, stop=600), "do not seem to belong to the same texts"),
        (lambda rows: rows[::-1].copy(), "do not seem to belong to the same texts"),
        (lambda rows: np.roll(rows, 1, axis=0), "seem to be shifted by 1 against each other"),
        (lambda rows: np.concatenate([rows[:600], rows[603:], rows[600:603]]), "seem to be shifted by 3"),
    ],
    ids=["permuted", "half permuted", "reversed", "off by one", "lines missing"],
)
@pytest.mark.parametrize("side", ["draft", "teacher"])
def test_rows_of_other_texts_are_suspected_before_any_headline(pair, side, change, words):
    judgement = judged(pair.with_vectors(**{side: change(getattr(pair, side))}))
    assert [(found.name, found.fatal) for found in judgement.suspicions] == [("rows", True)]
    first, second = lines(judgement)
    assert first.startswith("Warning: ")
    assert words in first
    assert second.startswith("No verdict")
    assert judgement.uses == {}
    assert all(curve.verdict is None for curve in judgement.curves)


@pytest.mark.parametrize("side", ["draft", "teacher"])
def test_constant_vectors_are_named(pair, side):
    rows = getattr(pair, side)
    judgement = judged(pair.with_vectors(**{side: np.tile(rows[:1], (len(rows), 1))}))
    assert [(found.name, found.fatal) for found in judgement.suspicions] == [("constant", True)]
    assert f"of the {side}'s vectors differ" in lines(judgement)[0]


def test_labels_that_say_nothing_of_the_vectors_are_named(pair):
    judgement = judged(with_labels(pair, np.random.default_rng(0).permutation(pair.labels)))
    assert [(found.name, found.fatal) for found in judgement.suspicions] == [("chance", True)]
    assert "own search is not shown to be better than chance: labels and vectors may" in lines(judgement)[0]


def test_a_draft_that_is_the_teacher_has_nothing_to_gain_and_still_gets_a_verdict(pair):
    judgement = judged(pair.with_vectors(draft=pair.teacher))
    assert [(found.name, found.fatal) for found in judgement.suspicions] == [("ceiling", False)]
    assert "it leaves no room for a map to bring more" in lines(judgement)[0]
    assert judgement.uses["query_adapter"].answer != "better"


def test_few_label_groups_are_named(pair):
    coarse = np.array([str(sum(map(ord, label)) % 12) for label in pair.labels])
    assert "groups" in [found.name for found in judged(with_labels(pair, coarse)).suspicions]


@pytest.mark.parametrize("size", [30, 60, 240, 1000])
def test_rows_of_small_pairs_are_told_from_shuffled_ones(smollm2, size):
    draft, teacher = smollm2.draft[:size], smollm2.teacher[:size]
    sound, broken = measure(draft, teacher), measure(shuffled(draft), teacher)
    assert sound["z"] > 2 * UNRELATED > UNRELATED > broken["z"]
    assert (sound["shift"], broken["shift"]) == (0, 0)


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("order", ["by topic", "mixed"])
def test_topics_of_one_size_in_a_row_are_no_reason_to_suspect(noise, order):
    """Rows ten further on have the same place in the next topic: only what lies far apart tells rows from others."""
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(60, 24)).repeat(10, axis=0) + 0.5 * rng.normal(size=(600, 24))
    draft = np.hstack([teacher @ np.linalg.qr(rng.normal(size=(24, 24)))[0], noise * rng.normal(size=(600, 24))])
    rows = rng.permutation(600) if order == "mixed" else np.arange(600)
    draft, teacher = (
        (side / np.linalg.norm(side, axis=1, keepdims=True)).astype("f4")[rows] for side in (draft, teacher)
    )
    assert suspect_vectors({}, measure(draft, teacher)) == []
    for other in (shuffled(draft), np.roll(draft, 10, axis=0), draft[::-1].copy()):
        assert [found.fatal for found in suspect_vectors({}, measure(other, teacher))] == [True]


@pytest.mark.parametrize("seed", range(20))
def test_rows_in_another_order_never_look_sound(smollm2, seed):
    other = smollm2.draft[np.random.default_rng(seed).permutation(len(smollm2.draft))]
    assert measure(other, smollm2.teacher)["z"] < UNRELATED


def test_a_corpus_too_small_to_tell_is_not_said_to_have_rows_of_other_texts():
    rng = np.random.default_rng(0)
    for size, fatal in ((12, False), (300, True)):
        draft, teacher = (rng.normal(size=(size, 16)).astype("f4") for _ in range(2))
        (found,) = suspect_vectors({}, measure(draft, teacher))
        assert ("rows" in found.name, found.fatal) == (True, fatal)


@pytest.mark.parametrize(("groups", "fatal"), [(3, False), (12, True)])
def test_few_label_groups_cannot_show_that_labels_mean_nothing(groups, fatal):
    """A teacher whose topics differ so much that its search is not shown to be better than chance."""

    def level(values, **facts):
        metrics = {PRIMARY: float(np.mean(values)), **facts}
        found = Measurement(metrics, {PRIMARY: np.array(values, "f4")})
        return collect([({"seed": seed}, found) for seed in SEEDS])

    uneven = np.resize([0.9, -0.8, 0.1], groups)
    raw = level(uneven, effective_groups=groups)
    others = {"draft": raw, "teacher": level(uneven), "chance": level(np.zeros(groups))}
    suspicions = list(suspect(raw, others))
    assert ("chance", fatal) in [(found.name, found.fatal) for found in suspicions]
    few = [found.words for found in suspicions if found.name == "groups"]
    assert ["too few label groups (effective number 3; fewest: 8)" in words for words in few] == [True] * (groups == 3)
