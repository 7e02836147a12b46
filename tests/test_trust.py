"""Pair folders and conclusions are data: whatever a stranger has put into one, however it is named, nothing runs."""

import shutil
import subprocess
import sys

import light
import pytest
from pair_folders import ROOT, write_pair

from embalign.pairs.ignored import DEEPEST, MOST_ENTRIES, SHOWN, ignored

CODE = """
import pathlib

pathlib.Path({marker!r}).touch()


def test_in_a_pair():
    '''
    >>> 1
    2
    '''
"""
# The last is a name that the light experiment imports: it must not be found by a `pythonpath` of the pair.
PYTHON = (
    *("conftest.py", "test_evil.py", "evil_test.py", "__init__.py", "sitecustomize.py", "usercustomize.py"),
    "light.py",
)
SETTINGS = {
    "pytest.ini": "[pytest]\naddopts = --no-such-option\npythonpath = .\n",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--no-such-option'\n",
    "setup.cfg": "[tool:pytest]\naddopts = --no-such-option\n",
    "tox.ini": "[pytest]\naddopts = --no-such-option\n",
}


class Hostile:
    """A root with the light experiment, and hostile pairs: elsewhere, under benchmark/, and behind a link."""

    def __init__(self, folder, small):
        self.folder, self.root, self.marker = folder, folder / "root", folder / "was-run"
        light.build_root(self.root, small, cells=4)
        self.elsewhere = self.arm(shutil.copytree(small, folder / "elsewhere" / "evil"))
        self.arm(shutil.copytree(small, self.root / "benchmark" / "testing"))
        (self.root / "benchmark" / "linked").symlink_to(self.elsewhere)
        (folder / "words").write_text(f"--pair\n{self.elsewhere}\nbenchmark\n")

    def arm(self, folder):
        """Fill a folder with code that would leave a marker if it were run, and with settings that stop any run."""
        for name in (*PYTHON, "tests/conftest.py", "tests/test_evil.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(CODE.format(marker=str(self.marker)))
        for name, text in SETTINGS.items():
            (folder / name).write_text(text)
        (folder / "evil.pth").write_text(f"import pathlib; pathlib.Path({str(self.marker)!r}).touch()\n")
        return folder

    def run(self, *words, plugin="-p", at=None, **environment):
        """Run pytest in the root or elsewhere, with the plugin by its entry point or by -p; return the process."""
        words = [word.format(pair=self.elsewhere, folder=self.folder) for word in words]
        environment = light.environment(LIGHT_SECONDS="0", **environment)
        if plugin == "entry point":
            for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS"):
                environment.pop(name)
        found = {"entry point": [], "-p": ["-p", "embalign.plugin"], "conftest.py": []}[plugin]
        command = [sys.executable, "-m", "pytest", *found, *words, "--seeds", "2", "-p", "no:cacheprovider"]
        done = subprocess.run(
            command, cwd=at or self.root, env=environment, capture_output=True, text=True, check=False
        )
        assert not self.marker.exists(), done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, smollm2):
    folder = tmp_path_factory.mktemp("hostile")
    return Hostile(folder, write_pair(folder / "seed" / "small", smollm2, 60))


