"""The migration rule: what may be promoted, that a promoted conclusion verifies, and that no mutation of it escapes."""

import json
import re
import shutil
import subprocess
import sys

import light
import msgspec
import mutations
import numpy as np
import pytest
from pair_folders import ROOT, write_pair

from embalign.errors import ConclusionError, PairError
from embalign.experiments.grid import MOST_SEEDS, rerun_command
from embalign.lazy import lazy
from embalign.pairs.pair import check_pair
from embalign.research.conclusion import MACHINE_READABLE, TEXT, read_conclusion, rerun_words, verify
from embalign.research.promote import promote, reverify, same_artifact, where_words_differ

MUTATIONS = 16  # of each kind
PAIR = "smollm2-mpnet"
EXPERIMENTS = ("elbow", "spectral")
CONCLUSIONS = {name: lazy(f"embalign.experiments.{name}.conclusion").conclude for name in EXPERIMENTS}


def git(root, *words):
    who = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A checkout with the shipped pair and its committed full-profile reports, under git."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "docs" / "calibration", root / "docs" / "calibration")
    return repository(root)


def repository(root):
    """Make a folder a repository with the shipped pair and its reports."""
    shutil.copytree(ROOT / "benchmark" / PAIR, root / "benchmark" / PAIR, ignore=shutil.ignore_patterns(".*"))
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(ROOT / name, root / name)
    (root / ".gitignore").write_text(".embalign/\n.pytest_cache/\n__pycache__/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "state")
    return root


@pytest.fixture(scope="module")
def promoted(root):
    """The folders of both experiments' conclusions."""
    folders = {}
    for name in EXPERIMENTS:
        reports = root / "benchmark" / PAIR / "reports" / name
        folders[name] = promote(reports, root, CONCLUSIONS[name])
    return folders


def check_conclusions(root):
    """Run the checks of every conclusion, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "docs/research", "-q", "-p", "no:randomly"],
        cwd=root,
        env=light.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_promoted_run_is_copied_byte_for_byte_and_verifies(root, promoted, experiment):
    folder = promoted[experiment]
    verify(folder, root)
    source = root / "benchmark" / PAIR / "reports" / experiment
    for path in folder.iterdir():
        if path.name not in (TEXT, MACHINE_READABLE):
            assert path.read_bytes() == (source / path.name).read_bytes()
    found = read_conclusion(folder)
    assert len(found.about.claims) > 20
    assert "## Limits" in found.text
    assert "<!--" not in found.text


def test_conclusions_are_test_cases_and_import_no_torch(root, promoted):
    run = "code = pytest.main(['docs/research', '-q', '-p', 'no:randomly'])"
    code = f"import sys, pytest; {run}; assert 'torch' not in sys.modules; sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=light.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_a_failing_conclusion_names_what_differs_without_a_traceback(root, promoted):
    path = promoted["elbow"] / "README.md"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text + "\nIt helps. An improvement of 12 points. No more.\n", encoding="utf-8")
        done = check_conclusions(root)
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "README.md, 'An improvement of 12 points.': '12' is bound to no raw data; remove it, or bind" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("kind", mutations.KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_generated_mutation_escapes(root, promoted, experiment, kind):
    """Edited numbers, claims, conclusion.toml, raw data, figures and names: each is caught."""
    folder = promoted[experiment]
    generator = np.random.default_rng([EXPERIMENTS.index(experiment), mutations.KINDS.index(kind)])
    escaped = []
    for _ in range(MUTATIONS):
        with mutations.undone(folder):
            what = kind(folder, generator)
            try:
                verify(folder, root)
                escaped.append(what)
            except ConclusionError:
                pass
    verify(folder, root)
    assert escaped == []


@pytest.mark.parametrize("name", ["README.md", "new/readme.md", "new/deeper/README.md"])
def test_a_text_that_is_no_conclusion_fails(root, promoted, name):
    path = root / "docs" / "research" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("A gain of 42 points.\n", encoding="utf-8")
    try:
        done = check_conclusions(root)
    finally:
        path.unlink()
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert f"{path.name}: belongs to no conclusion" in done.stdout


@pytest.mark.parametrize(
    ("file", "pattern", "new", "message"),
    [
        (MACHINE_READABLE, r'names = \["', 'names = ["points", "', "'points' is neither the pair"),
        (MACHINE_READABLE, r'date = "\d+', 'date = "', "the folder is named"),
        (MACHINE_READABLE, r"\[\[claims\]\]", "[[claims]]\nrow = 3", "unknown field `row`"),
        (TEXT, r"\Z", "\n[1]: https://example.org\n", "write the link where it is used"),
        (TEXT, r"\Z", "\n<!-- a thought -->\n", "belongs into conclusion.toml"),
    ],
)
def test_what_fits_no_run_is_refused(root, promoted, file, pattern, new, message):
    path = promoted["elbow"] / file
    with mutations.undone(path.parent):
        path.write_text(re.sub(pattern, new, path.read_text(encoding="utf-8"), count=1), encoding="utf-8")
        with pytest.raises(ConclusionError, match=message):
            verify(promoted["elbow"], root)


def test_a_conclusion_written_by_hand_is_not_overwritten(root, promoted):
    path = promoted["elbow"] / "README.md"
    text = path.read_text(encoding="utf-8")
    reports = root / "benchmark" / PAIR / "reports" / "elbow"
    assert promote(reports, root, CONCLUSIONS["elbow"]) == promoted["elbow"]
    try:
        path.write_text(text + "\nA thought.\n", encoding="utf-8")
        with pytest.raises(ConclusionError, match="holds another conclusion of today"):
            promote(reports, root, CONCLUSIONS["elbow"])
        assert "A thought." in path.read_text(encoding="utf-8")
    finally:
        path.write_text(text, encoding="utf-8")


def test_a_dirty_or_changed_run_is_not_promoted(root, promoted):
    reports = root / "benchmark" / PAIR / "reports" / "elbow"
    marker = root / "conftest.py"
    clean = marker.read_text()
    marker.write_text(clean + "# changed\n")
    with pytest.raises(ConclusionError, match="the tree differs from its commit"):
        promote(reports, root, CONCLUSIONS["elbow"])
    marker.write_text(clean)
    table = reports / "references.csv"
    content = table.read_bytes()
    table.write_bytes(content + b"\n")
    with pytest.raises(ConclusionError, match=r"references\.csv has changed since the run"):
        promote(reports, root, CONCLUSIONS["elbow"])
    table.write_bytes(content)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_repository_of_ones_own_promotes_models_without_a_name(tmp_path, experiment):
    """It has no docs/calibration, and its pair was embedded elsewhere."""
    root = repository(tmp_path)
    reports = root / "benchmark" / PAIR / "reports" / experiment
    provenance = json.loads((reports / "provenance.json").read_text())
    for role in ("draft", "teacher"):
        del provenance["data"][role]["model"]
    (reports / "provenance.json").write_text(json.dumps(provenance))
    folder = promote(reports, root, CONCLUSIONS[experiment])
    verify(folder, root)
    text = read_conclusion(folder).text
    assert f"on the draft model of {PAIR} to the teacher model of {PAIR}" in text
    assert f"[The pair](../../../benchmark/{PAIR}/pair.toml)" in text


@pytest.mark.parametrize("model", [5, ["a"], {"name": "a"}, True])
def test_a_models_name_that_is_no_text_is_refused_before_a_run(tmp_path, smollm2, model):
    folder = write_pair(tmp_path / "pair", smollm2, 60)
    path = folder / "embeddings" / "provenance.json"
    provenance = json.loads(path.read_text())
    provenance["draft"]["model"] = model
    path.write_text(json.dumps(provenance))
    with pytest.raises(
        PairError, match=r"provenance\.json: not what belongs there \(Expected `str \| null`, got .*`\$\.draft\.model`"
    ):
        check_pair(folder)


def test_partial_runs_and_the_gates_small_grid_are_not_promoted(tmp_path, small_pair):
    root = tmp_path / "checkout"
    light.build_root(root, small_pair)
    (root / ".gitignore").write_text(".pytest_cache/\n__pycache__/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "state")
    partial = light.run(root, "--promote", "-k", "seed00")
    assert partial.returncode != 0
    assert re.search(r"cells are not selected, for instance .*; a partial run cannot be promoted", partial.stderr)
    partial = light.run(root, "--promote", "-k", "seed00", "-n", "2")
    assert re.search(r"not promoted: light on small is not a complete run .* cells missing", partial.stdout)
    small = light.run(root, "--promote", "--profile", "gate")
    assert small.returncode == pytest.ExitCode.USAGE_ERROR
    assert "too small for a conclusion" in small.stderr
    assert not (root / "docs").exists()


EVIL = ("-p evil", "--basetemp=/", "-c evil.ini", "--rootdir=/", "-o addopts=-pevil", "evil.py", "--dask tcp://evil:1")


@pytest.mark.parametrize("words", EVIL)
def test_a_command_that_is_not_made_of_the_fields_is_refused_before_anything_runs(root, promoted, words):
    """Text and conclusion.toml agree on it; the run would leave a marker."""
    folder, marker = promoted["elbow"], root / "was-run"
    (root / "evil.py").write_text(f"import pathlib\n\npathlib.Path({str(marker)!r}).touch()\n")
    with mutations.undone(folder):
        command = read_conclusion(folder).about.command
        for name in (TEXT, MACHINE_READABLE):
            text = (folder / name).read_text(encoding="utf-8")
            (folder / name).write_text(text.replace(command, f"{command} {words}"), encoding="utf-8")
        with pytest.raises(
            ConclusionError, match=f"command: .*; by experiment, pair, profile and seeds it is '{command}'"
        ):
            reverify(read_conclusion(folder), root)
    (root / "evil.py").unlink()
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experiment": "elbow or evil"}, "experiment: "),
        ({"experiment": "not"}, "experiment: "),
        ({"experiment": "-p"}, "experiment: "),
        ({"profile": "full -p evil"}, "profile: "),
        ({"pair": "smollm2-mpnet --rootdir=/"}, "pair: "),
        ({"pair": "..", "data": "benchmark/.."}, "pair: "),
        ({"seeds": [0, 1, 2, 10**20]}, "seeds: "),
        ({"seeds": [0]}, "seeds: "),
        ({"seeds": list(range(MOST_SEEDS + 1))}, "seeds: .*[.]{3}, as no run can have it"),
    ],
)
def test_no_field_of_a_conclusion_can_mean_anything_else_on_a_command_line(root, promoted, change, message):
    """Even if the command agrees with it."""
    about = msgspec.structs.replace(read_conclusion(promoted["elbow"]).about, **change)
    run = {"pair": about.pair, "folder": about.data, "profile": about.profile, "seeds": about.seeds}
    about = msgspec.structs.replace(about, command=rerun_command(about.experiment, run))
    with pytest.raises(ConclusionError, match=message):
        rerun_words(about)


@pytest.mark.parametrize(
    ("other", "at"),
    [
        ({"kind": "rising", "answer": "It brings +0.012 of 1,288.", "curves": [{"elbow": 0.31}, {"elbow": None}]}, ""),
        ({"kind": "elbow", "answer": "It brings 0.01 of 9.", "curves": [{"elbow": 0.3}, {"elbow": None}]}, "/kind"),
        ({"kind": "rising", "answer": "It costs 0.01 of 9.", "curves": [{"elbow": 1}, {"elbow": None}]}, "/answer"),
        ({"kind": "rising", "answer": "It brings 1 of 9.", "curves": [{"elbow": 1}, {"elbow": 1}]}, "/curves/1/elbow"),
        ({"kind": "rising", "answer": "It brings 1 of 9.", "curves": [{"elbow": 1}]}, "/curves"),
        ({"kind": "rising", "answer": "It brings 1 of 9.", "curves": [{"elbow": True}, {"elbow": None}]}, "/curves/0"),
        ({"kind": "rising", "answer": "It brings 1 of 9."}, "/"),
        ({"kind": "rising", "answer": "It brings 1 of 9.", "curves": [{"elbow": 1}, {"elbow": None}], "new": "x"}, ""),
    ],
)
def test_a_verdict_measured_by_other_code_may_differ_in_numbers_alone(other, at):
    verdict = {"kind": "rising", "answer": "It brings +0.010 of 1,300.", "curves": [{"elbow": 0.3}, {"elbow": None}]}
    found = where_words_differ(verdict, other)
    assert found.startswith(at)
    assert bool(found) == bool(at)


def test_the_static_checks_come_before_a_conclusion_is_measured_again(root, promoted):
    folder = promoted["elbow"]
    with mutations.undone(folder):
        (folder / "references.csv").write_text("changed")
        with pytest.raises(ConclusionError, match=r"references\.csv: its SHA-256 is"):
            reverify(read_conclusion(folder), root)


def test_the_command_built_from_a_conclusion_collects_its_grid(promoted):
    about = read_conclusion(promoted["elbow"]).about
    command = [sys.executable, "-m", "pytest", *rerun_words(about), "--co", "-q"]
    done = subprocess.run(command, cwd=ROOT, env=light.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    collected = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(collected) > 100
    assert all(line.startswith("benchmark/test_elbow.py::") for line in collected)
    assert len({line.rpartition("-")[2] for line in collected}) == len(about.seeds)


@pytest.mark.parametrize("target", ["/etc/hostname", "nowhere"])
def test_a_link_in_a_conclusion_is_refused(root, promoted, target):
    folder = promoted["elbow"]
    (folder / "extra.csv").symlink_to(target)
    try:
        with pytest.raises(ConclusionError, match=r"extra\.csv: not a file of its own"):
            verify(folder, root)
    finally:
        (folder / "extra.csv").unlink()


def test_measured_again_a_figure_or_array_in_another_format_is_the_same_and_of_other_data_is_not(tmp_path):
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).repeat(10, axis=0).repeat(10, axis=1)
    picture = Image.fromarray(colours.astype(np.uint8))
    picture.save(tmp_path / "true.png")
    picture.quantize(128).save(tmp_path / "palette.png")
    Image.fromarray(np.roll(colours, 10, axis=1).astype(np.uint8)).save(tmp_path / "moved.png")
    values = np.random.default_rng(1).random((5, 4))
    for name, kept in (("true", values), ("rounded", np.round(values * 2**13) / 2**13), ("moved", values[::-1])):
        np.savez_compressed(tmp_path / f"{name}.npz", mrr=kept)
    assert same_artifact(tmp_path / "true.png", tmp_path / "palette.png")
    assert not same_artifact(tmp_path / "true.png", tmp_path / "moved.png")
    assert same_artifact(tmp_path / "true.npz", tmp_path / "rounded.npz")
    assert not same_artifact(tmp_path / "true.npz", tmp_path / "moved.npz")
