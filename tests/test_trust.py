"""A pair folder is data: whatever a stranger has put into it, nothing in it is run."""

import shutil
import subprocess
import sys

import light
import pytest
from pair_folders import write_pair

CODE = "import pathlib\n\npathlib.Path({marker!r}).touch()\n\n\ndef test_in_a_pair():\n    raise AssertionError\n"


@pytest.fixture
def root(tmp_path, smollm2):
    """A root with the light experiment, and a pair of its own."""
    root = tmp_path / "root"
    light.build_root(root, write_pair(tmp_path / "seed" / "small", smollm2, 60), cells=4)
    return root


def armed(folder, marker):
    """The pair, with code that would leave a marker if it were run."""
    for name in ("conftest.py", "test_evil.py", "evil_test.py", "__init__.py"):
        (folder / name).write_text(CODE.format(marker=str(marker)))
    return folder


def run(root, *options, plugin, pair):
    """Run the light experiment with the plugin found by its entry point or by -p."""
    found = {"entry point": [], "-p": ["-p", "embalign.plugin"]}[plugin]
    environment = light.environment(LIGHT_SECONDS="0")
    if plugin == "entry point":
        for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS"):
            environment.pop(name)
    command = [sys.executable, "-m", "pytest", *found, "benchmark", "--pair", pair, "--seeds", "2", *options]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("plugin", ["entry point", "-p"])
@pytest.mark.parametrize("place", ["elsewhere/small", "benchmark/small", "benchmark/group/small"])
def test_code_in_a_pair_folder_is_not_run(root, tmp_path, place, plugin):
    marker = tmp_path / "was-run"
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root / "benchmark" / "small", tmp_path / "moved")
    armed(shutil.move(tmp_path / "moved", root / place), marker)
    done = run(root, plugin=plugin, pair=place if place != "benchmark/small" else "small")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert not marker.exists()


@pytest.mark.parametrize("form", ["--pair=elsewhere/small", "absolute"])
def test_however_the_pair_is_named(root, tmp_path, form):
    marker = tmp_path / "was-run"
    folder = root / "elsewhere" / "small"
    folder.parent.mkdir()
    armed(shutil.move(root / "benchmark" / "small", folder), marker)
    option = f"--pair={folder}" if form == "absolute" else form
    done = run(root, option, plugin="entry point", pair=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not marker.exists()


def test_a_pair_whose_conftest_pytest_itself_would_run_is_refused(root, tmp_path):
    """Pytest looks for conftest.py in folders whose name begins with test, inside those that it is given."""
    marker = tmp_path / "was-run"
    folder = armed(shutil.move(root / "benchmark" / "small", root / "benchmark" / "testing"), marker)
    done = run(root, plugin="entry point", pair="testing")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--pair testing: {folder / 'conftest.py'} would be run, and a pair is data" in done.stderr
    assert "Traceback" not in done.stderr
    assert not marker.exists()


def test_the_plugin_is_loaded_once_however_often_it_is_named(root):
    """By entry point, by -p and by conftest.py: its options would clash if it were loaded twice."""
    done = run(root, "-p", "embalign.plugin", plugin="entry point", pair="small")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_a_pair_that_brings_settings_for_pytest_is_refused(root, tmp_path):
    """Pytest looks for its settings in every folder that it is given, before it knows what an option takes."""
    folder = tmp_path / "elsewhere" / "small"
    folder.parent.mkdir()
    shutil.move(root / "benchmark" / "small", folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = light.environment(LIGHT_SECONDS="0")
    command = [sys.executable, "-m", "pytest", "-p", "embalign.plugin", "--pair", str(folder), "benchmark"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"pytest would take its settings from {folder / 'pytest.ini'}, and a pair is data" in done.stderr
