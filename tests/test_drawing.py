"""Figures have the same bytes whatever the user has set in matplotlib, and broken settings stop nothing."""

import os
import subprocess
import sys

import light
import matplotlib
import pytest
from matplotlib import pyplot
from pair_folders import ROOT, write_pair

from embalign.experiments import style

SCRIPT = """
import sys
from pathlib import Path

from embalign.runs.drawing import import_matplotlib

import_matplotlib(Path(sys.argv[1]) / ".embalign" / "matplotlib")
from test_drawing import draw

draw(Path(sys.argv[2]))
"""
# One line each of a user's matplotlibrc that would change the figure or stop it.
SETTINGS = {
    "text.usetex": True,
    "savefig.dpi": 60,
    "axes.facecolor": "black",
    "axes.formatter.use_locale": True,
    "axes.unicode_minus": False,
    "figure.autolayout": True,
    "path.sketch": (1, 100, 2),
    "agg.path.chunksize": 2,
    "lines.antialiased": False,
    "font.sans-serif": ["DejaVu Serif"],
    "mathtext.fontset": "cm",
}


def draw(path):
    """Draw lines, text, a legend and numbers with signs and powers."""
    with style.figure_style():
        figure, axis = pyplot.subplots(figsize=(3, 2))
        axis.plot([-3000, -1.5, 20000], [1e-4, 2, 3e5], label="größer, λ")
        axis.set_yscale("log")
        axis.set_title("a title")
        axis.legend()
        style.save(figure, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The bytes of the figure without settings of a user."""
    return draw(tmp_path_factory.mktemp("usual") / "usual.png")


@pytest.mark.parametrize("name", SETTINGS)
def test_no_setting_of_the_user_changes_a_figure(tmp_path, usual, name):
    with matplotlib.rc_context({name: SETTINGS[name]}):
        assert draw(tmp_path / "figure.png") == usual


@pytest.mark.parametrize("where", ["current folder", "MPLCONFIGDIR"])
def test_broken_settings_neither_stop_a_figure_nor_change_it(tmp_path, usual, where):
    """Not UTF-8, a backend that is none, and a style file and a font cache of the user that cannot be read."""
    home = tmp_path / "home"
    (home / "stylelib").mkdir(parents=True)
    for path in (home / "matplotlibrc", home / "stylelib" / "default.mplstyle"):
        path.write_bytes(b"lines.linewidth: \xff\n:::\n")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"MPLBACKEND": "nothing", "PYTHONPATH": paths}
    if where == "MPLCONFIGDIR":
        environment |= {where: str(home), "MATPLOTLIBRC": str(home)}
        (tmp_path / ".embalign").touch()  # nothing can be written where its own would be
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path), str(tmp_path / "figure.png")]
    done = subprocess.run(
        command,
        cwd=home if where == "current folder" else tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "figure.png").read_bytes() == usual


def test_a_run_goes_on_under_settings_that_matplotlib_does_not_read(tmp_path, smollm2):
    light.build_root(tmp_path / "root", write_pair(tmp_path / "pair" / "small", smollm2, 60), cells=2)
    (tmp_path / "root" / "matplotlibrc").write_bytes(b"\xff\xfe")
    environment = light.environment(MPLCONFIGDIR="/proc/nothing", MPLBACKEND="nothing", LIGHT_SECONDS="0")
    command = light.command("-q")
    done = subprocess.run(command, cwd=tmp_path / "root", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 cells measured" in done.stdout
    assert done.stderr == ""
