"""The public functions: each has an example that runs, docs/api.md shows them, and mistakes are told in words."""

import doctest

import numpy as np
import pandas as pd
import pytest
import torch
from pages import blocks_of
from pair_folders import ROOT

import embalign
from embalign.deploy import load

NAMES = {name: getattr(embalign, name) for name in embalign.__all__}


def globs():
    return {"np": np, "pd": pd, "torch": torch, **NAMES}


@pytest.mark.parametrize("name", embalign.__all__)
def test_the_example_of_a_public_name_runs(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    (found,) = doctest.DocTestFinder(recurse=False).find(NAMES[name], name, globs=globs())
    assert found.examples
    report = []
    doctest.DocTestRunner(verbose=False).run(found, out=report.append)
    assert not report, "".join(report)


def test_the_examples_of_the_page_run_one_after_another(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = {"__name__": "page"}
    for block in blocks_of("api.md"):
        exec(compile(block, "docs/api.md", "exec"), names)
    assert len(capsys.readouterr().out.splitlines()) >= 10


def test_the_page_names_every_public_name_and_is_short():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert not [name for name in embalign.__all__ if f"`{name}`" not in page]
    assert len(page.splitlines()) <= 200


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


RNG = np.random.default_rng(0)
DRAFT, TEACHER = (unit(RNG.standard_normal((40, d))) for d in (6, 8))
LABELS = np.repeat(list("abcdefgh"), 5)
NAN = np.where(np.arange(40)[:, None] == 3, np.nan, DRAFT)
RATIOS = [0.01, 0.05, 0.1, 0.2, 0.5, 1.0]
CURVE = pd.DataFrame(
    [{"ratio": r, "seed": s, "value": 0.8 - 0.03 * r**-0.5 + RNG.normal(0, 0.002)} for r in RATIOS for s in range(4)]
)
ARM = pd.DataFrame({"seed": range(5), "value": RNG.normal(0, 1, 5)})
SCORES = RNG.uniform(size=200)


def ridge(draft=DRAFT, teacher=TEACHER, groups=LABELS):
    return embalign.fit_ridge(draft, teacher, groups).weights


FORMS = {
    "float64": DRAFT,
    "big-endian": DRAFT.astype(">f4"),
    "Fortran order": np.asfortranarray(DRAFT),
    "objects": DRAFT.astype(object),
    "list": DRAFT.tolist(),
    "frame": pd.DataFrame(DRAFT),
    "tensor": torch.tensor(DRAFT),
    "tensor with a gradient": torch.tensor(DRAFT, requires_grad=True),
    "reversed twice": DRAFT[::-1].copy()[::-1],
    "every other column of a wider one": np.repeat(DRAFT, 2, axis=1)[:, ::2],
    "read-only": np.frombuffer(DRAFT.tobytes(), DRAFT.dtype).reshape(DRAFT.shape),
}


@pytest.mark.parametrize("form", FORMS)
def test_vectors_may_come_in_any_form(form):
    given = FORMS[form]
    assert np.allclose(ridge(given), ridge(), atol=1e-6)
    trained = embalign.train_map(given, TEACHER, seed=0, steps=3).weights
    assert np.allclose(trained, embalign.train_map(DRAFT, TEACHER, seed=0, steps=3).weights, atol=1e-6)
    assert np.allclose(embalign.apply_map(ridge(), given), DRAFT @ ridge().T, atol=1e-6)
    assert embalign.leave_one_out(given, LABELS).mrr == pytest.approx(embalign.leave_one_out(DRAFT, LABELS).mrr)
    assert embalign.cosine_loss(given, DRAFT).item() == pytest.approx(0, abs=1e-6)
    assert embalign.select("density", given, 0.2).tolist() == embalign.select("density", DRAFT, 0.2).tolist()


@pytest.mark.parametrize(
    "given", [DRAFT.astype(np.float16), torch.tensor(DRAFT).bfloat16(), (1000 * DRAFT).astype(int)]
)
def test_vectors_may_come_in_fewer_digits(given):
    assert np.isfinite(ridge(given)).all()
    assert np.isfinite(embalign.train_map(given, TEACHER, seed=0, steps=3).weights).all()


@pytest.mark.parametrize(
    "labels",
    [list(LABELS), pd.Series(LABELS, index=range(7, 47)), pd.Series(LABELS).astype("category"), LABELS.astype(object)],
    ids=["list", "Series", "categories", "objects"],
)
def test_labels_may_come_in_any_form(labels):
    assert embalign.leave_one_out(DRAFT, labels).recall == embalign.leave_one_out(DRAFT, LABELS).recall
    assert np.array_equal(ridge(groups=labels), ridge())


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.sample(frac=1, random_state=0),
        lambda frame: frame.assign(value=frame["value"].astype("Float64")),
        lambda frame: frame.assign(value=frame["value"].astype(object)),
        lambda frame: frame.assign(seed=frame["seed"].astype("category")),
        lambda frame: frame.assign(seed=frame["seed"].astype(str)),
        lambda frame: frame.assign(note="x"),
    ],
    ids=["shuffled", "nullable", "objects", "categories", "seeds as text", "a column more"],
)
def test_a_curve_may_come_in_any_form(change):
    assert embalign.judge_elbow(change(CURVE), margin=0.02) == embalign.judge_elbow(CURVE, margin=0.02)