@pytest.mark.parametrize(
    "words",
    [
        ["benchmark", "--pair", "{pair}"],
        ["--pair", "{pair}", "benchmark"],
        ["--pair={pair}", "benchmark"],
        ["--pair", "{pair}"],
        ["--pair", "../elsewhere/evil", "--pair", "small", "benchmark"],
        ["benchmark", "--pair", "testing"],
        ["--pair", "benchmark/testing", "-k", "light"],
        ["--pair", "benchmark/linked", "benchmark"],
        ["@{folder}/words"],
    ],
    ids=lambda words: " ".join(words),
)
def test_in_every_spelling_a_pair_is_data_and_the_run_goes_on(hostile, words):
    done = hostile.run(*words, "--co", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{8 if 'small' in words else 4} tests collected" in done.stdout
    lines = [line for line in done.stdout.splitlines() if "ignored in" in line]
    assert len(lines) == 1
    named, _, reason = lines[0].partition(": ")[2].rpartition(": ")
    expected = {*PYTHON, *SETTINGS, "evil.pth", "tests/conftest.py", "tests/test_evil.py"}
    assert (set(named.split(", ")), reason) == (expected, "a pair is data")


def test_a_pair_named_by_the_environment_is_data_too(hostile):
    done = hostile.run("benchmark", "--co", "-q", PYTEST_ADDOPTS=f"--pair {hostile.elsewhere}")
    assert "4 tests collected" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("option", ["--pair {clone}/data/small", "--pair small --reports-dir {clone}/reports"])
def test_settings_around_what_an_option_names_are_not_used(hostile, tmp_path, option):
    """A pair in a clone of a stranger's repository, and reports that are written into one."""
    clone = hostile.arm(tmp_path)
    shutil.copytree(hostile.folder / "seed" / "small", clone / "data" / "small")
    (clone / "reports").mkdir()
    done = hostile.run(*option.format(clone=clone).split(), "benchmark", "--co", "-q")
    assert "4 tests collected" in done.stdout, done.stdout + done.stderr


def test_a_root_without_settings_does_not_take_those_of_a_pair(hostile):
    settings = hostile.root / "pytest.ini"
    text = settings.read_text()
    settings.unlink()
    try:
        done = hostile.run("benchmark", "--pair", "{pair}", "--co", "-q")
    finally:
        settings.write_text(text)
    assert "4 tests collected" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("pair", ["{pair}", "testing"])
def test_a_plugin_that_only_a_conftest_names_still_comes_before_the_pair(hostile, pair):
    """So it is in xdist's processes, which load no plugin that the settings name with -p."""
    done = hostile.run("benchmark", "--pair", pair, "--co", "-q", plugin="conftest.py")
    assert "4 tests collected" in done.stdout, done.stdout + done.stderr


def test_a_whole_run_measures_and_writes_no_report_through_the_pairs_link(hostile, tmp_path):
    (hostile.elsewhere / "reports").symlink_to(tmp_path)
    try:
        done = hostile.run("--pair", "{pair}", "benchmark", plugin="entry point")
    finally:
        (hostile.elsewhere / "reports").unlink()
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert "reports (a link)" in done.stdout
    assert f"no report written: {hostile.elsewhere / 'reports'} is a symbolic link" in done.stdout
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["{pair}", "{pair}/tests/test_evil.py::test_in_a_pair", "benchmark/linked"])
def test_a_pair_named_as_what_to_run_is_refused_in_one_line(hostile, word):
    done = hostile.run(word, "--co")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert (
        "is a pair, and a pair is data: nothing in it is run. To measure it: pytest benchmark/ --pair=" in done.stderr
    )
    assert len(done.stderr.strip().splitlines()) == 1


def test_settings_of_a_pair_that_name_a_plugin_are_obeyed_by_pytest_alone_and_the_run_stops(hostile, tmp_path):
    """Even so, pytest imports what a settings file names with -p before any plugin: that is said, with what helps."""
    pair = shutil.copytree(hostile.folder / "seed" / "small", tmp_path / "evil")
    (pair / "pytest.ini").write_text("[pytest]\naddopts = -p named_plugin\npythonpath = .\n")
    (pair / "named_plugin.py").write_text("")
    done = hostile.run("--pair", str(pair), "benchmark", "--co")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"{pair / 'pytest.ini'} has made pytest import named_plugin" in done.stderr
    for words in (["benchmark", "--pair", str(pair)], ["--pair", str(pair), "-c", "pytest.ini", "benchmark"]):
        done = hostile.run(*words, "--co", "-q")
        assert "4 tests collected" in done.stdout, done.stdout + done.stderr


def test_a_pair_without_a_value_is_a_usage_error(hostile):
    done = hostile.run("benchmark", "--co", "--pair", "-k", "light")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "argument --pair: expected one argument" in done.stderr


