"""How a run behaves towards its user: estimates, hints, words for a run that cannot mean what it says."""

import os
import re
import subprocess
import sys

import light
import pytest
from pair_folders import ROOT, write_pair

from embalign.__main__ import COMMANDS, main
from embalign.experiments.grid import rerun_command
from embalign.pairs import provenance
from embalign.plugin.expressions import explain_empty
from embalign.plugin.options import HELP, OPTIONS
from embalign.plugin.progress import Progress
from embalign.runs.provenance import _relative
from embalign.verdicts.elbow import FEWEST_SEEDS

HEAVY = ("torch", "pandas", "scipy", "sklearn", "matplotlib", "requests", "numpy", "pytest", "jinja2")
IDS = ["test_elbow[ratio0.10-random-tuned-seed00]", "test_elbow[ratio1.00-density-closed_form-seed04]"]
IDS += ["test_spectral[lambda0.0100-spectral-raw-small-0-seed00]"]
EXPERIMENTS = ["spectral", "elbow"]


def after(progress, *cells):
    for seconds, stored in cells:
        progress.add(seconds, stored=stored)
    return progress


def test_nothing_is_estimated_before_the_first_measured_cell():
    progress = after(Progress(cells=10, waiting=6), (0.01, True), (0.01, True))
    assert progress.left is None
    assert progress.line(65) == "2 of 10 cells (2 from the store), 0:01:05 elapsed"


def test_what_is_left_follows_from_measured_cells_alone():
    progress = after(Progress(cells=10, waiting=6), (0.01, True), (4, False), (0.01, True), (8, False))
    assert progress.left == 4 * 6
    assert progress.line(600) == "4 of 10 cells (2 from the store), 0:10:00 elapsed, about 0:00:24 left"


def test_processes_share_what_is_left():
    assert after(Progress(cells=9, waiting=9, processes=4), (10, False)).left == 8 * 10 / 4


def test_nothing_is_estimated_of_cells_that_are_measured_together():
    progress = after(Progress(cells=10, waiting=10, together=True), (30, False))
    assert progress.left is None
    assert "left" not in progress.line(31)


def test_a_run_of_stored_cells_alone_has_nothing_left():
    assert after(Progress(cells=3, waiting=0), (0.01, True)).left == 0


def test_without_a_count_of_stored_cells_all_others_are_to_be_measured():
    assert after(Progress(cells=10), (0.01, True), (2, False)).left == 8 * 2


def test_the_last_cell_leaves_nothing():
    assert after(Progress(cells=2, waiting=2), (3, False), (3, False)).left == 0


@pytest.fixture
def root(tmp_path, smollm2):
    """A root with the light experiment, whose progress is shown after every cell."""
    light.build_root(tmp_path / "root", write_pair(tmp_path / "pair" / "small", smollm2, 60), cells=12)
    with (tmp_path / "root" / "conftest.py").open("a") as file:
        file.write("from embalign.pairs import provenance\nfrom embalign.plugin import hooks\n")
        file.write("hooks.PROGRESS_SECONDS, provenance.SETTLED = 0, -1e9\n")
    return tmp_path / "root"


OPENED = """
import os
import sys


def note(event, args):
    if event == "open" and str(args[0]).endswith("draft.safetensors"):
        with open(os.environ["OPENED"], "a") as file:
            file.write(f"{os.getpid()}\\n")


sys.addaudithook(note)
"""


def test_a_run_says_what_it_has_from_the_store_and_what_is_left_and_reads_its_pair_once(root, tmp_path):
    """Vectors are read for their digest, for the check and for use, the last two by header and values.

    Not once per cell, per report or per digest.
    """
    (tmp_path / "sitecustomize.py").write_text(OPENED)
    environment = light.environment(OPENED=str(opened := tmp_path / "opened.txt"))
    environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    command = light.command("-k", "seed00")
    first = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert re.search(r"6 of 6 cells, 0:.* about 0:00:00 left", first.stdout), first.stdout
    processes = opened.read_text().split()
    assert len(processes) == 5
    assert len(set(processes)) == 1
    again = light.run(root, "-n", "1")  # whose process looks the cells up
    assert "12 of 12 cells (6 from the store), 0:0" in again.stdout
    assert re.search(r"12 of 12 .* about 0:00:00 left", again.stdout)