def loss_of_a_wrong_shape(z_s, z_t):
    return (z_s - z_t).square()


def loss_outside_torch(z_s, z_t):
    return torch.tensor(float((z_s - z_t).detach().square().mean()))


def trained_with(loss):
    return embalign.train_map(DRAFT, TEACHER, seed=0, steps=2, term=embalign.make_term(loss, 0.1, dimension=8))


MISTAKES = {
    "draft is None": (lambda: ridge(None), ValueError, "draft must be .* found None"),
    "draft is a path": (lambda: ridge("a.npy"), TypeError, "draft must hold numbers, found 'a.npy'"),
    "draft of words": (lambda: ridge(DRAFT.astype(str)), TypeError, "draft must hold numbers"),
    "draft of complex numbers": (lambda: ridge(DRAFT + 1j), TypeError, "draft must hold numbers"),
    "draft with a column of text": (lambda: ridge(pd.DataFrame(DRAFT).assign(id="x")), TypeError, "hold numbers"),
    "one vector": (lambda: ridge(DRAFT[0]), ValueError, r"draft\[None\] is a list of one"),
    "three dimensions": (lambda: ridge(DRAFT[None]), ValueError, r"shape \(1, 40, 6\)"),
    "rows of unequal length": (lambda: ridge([[1.0, 2.0], [3.0]]), ValueError, "rows of unequal length"),
    "no rows": (lambda: ridge(DRAFT[:0]), ValueError, "draft has no rows"),
    "NaN": (lambda: ridge(NAN), ValueError, "NaN or infinite values, first in row 3"),
    "infinite": (lambda: ridge(DRAFT * np.inf), ValueError, "first in row 0"),
    "fewer teacher rows": (lambda: ridge(teacher=TEACHER[:20]), ValueError, "draft has 40 rows and teacher 20"),
    "fewer groups": (lambda: ridge(groups=LABELS[:3]), ValueError, "groups must hold one value for each of 40"),
    "a group missing": (lambda: ridge(groups=[*LABELS[:-1], None]), ValueError, "lacks a value at position 39"),
    "Procrustes of NaN": (lambda: embalign.fit_procrustes(NAN, TEACHER), ValueError, "first in row 3"),
    "teacher not of length 1": (
        lambda: embalign.train_map(DRAFT, 3 * TEACHER, seed=0),
        ValueError,
        "row 0 has length 3; divide each row",
    ),
    "a negative seed": (lambda: embalign.train_map(DRAFT, TEACHER, seed=-1), ValueError, "seed must be a whole number"),
    "a seed of text": (lambda: embalign.train_map(DRAFT, TEACHER, seed="1"), TypeError, "found '1'"),
    "no steps": (lambda: embalign.train_map(DRAFT, TEACHER, seed=0, steps=0), ValueError, "steps must be .* found 0"),
    "a term's name": (lambda: embalign.train_map(DRAFT, TEACHER, seed=0, term="mse"), TypeError, "make_term returns"),
    "config as a dictionary": (
        lambda: embalign.train_map(DRAFT, TEACHER, seed=0, config={}),
        TypeError,
        "TrainingConfig",
    ),
    "half a step": (lambda: embalign.TrainingConfig(steps=1.5), TypeError, "steps must be a whole number, found 1.5"),
    "batches of nothing": (lambda: embalign.TrainingConfig(batch_size=0), ValueError, "batch_size must be"),
    "a map of other vectors": (
        lambda: embalign.apply_map(ridge(), TEACHER),
        ValueError,
        r"draft must have 6 columns, found an array of shape \(40, 8\)",
    ),
    "an unknown policy": (
        lambda: embalign.select("dense", DRAFT, 0.1),
        ValueError,
        "'dense' is unknown: choose one of",
    ),
    "a policy in a list": (lambda: embalign.select(["random"], DRAFT, 0.1), ValueError, "is unknown"),
    "a ratio in per cent": (lambda: embalign.select("random", DRAFT, 10), ValueError, r"10 is outside \(0, 1\]"),
    "a ratio of nothing": (lambda: embalign.select("random", DRAFT, 0.01), ValueError, "rounds to no samples"),
    "a policy of ratios": (lambda: embalign.select(lambda d, s: d, DRAFT, 0.1), ValueError, "no order of the 40 items"),
    "a policy that repeats": (
        lambda: embalign.select(lambda draft, seed: np.zeros(len(draft), int), DRAFT, 0.1),
        ValueError,
        "return each position from 0 to 39 once",
    ),
    "a policy of one argument": (lambda: embalign.select(lambda d: d, DRAFT, 0.1), ValueError, "take two arguments"),
    "a vector of length 0": (
        lambda: embalign.select("random", 0 * DRAFT, 0.1),
        ValueError,
        "row 0 of draft has length 0",
    ),
    "fewer labels": (lambda: embalign.leave_one_out(DRAFT, LABELS[:5]), ValueError, "labels must hold one value"),
    "labels of two types": (
        lambda: embalign.leave_one_out(DRAFT, pd.Series(["a", 1] * 20)),
        TypeError,
        "labels must be of one type, found int, str",
    ),
    "cut-offs as a number": (lambda: embalign.leave_one_out(DRAFT, LABELS, 5), TypeError, "ks must be a list"),
    "a cut-off of 0": (lambda: embalign.leave_one_out(DRAFT, LABELS, [0]), ValueError, "at least 1, found 0"),
    "queries of other vectors": (
        lambda: embalign.search_metrics(TEACHER, DRAFT, query_labels=LABELS, index_labels=LABELS),
        ValueError,
        "queries must have 6 columns",
    ),
    "own rows as floats": (
        lambda: embalign.search_metrics(DRAFT, DRAFT, query_labels=LABELS, index_labels=LABELS, own=np.arange(40.0)),
        ValueError,
        "own must hold a row of the index",
    ),
    "outcomes beyond 1": (
        lambda: embalign.certify(SCORES, 3 * SCORES, risk_target=0.1),
        ValueError,
        "True and False, or probabilities",
    ),
    "a risk in per cent": (
        lambda: embalign.certify(SCORES, SCORES, risk_target=5),
        ValueError,
        "between 0 and 1, found 5",
    ),
    "fewer outcomes": (lambda: embalign.certify(SCORES, SCORES[:3], risk_target=0.1), ValueError, "200 scores and 3"),
    "a curve as a dictionary": (
        lambda: embalign.judge_elbow(CURVE.to_dict("list"), margin=0.1),
        TypeError,
        "must be a pandas DataFrame with columns ratio, seed, value, found a dict",
    ),
    "a column in capitals": (
        lambda: embalign.judge_elbow(CURVE.rename(columns={"value": "Value"}), margin=0.1),
        ValueError,
        r"lacks column\(s\) value; it has ratio, seed, Value",
    ),
    "decimal commas": (
        lambda: embalign.judge_elbow(CURVE.assign(value="0,5"), margin=0.1),
        ValueError,
        "column value of the curve must hold numbers, row 0 has '0,5'",
    ),
    "ratios in per cent": (
        lambda: embalign.judge_elbow(CURVE.assign(ratio=100 * CURVE["ratio"]), margin=0.1),
        ValueError,
        "divide by the largest, 100",
    ),
    "the same column twice": (
        lambda: embalign.judge_elbow(pd.concat([CURVE, CURVE[["value"]]], axis=1), margin=0.1),
        ValueError,
        "more than one column value",
    ),
    "values beyond computing": (
        lambda: embalign.judge_elbow(CURVE.assign(value=1e300 * CURVE["value"]), margin=0.1),
        ValueError,
        "values of the curve go up to .*e\\+.*, too far from 1",
    ),
    "differences below computing": (
        lambda: embalign.judge_ab(ARM.assign(value=1e-300), ARM.assign(value=2e-300), margin=0.1),
        ValueError,
        "too far from 1 to compute with",
    ),
    "one ratio": (
        lambda: embalign.judge_elbow(CURVE[CURVE["ratio"] == 1], margin=0.1),
        ValueError,
        "at least two ratios",
    ),
    "no rows of a curve": (lambda: embalign.judge_elbow(CURVE[:0], margin=0.1), ValueError, "the curve has no rows"),
    "a seed missing": (
        lambda: embalign.judge_elbow(CURVE.assign(seed=np.nan), margin=0.1),
        ValueError,
        "a row of the curve has no seed",
    ),
    "margin as text": (lambda: embalign.judge_elbow(CURVE, margin="5%"), ValueError, "margin must be .* found '5%'"),
    "origin as text": (lambda: embalign.judge_elbow(CURVE, margin=0.1, origin="x.csv"), TypeError, "origin must hold"),
    "an arm as a Series": (
        lambda: embalign.judge_ab(ARM["value"], ARM, margin=0.1),
        TypeError,
        "the treatment must be a pandas DataFrame with columns seed, value, found a Series",
    ),
    "seeds as text on one side": (
        lambda: embalign.judge_ab(ARM, ARM.assign(seed=ARM["seed"].astype(str)), margin=0.1),
        ValueError,
        "seeds must pair one to one",
    ),
    "items on one side": (
        lambda: embalign.judge_ab(ARM, ARM.assign(item="x"), margin=0.1),
        ValueError,
        "items must pair",
    ),
    "higher is better, in words": (
        lambda: embalign.judge_ab(ARM, ARM, margin=0.1, higher_is_better="no"),
        TypeError,
        "must be True or False, found 'no'",
    ),
    "losses of booleans": (lambda: embalign.spectral_loss(DRAFT > 0, DRAFT), TypeError, "z_s must hold real numbers"),
    "losses of two shapes": (lambda: embalign.cosine_loss(DRAFT, TEACHER), ValueError, r"\(40, 6\) and \(40, 8\)"),
    "an unknown arm": (
        lambda: embalign.make_term("mes", 1, dimension=8),
        ValueError,
        "'mes' is unknown: choose one of",
    ),
    "a weight of NaN": (lambda: embalign.make_term("mse", np.nan, dimension=8), ValueError, "weight must be finite"),
    "a loss of one argument": (
        lambda: embalign.make_term(lambda z: z, 1, dimension=8),
        TypeError,
        "is no loss; define",
    ),
    "a loss that is no mean": (
        lambda: trained_with(loss_of_a_wrong_shape),
        ValueError,
        r"returned shape \(64, 8\) .*\.mean\(\(-2, -1\)\)",
    ),
    "a loss outside torch": (lambda: trained_with(loss_outside_torch), ValueError, "does not depend on the mapped"),
    "a pair by its name": (lambda: embalign.score_map("smollm2-mpnet", ridge()), TypeError, "what load_pair returns"),
    "an unknown pair": (lambda: embalign.find_pair("smollm", ROOT), ValueError, "did you mean 'smollm2-mpnet'"),
    "a pair that is no folder": (lambda: embalign.load_pair("nowhere"), ValueError, "every pair needs a pair.toml"),
    "an axis without a list": (lambda: embalign.grid(policy="random"), TypeError, r"for one value: \['random'\]"),
    "an axis of NaN": (lambda: embalign.grid(ratio=[float("nan")]), ValueError, "give finite numbers"),
    "an axis of lists": (lambda: embalign.grid(ratio=[[0.1]]), TypeError, "no string, number or function"),
    "a table without a grid": (lambda: embalign.Table("t", ridge, quick={"a": 1}), TypeError, "what grid.* returns"),
    "an experiment's name": (lambda: embalign.Experiment("a b", ridge, ()), ValueError, "a name of letters"),
    "one table": (
        lambda: embalign.Experiment("a", ridge, embalign.Table("t", ridge, quick=embalign.grid(a=[1]))),
        TypeError,
        "tables must be a tuple of Table",
    ),
    "an unknown name": (lambda: embalign.judge_elbows, AttributeError, "did you mean 'judge_elbow'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_words(mistake):
    call, error, words = MISTAKES[mistake]
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_star_import_brings_all():
    names = {}
    exec("from embalign import *", names)
    assert {name for name in names if not name.startswith("__")} == set(embalign.__all__) <= set(dir(embalign))
    assert names["load_deployed"] is load