def test_a_default_pair_that_is_not_there_is_a_usage_error(hostile):
    done = hostile.run("benchmark", "--co", "-q")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "no pair 'qwen-sentence-align'" in done.stderr


@pytest.fixture
def research(hostile):
    """The root's docs/research with one folder, both full of code."""
    folder = hostile.root / "docs" / "research" / "2026-01-02-any"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# Any\n\n>>> 1\n2\n")
    for place in (folder, folder.parent):
        for name in PYTHON:
            (place / name).write_text(CODE.format(marker=str(hostile.marker)))
    yield folder
    shutil.rmtree(hostile.root / "docs")


def test_code_among_the_conclusions_is_not_run_and_fails(hostile, research):
    for word in ("docs", "docs/research/2026-01-02-any"):
        done = hostile.run(word, "-q", "--doctest-modules", "--doctest-glob=*.md")
        assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
        assert "test_in_a_pair" not in done.stdout
        assert "README.md and conclusion.toml belong together" in done.stdout
        stray = "test_evil.py: belongs to no conclusion; only --promote writes here"
        assert (stray in done.stdout) == (word == "docs")


def test_a_test_file_of_a_conclusion_is_not_run_when_it_is_named(hostile, research):
    done = hostile.run("docs/research/2026-01-02-any/test_evil.py", "-q")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: not found: " in done.stderr


@pytest.mark.parametrize("place", ["docs/research", "docs/research/2026-01-02-any"])
def test_settings_among_the_conclusions_are_refused(hostile, research, place):
    path = hostile.root / place / "pytest.ini"
    path.write_text("[pytest]\n")
    done = hostile.run("docs/research/2026-01-02-any", "-q")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"{path}: pytest takes this for its settings, and conclusions are data; remove it" in done.stderr


def test_a_checkout_in_a_folder_of_that_name_is_none_of_them(hostile, tmp_path):
    root = tmp_path / "docs" / "research" / "checkout"
    shutil.copytree(hostile.root / "benchmark", root / "benchmark", ignore=shutil.ignore_patterns("testing", "linked"))
    (root / "pytest.ini").write_text("[pytest]\n")
    done = hostile.run("benchmark", "--pair", "small", "--co", "-q", at=root)
    assert "4 tests collected" in done.stdout, done.stdout + done.stderr


def test_shipped_pairs_hold_data_alone():
    folders = [path.parent for path in (ROOT / "benchmark").glob("*/pair.toml")]
    assert len(folders) >= 5
    assert [ignored(folder) for folder in folders] == [""] * len(folders)


def test_what_is_ignored_is_one_line_however_much_there_is_and_whatever_it_is_called(tmp_path):
    assert ignored(tmp_path) == ""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "library.py").touch()  # a repository's own code has no name that pytest looks for
    (tmp_path / "notes.txt").touch()
    assert ignored(tmp_path) == ""
    (tmp_path / "a\n\x1b[2J.py").touch()
    assert ignored(tmp_path) == f"ignored in {tmp_path.name}: a\\n\\x1b[2J.py: a pair is data"
    for number in range(SHOWN):
        (tmp_path / "src" / f"test_{number}.py").touch()
    assert ignored(tmp_path).endswith("and 1 more: a pair is data")


def test_a_huge_repository_is_not_walked(tmp_path):
    deep = tmp_path.joinpath(*"abcdefgh"[: DEEPEST + 1])
    deep.mkdir(parents=True)
    (deep / "conftest.py").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert ignored(tmp_path) == ""
    (deep.parent / "conftest.py").touch()
    assert ignored(tmp_path) != ""
    many = tmp_path / "0"
    many.mkdir()
    for number in range(MOST_ENTRIES):
        (many / f"test_{number}.py").touch()
    assert int(ignored(tmp_path).split(" and ")[1].split(" more")[0]) < MOST_ENTRIES