def test_a_file_is_digested_again_once_it_was_written_again(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = provenance.file_digest(path)
    path.write_bytes(b"two")
    assert provenance.file_digest(path) != first
    monkeypatch.setattr(provenance, "SETTLED", -1e9)
    assert provenance.file_digest(path) == provenance.file_digest(path) != first
    os.truncate(path, 2)
    third = provenance.file_digest(path)
    path.unlink()
    path.write_bytes(b"one")
    assert provenance.file_digest(path) == first != third


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("elbw", "did you mean elbow?"),
        ("Elbo and ratio0.11", "did you mean ratio0.10?"),
        ("spectrl or sed00", "did you mean spectral and seed00?"),
        ("density and not closed_from", "did you mean closed_form?"),
        ("elbow and lambda0.0100", "each word matches a case, and no case matches all of it."),
        ("xyzzy", "no case has xyzzy in its name."),
    ],
)
def test_an_expression_that_matches_nothing_names_the_nearest_word_and_the_experiments(expression, words):
    found = explain_empty(expression, EXPERIMENTS, IDS)
    assert found.startswith(f"no case matches -k {expression!r}: {words}")
    assert found.endswith("Experiments: elbow, spectral. For instance: -k 'elbow and ratio0.10'")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["-k", "ligth", "-n", "1"], 5, "did you mean light?"),
        (["-k", "light and"], 4, "Experiments: light. For instance: -k 'light and seed00'"),
    ],
    ids=["typo in another process", "no expression"],
)
def test_a_run_that_selects_nothing_says_what_there_is(root, options, code, words):
    done = light.run(root, *options)
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert done.stdout.count("no case matches") <= 1


def elsewhere(folder, *words):
    """A run of pytest with the plugin in some folder."""
    command = [sys.executable, "-m", "pytest", "-p", "embalign.plugin", *words]
    return subprocess.run(command, cwd=folder, env=light.environment(), capture_output=True, text=True)


def test_a_run_where_no_experiments_are_says_so_and_how_to_have_them(tmp_path):
    done = elsewhere(tmp_path, "benchmark/", "-k", "elbow")
    assert done.returncode == 4
    words = f"file or directory not found: benchmark/; {tmp_path} has no experiments under benchmark/; first: cd "
    assert words in done.stderr
    remedy = done.stderr.partition("first: ")[2].strip()
    assert remedy.endswith(", or have them here: embalign init")
    there = subprocess.run(f"{remedy.partition(',')[0]} && pwd", shell=True, capture_output=True, text=True)
    assert there.stdout.strip() == str(ROOT)


def test_a_run_below_the_folder_of_the_experiments_says_where_that_is(root):
    (root / "benchmark" / "test_elbow.py").touch()
    (root / "docs" / "deep").mkdir(parents=True)
    said = elsewhere(root / "docs" / "deep", "benchmark/").stderr
    assert f"has no experiments under benchmark/; first: cd {root}, or " in said


def test_a_pair_without_an_experiment_is_refused(tmp_path, smollm2):
    write_pair(tmp_path / "mine", smollm2, 60)
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    done = elsewhere(tmp_path, "--pair", "mine")
    assert done.returncode == 4
    assert "--pair: no experiment was collected" in done.stderr
    assert "has no experiments under benchmark/; first: cd " in done.stderr


def test_a_pair_is_not_fetched_where_nothing_is_selected(root):
    """The server of this pair does not exist: a fetch would fail."""
    folder = root / "benchmark" / "new"
    folder.mkdir()
    side = '{source = "openai", model = "m", endpoint = "http://127.0.0.1:9"}'
    (folder / "pair.toml").write_text(f"draft = {side}\nteacher = {side}\n")
    (folder / "corpus.jsonl").write_text('{"id": "1", "text": "a", "label": "b"}\n')
    done = light.run(root, "--pair", "new", "-k", "ligth")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "did you mean light? Experiments: light. For instance: -k 'light and seed00'" in done.stdout


