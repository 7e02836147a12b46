"""The texts of conclusions: golden files of a small run of each experiment, and what a text does where things lack."""

import json
import re

import jinja2
import pytest
import synthetic_runs

from embalign.experiments import elbow, maps, spectral
from embalign.experiments.templates import render
from embalign.pairs.provenance import file_digest
from embalign.research.claims import Binder
from embalign.research.conclusion import MACHINE_READABLE, TEXT, check_cells, check_text, read_conclusion
from embalign.research.promote import copy_artifacts, write_conclusion

MODULES = {"elbow": elbow, "spectral": spectral, "maps": maps}
EXPERIMENTS = tuple(MODULES)
# The metrics with digits in their names that each conclusion speaks of.


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The artifacts of a small run of each experiment, by its name."""
    folders = {}
    for name in EXPERIMENTS:
        folders[name] = folder = tmp_path_factory.mktemp(name)
        MODULES[name].report.write_report(getattr(synthetic_runs, name)(), synthetic_runs.about(name), folder)
        (folder / "provenance.json").write_text("{}")
    return folders


@pytest.fixture
def conclude(tmp_path, runs):
    """Write an experiment's conclusion below a repository of one's own; `changes` are to its provenance."""

    def conclude(experiment, changes=None):
        folder = tmp_path / "docs" / "research" / "2026-01-02-any"
        folder.mkdir(parents=True)
        source = runs[experiment]
        written = [path for path in source.iterdir() if path.name != "provenance.json"]
        copy_artifacts(source, folder, {path.name: file_digest(path) for path in written})
        provenance = synthetic_runs.about(experiment, **(changes or {}))
        write_conclusion(folder, provenance, "2026-01-02", MODULES[experiment].conclusion.conclude)
        return folder

    return conclude


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_conclusion_of_a_small_run_reads_as_committed(conclude, tmp_path, experiment, file_regression):
    for path in (
        "benchmark/pair2/pair.toml",
        "docs/calibration/elbow.md",
        "docs/calibration/ab.md",
        "docs/calibration/maps.md",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    folder = conclude(experiment)
    found = read_conclusion(folder)
    check_text(found)
    check_cells(found)
    text = (folder / TEXT).read_text(encoding="utf-8")
    file_regression.check(text, basename=experiment, extension=".README.md", encoding="utf-8")
    about = re.sub(r'"[0-9a-f]{64}"', '"(digest)"', (folder / MACHINE_READABLE).read_text(encoding="utf-8"))
    file_regression.check(about, basename=experiment, extension=".conclusion.toml", encoding="utf-8")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_repository_without_embaligns_documents_says_in_words_where_they_are(conclude, experiment):
    folder = conclude(experiment)
    check_text(read_conclusion(folder))
    text = (folder / TEXT).read_text(encoding="utf-8")
    assert "](../" not in text
    assert re.search(r"error rates of its calibration, `docs/calibration/\w+\.md` of embalign", text)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("draft", [{"dimension": 48}, None, {"model": ""}], ids=["no model", "no provenance", "empty"])
def test_models_without_a_name_are_those_of_the_pair(conclude, experiment, draft):
    folder = conclude(experiment, {"data": {"pair_sha256": synthetic_runs.DIGEST, "draft": draft, "teacher": draft}})
    found = read_conclusion(folder)
    check_text(found)
    assert "on the draft model of pair2 to the teacher model of pair2" in found.text
    assert found.about.names == ["pair2", "nDCG@10", "Recall@1"]


def test_a_pair_outside_benchmark_is_named_by_its_folder(conclude):
    about = read_conclusion(conclude("elbow", {"folder": "pairs/pair2"})).about
    assert about.data == "pairs/pair2"
    assert about.command == "pytest benchmark/ -k elbow --pair pairs/pair2 --seeds 5 --results always"


def concluded(runs, tmp_path, experiment, change):
    """Return the text of a conclusion whose verdict.json is changed, without its claims."""
    verdict = json.loads((runs[experiment] / "verdict.json").read_text())
    change(verdict)
    for path in runs[experiment].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "verdict.json").write_text(json.dumps(verdict))
    return MODULES[experiment].conclusion.conclude(tmp_path, synthetic_runs.about(experiment), Binder(tmp_path))[1]


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ({"kind": "diminishing", "reason": "it bends"}, "no elbow: it bends. "),
        ({"kind": "saturated", "reason": "no bend is shown"}, "no elbow: no bend is shown. "),
        ({"kind": "rising", "reason": "no bend is shown"}, "no elbow: no bend is shown. "),
        ({"kind": "flat"}, "no elbow. No share of the data is shown to be better than the smallest. "),
        ({"kind": "declining"}, "no elbow. More data is shown to do harm. "),
        ({"kind": "unidentifiable", "reason": "too few seeds"}, "inconclusive: too few seeds. "),
        ({"kind": "no_gain"}, "no elbow, for all of the data is not shown to be better than no training.\n"),
        ({"kind": None}, "no verdict: the curve could not be judged.\n"),
        ({"recommended_ratio": 1.0}, ". No measured share below all of it is shown to be enough.\n"),
    ],
)
def test_each_kind_of_curve_is_said_in_words(runs, tmp_path, curve, words):
    text = concluded(runs, tmp_path, "elbow", lambda verdict: verdict["curves"][0].update(curve))
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("- **By query adapter nDCG@10:**"))
    assert words in line


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("better", "better than no map. "),
        ("worse", "worse than no map. "),
        ("not shown", "not shown to be better than"),
    ],
)
def test_each_deployment_is_held_against_no_map(runs, tmp_path, answer, words):
    text = concluded(
        runs,
        tmp_path,
        "elbow",
        lambda verdict: verdict["deployments"]["query_adapter"].update(better_than_no_map=answer),
    )
    line = next(line for line in text.splitlines() if line.startswith("- **Query adapter"))
    assert words in line


def test_what_was_not_measured_is_not_concluded(runs, tmp_path):
    def one_seed(verdict):
        verdict["curves"] = [curve for curve in verdict["curves"] if curve["budget"] == "tuned"]
        verdict["primary"] = {"kind": None}

    text = concluded(runs, tmp_path, "elbow", one_seed)
    assert "on the same subsets:" not in text
    assert "Means over 5 seeds. Difference" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v["controls"].update(positive=None), "**No verdict**: the positive control was not found."),
        (lambda v: v["controls"]["positive"].update(kind="equivalent"), "does not find a spectral effect"),
        (lambda v: spectral_effect(v, "better", "spectral"), "it helps, and the effect is spectral; see the table."),
        (
            lambda v: spectral_effect(v, "better", "shared with scrambled"),
            "it is better than the baseline in places, and no gain counts as spectral; see the table. ",
        ),
        (lambda v: spectral_effect(v, "worse", "spectral"), "At other settings it does harm, some of it spectral."),
        (lambda v: spectral_effect(v, "inconclusive", "not settled"), "not every comparison settles that."),
        (lambda v: spectral_effect(v, "equivalent", "no effect"), "At other settings it changes nothing either."),
        (lambda v: no_evidence(v, "raw_gradient_ratio"), "not shown to help. At the memo's λ, every difference from"),
        (lambda v: no_evidence(v, "raw"), "not shown to help. At the memo's λ, no comparison is evidence."),
        (
            lambda v: below(v, None),
            "At the memo's λ, every difference from the baseline lies within its margin. Inert terms",
        ),
        (
            lambda v: below(v, "worse"),
            "within its margin, though some are shown not to be zero. Inert terms are not counted. ",
        ),
    ],
)
def test_each_answer_on_the_spectral_loss_is_said_in_words(runs, tmp_path, change, words):
    assert words in concluded(runs, tmp_path, "spectral", change)


def no_evidence(verdict, convention):
    """Make the terms of a convention inert, and wrong: nothing may be concluded from them."""
    for contrast in verdict["contrasts"]:
        if contrast["convention"] == convention:
            contrast.update(inert=True, kind="inconclusive")


def below(verdict, direction):
    for contrast in verdict["contrasts"]:
        contrast.update(below_margin=direction)


def spectral_effect(verdict, kind, cause):
    """Give every strong setting of the spectral arm that verdict against the baseline."""
    for contrast in verdict["contrasts"]:
        if "put_down_to" in contrast and contrast["convention"] == "raw_gradient_ratio":
            contrast.update(kind=kind, put_down_to=cause)


def test_a_template_that_lacks_a_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="is undefined"):
        render("spectral/conclusion.md.j2")
