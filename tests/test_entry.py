"""Where embalign is installed, pytest loads its plugin for runs of experiments, and no other run is changed."""

import subprocess
import sys

import light
import pytest
from pair_folders import write_pair

# A project that has options, folders and signal handlers of its own, under names that embalign uses.
CONFTEST = """
def pytest_addoption(parser):
    parser.addoption("--profile")
    parser.addoption("--workers", type=int)
    parser.addoption("--seeds")
    parser.addoption("--results")
"""
TEST = """
import signal
import sys


def test_nothing_of_embalign_is_there(pytestconfig):
    assert pytestconfig.option.profile == "slow"
    assert pytestconfig.option.workers == 3
    assert not [name for name in sys.modules if name.startswith("embalign.plugin")]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not pytestconfig.pluginmanager.has_plugin("embalign.plugin")
"""


def run(folder, *words, **environment):
    """Run pytest with every installed plugin; return the process."""
    inherited = light.environment(**environment)
    for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS"):
        inherited.pop(name)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *words]
    return subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, check=False)


def test_another_projects_options_folders_and_signals_are_its_own(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "docs" / "research").mkdir(parents=True)
    for place in ("", "benchmark", "docs/research"):
        (tmp_path / place / f"test_{place[:4]}.py").write_text(TEST)
    done = run(tmp_path, "--profile", "slow", "--workers=3", "--strict-markers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert "embalign]" not in done.stdout


def sign(path, content=""):
    """A function that writes a file of a folder."""

    def write(folder):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)

    return write


INI = "[pytest]\naddopts = --regression report\n"
NAMED = 'pytest_plugins = ["embalign.plugin"]\n'
WAKERS = {
    "an experiment": (sign("benchmark/test_elbow.py"), []),
    "a pair": (sign("benchmark/mine/pair.toml"), []),
    "a conclusion": (sign("docs/research/first/conclusion.toml"), []),
    "a folder around what is named": (sign("sub/benchmark/mine/pair.toml"), ["sub/benchmark"]),
    "settings": (sign("pytest.ini", "[pytest]\naddopts = -p embalign.plugin\n"), []),
    "settings with an option": (sign("pytest.ini", INI), []),
    "a conftest.py": (sign("conftest.py", NAMED), []),
    "a conftest.py and settings": (
        lambda folder: [sign("conftest.py", NAMED)(folder), sign("pytest.ini", INI)(folder)],
        [],
    ),
    "an option": (sign("empty"), ["--no-verdict"]),
    "an option with a value": (sign("empty"), ["--pair=a"]),
    "an option in a file": (sign("words", "--pair\na\n"), ["@words"]),
}


@pytest.mark.parametrize("name", WAKERS)
def test_a_run_of_experiments_has_the_options_and_the_plugin_once(name, tmp_path):
    write, words = WAKERS[name]
    write(tmp_path)
    done = run(tmp_path, "--help", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  --update-baseline ") == 1
    assert not done.stderr


def test_an_option_in_the_environment_is_one_too(tmp_path):
    assert "  --update-baseline " in run(tmp_path, "--help", PYTEST_ADDOPTS="--regression report").stdout


def test_what_is_asked_for_and_is_not_there_is_answered_by_embalign(tmp_path):
    done = run(tmp_path, "benchmark/", "-k", "elbow")
    assert done.returncode == 4
    assert "file or directory not found: benchmark/; " in done.stderr
    assert done.stderr.strip().endswith("embalign init")


def test_an_option_that_another_plugin_has_taken_is_named(tmp_path):
    (tmp_path / "other.py").write_text(CONFTEST)
    done = run(tmp_path, "-p", "other", "--pair", "a", PYTHONPATH=str(tmp_path))
    assert done.returncode == 4
    assert "another plugin has added --profile, which is an option of embalign too; run without it" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [[], ["-n", "1"]], ids=["here", "in a process of xdist's"])
def test_a_run_measures_with_the_plugin_by_its_entry_point_alone(words, tmp_path, smollm2):
    light.build_root(tmp_path / "root", write_pair(tmp_path / "pair" / "small", smollm2, 60), cells=4)
    (tmp_path / "root" / "conftest.py").unlink()
    done = run(tmp_path / "root", "benchmark", "--pair", "small", "--seeds", "2", *words, LIGHT_SECONDS="0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 cells measured" in done.stdout