def test_export_asks_for_a_pair(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["export", "--out", str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert "no pair is named: add --pair NAME, one of debian-minilm-mpnet, " in said
    monkeypatch.chdir(tmp_path)
    assert main(["export"]) == 4
    assert f"{tmp_path} has no experiments under benchmark/; first: cd " in capsys.readouterr().err
    assert main(["export", "--pair", "smollm2-mpnet"]) == 4
    assert "no pair 'smollm2-mpnet'" in (said := capsys.readouterr().err)
    assert said.endswith("or have them here: embalign init\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [[], *([command.name] for command in COMMANDS)], ids=lambda words: "-".join(words))
def test_help_of_a_command_imports_nothing_heavy(words):
    script = (
        "import sys\nfrom embalign.__main__ import main\n"
        f"try:\n    main([*{words!r}, '--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert ("example:" in shown) == bool(words)


def test_every_option_is_explained():
    assert set(HELP) == set(OPTIONS)
    assert all(len(words) > 20 for words in HELP.values())


def set_fewest(root, seeds):
    path = root / "benchmark" / "test_light.py"
    path.write_text(path.read_text().replace('name="light",', f'name="light",\n    fewest_seeds={seeds},', 1))


def test_too_few_seeds_are_refused_before_the_first_cell_unless_asked_for(root):
    set_fewest(root, 3)
    for options in ((), ("-n", "1")):
        done = light.run(root, *options)  # with two seeds
        assert done.returncode == 4
        assert (
            "--seeds 2: a verdict of light needs at least 3 seeds; give --seeds 3 or more" in done.stdout + done.stderr
        )
        assert "1 passed" not in done.stdout


def test_the_elbow_experiment_needs_as_many_seeds_as_its_verdict(monkeypatch):
    import importlib

    monkeypatch.syspath_prepend(ROOT / "benchmark")
    assert importlib.import_module("test_elbow").ELBOW.fewest_seeds == FEWEST_SEEDS


def test_a_report_of_too_few_seeds_names_a_command_that_is_not_refused():
    about = {"pair": "small", "profile": "quick", "seeds": [0, 1], "no_verdict": True}
    assert "--seeds 2 --no-verdict " in rerun_command("elbow", about)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("/home/me/work/checkout/benchmark/p", "benchmark/p"),
        ("/home/me/work/my pair", "../my pair"),
        ("--pair=/home/me/work/p", "--pair=../p"),
        ("--reports-dir=/srv/reports", "--reports-dir=.../reports"),
        ("/srv/p", ".../p"),
        ("../p", "../p"),
        ("-k", "-k"),
    ],
)
def test_words_of_a_command_are_as_they_are_from_the_root(word, shown):
    from pathlib import Path

    assert _relative(word, Path("/home/me/work/checkout")) == shown


def test_the_command_of_a_report_runs_in_a_shell_in_the_root(root, smollm2):
    """With a pair beside the root whose name holds a space and a quote."""
    folder = write_pair(root.parent / "it's mine", smollm2, 60)
    about = {"pair": folder.name, "folder": _relative(str(folder), root), "profile": "quick", "seeds": [0, 1]}
    again = rerun_command("light", about)
    assert again.startswith("pytest benchmark/ -k light --pair '../it'")
    line = f"{again.replace('pytest', f'{sys.executable} -m pytest', 1)} --co -q"
    done = subprocess.run(line, shell=True, cwd=root, env=light.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 tests collected" in done.stdout


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["jugde", "curve.csv"], "did you mean judge?"),
        (["judge", "curve.csv", "--margn", "0.1"], "did you mean --margin?"),
        (["import", "--draft", "a", "--teacher", "b", "--out", "c", "--label=x"], "did you mean --labels?"),
    ],
)
def test_a_mistyped_word_of_a_command_line_names_the_nearest(words, hint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert hint in printed
    assert words[0] in printed.splitlines()[0] or words[0] == "jugde"
