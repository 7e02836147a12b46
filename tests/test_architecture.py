"""How the package is built: which room may import which, how long a function may be, and what one change touches."""

import ast
import csv
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
from pair_folders import ROOT, write_pair

import embalign
from embalign.runs.source import imports

PACKAGE = ROOT / "embalign"
# Each may import those to its left. The package itself and the command line are made of all of them.
ORDER = (
    *("escaping", "counts", "errors", "platforms", "lazy", "readers", "durable", "unforeseen", "pairs", "embeddings"),
    *("alignment", "evaluation", "maps", "verdicts", "imports", "deploy", "experiments", "runs", "judging"),
    *("regression", "research", "starter", "page", "pytest_entry", "plugin", "commands"),
)
APART = {"regression", "research"}  # neither of these imports the other
FREE = {"", "__main__"}
FORMER_PLACES = {("runs.export", "__main__")}  # still does what the command does
EXPERIMENTS = ("elbow", "spectral", "gate", "maps")
# The gate's arms are those of experiment 2, and so are the contrasts between them.
BETWEEN_EXPERIMENTS = {("gate", "experiments.spectral.protocol")}

LONGEST, MOST_PARAMETERS = 60, 7
HEAVY = ("torch", "pandas", "scipy", "sklearn", "matplotlib", "requests", "numpy")


@functools.cache
def modules():
    """Path and syntax tree of each module by its name without `embalign.`; the package itself is ''."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path, ast.parse(path.read_bytes())
    return found


def imported(name, tree, *, is_package=False):
    """The modules of the package that one imports, at once or through lazy(), by names like `pairs.config`."""
    package = f"embalign.{name if is_package else name.rpartition('.')[0]}".rstrip(".")
    for found in dict.fromkeys(imports(tree, package)):
        top, _, rest = found.partition(".")
        if top == "embalign" and rest:
            yield rest


def experiment_of(name):
    """The experiment whose folder a module is in, or None for what they share."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in EXPERIMENTS else None


def is_wrong(name, other):
    """Whether a module must not import that other one."""
    own, its = name.partition(".")[0], other.partition(".")[0]
    if own in FREE or (name, its) in FORMER_PLACES:
        return False
    if own == its == "experiments":
        mine, theirs = experiment_of(name), experiment_of(other)
        between = (mine, ".".join(other.split(".")[:3])) in BETWEEN_EXPERIMENTS
        return theirs not in (None, mine) and not between
    if own == its:
        return False
    return its not in ORDER or ORDER.index(its) > ORDER.index(own) or {own, its} == APART


def test_every_room_has_its_place_in_the_order():
    assert {name.partition(".")[0] for name in modules()} - FREE == set(ORDER)
    folders = {path.name for path in (PACKAGE / "experiments").iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(EXPERIMENTS)


def test_imports_run_one_way():
    wrong = [
        f"{name} imports {other}"
        for name, (path, tree) in modules().items()
        for other in imported(name, tree, is_package=path.name == "__init__.py")
        if is_wrong(name, other)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pairs.pair", "from embalign.evaluation import gate"),
        ("lazy", "from embalign import durable"),
        ("evaluation.results", "judge = lazy('embalign.verdicts.elbow').judge_elbow"),
        ("verdicts.elbow", "def late():\n    from ..experiments import grid"),
        ("regression.check", "import embalign.research.promote"),
        ("research.promote", "from embalign.regression.check import check_whole"),
        ("experiments.tables", "from embalign.experiments.elbow import protocol"),
        ("experiments.elbow.report", "from embalign.experiments.spectral.protocol import MARGINS"),
        ("experiments.gate.report", "from embalign.experiments.spectral.report import SHOWN"),
        ("experiments.spectral.cells", "from embalign.experiments import gate"),
        ("runs.run", "import embalign.__main__"),
        ("runs.run", "from embalign import judge_ab"),
    ],
)
def test_an_import_the_other_way_is_noticed(name, line):
    assert any(is_wrong(name, other) for other in imported(name, ast.parse(line)))


def test_functions_are_short_and_take_few_parameters():
    too_much = []
    for name, (_, tree) in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                taken = node.args
                every = (*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg)
                parameters = sum(parameter is not None for parameter in every)
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST or parameters > MOST_PARAMETERS:
                    too_much.append(f"{name}.{node.name}: {lines} lines, {parameters} parameters")
    assert not too_much


def test_a_metric_is_named_in_few_places():
    names = re.compile(r"recall_at_1(?!\d)|Recall@1(?!\d)|RECALL_AT_1(?!\d)")
    files = [path for pattern in ("*.py", "*.j2") for path in PACKAGE.rglob(pattern)]
    assert len(files) > 80
    holding = {path.relative_to(PACKAGE).as_posix() for path in files if names.search(path.read_text(encoding="utf-8"))}
    assert {"evaluation/scorecard.py", "verdicts/metrics.py"} <= holding
    assert len(holding) <= 3, holding


def test_the_package_imports_nothing_heavy_and_its_public_names_are_there():
    script = (
        "import sys, json, embalign\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "listed = set(embalign.__all__) <= set(dir(embalign))\n"
        "homes = {name: getattr(embalign, name).__module__ for name in embalign.__all__}\n"
        "print(json.dumps([heavy, listed, homes]))\n"
    )
    heavy, listed, homes = json.loads(run([sys.executable, "-c", script]))
    assert heavy == []
    assert listed
    assert homes == {name: f"embalign.{home}" for name, home in embalign._HOMES.items()}


def test_public_names_are_those_that_type_checkers_see():
    _, tree = modules()[""]
    typed = {
        alias.asname: node.module.removeprefix("embalign.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("embalign.")
        for alias in node.names
    }
    assert typed == embalign._HOMES
    assert sorted(typed) == embalign.__all__
    with pytest.raises(AttributeError, match="module 'embalign' has no attribute 'judge_all'"):
        _ = embalign.judge_all


BLOCKER = """
import importlib.metadata
import sys

PROJECTS, MODULES = {projects!r}, {modules!r}


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


everything = importlib.metadata.distributions
importlib.metadata.distributions = lambda **words: (
    found for found in everything(**words) if found.name.lower().replace("_", "-") not in PROJECTS
)
sys.meta_path.insert(0, Blocker())
"""


def test_help_of_pytest_works_where_the_tests_dependencies_are_not_installed(tmp_path):
    """Neither their modules nor their entry points are there, as in an environment that has never had them."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    projects = {re.match(r"[\w-]+", line).group().lower() for line in groups["tests"]}
    blocked = {
        module
        for module, names in metadata.packages_distributions().items()
        if projects & {name.lower().replace("_", "-") for name in names}
    }
    assert {"hypothesis", "xdist", "pytest_cov"} <= blocked
    (tmp_path / "sitecustomize.py").write_text(BLOCKER.format(projects=projects, modules=blocked))
    shown = run([sys.executable, "-m", "pytest", "--help"], PYTHONPATH=str(tmp_path))
    assert "--update-baseline" in shown
    assert "--numprocesses" not in shown
    assert "--hypothesis-profile" not in shown


REFERENCES = ("mean_vector", "untrained", "chance", "draft", "teacher")
EXPERIMENT = """
import pytest

from embalign.alignment.config import TrainingConfig
from embalign.experiments import elbow
from embalign.experiments.grid import Experiment, Table, grid

SMALL = Experiment(
    name="small",
    report=elbow.report.write_report,
    training=TrainingConfig(steps=20),
    tables=(
        Table(
            "data_ratio_vs_metrics",
            elbow.cells.measure_ratio,
            quick=grid(policy=["random"], budget=["tuned", "steps"], ratio=[0.5, 1.0]),
        ),
        Table("references", elbow.cells.measure_reference, quick=grid(reference={references!r})),
    ),
)


@pytest.mark.cells(SMALL, "data_ratio_vs_metrics")
def test_ratio(cell, measure):
    measure(cell)


@pytest.mark.cells(SMALL, "references")
def test_reference(cell, measure):
    measure(cell)
"""
# What adding a metric takes: a file, a line that is there, and the line that goes after it.
ADDED = (
    (
        "evaluation/scorecard.py",
        '        "cosine_p95": float(np.quantile(cosine, 0.95)),\n',
        '        "cosine_above_0": float((cosine > 0).mean()),\n',
    ),
    (
        "verdicts/metrics.py",
        '        Metric("cosine_p95", "cosine, 95 % quantile"),\n',
        '        Metric("cosine_above_0", "cosine above 0", 3, origin=("untrained",)),\n',
    ),
)


def test_a_metric_is_added_in_two_files_and_is_in_the_csv_of_the_next_run(smollm2, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "embalign", ignore=shutil.ignore_patterns("__pycache__"))
    for file, before, line in ADDED:
        path = tmp_path / "embalign" / file
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1
        path.write_text(text.replace(before, before + line), encoding="utf-8")
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "test_small.py").write_text(EXPERIMENT.format(references=list(REFERENCES)))
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p embalign.plugin\n")
    write_pair(tmp_path / "benchmark" / "tiny", smollm2, 100)
    command = [sys.executable, "-m", "pytest", "benchmark", "--pair", "tiny", "--seeds", "2", "-q"]
    run(command, cwd=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTHONPATH=str(tmp_path))
    reports = tmp_path / "benchmark" / "tiny" / "reports" / "small"
    for name, cells in (
        ("data_ratio_vs_metrics.csv", 8),
        ("references.csv", 4),
    ):  # of an untrained map and of the teacher
        with (reports / name).open(newline="", encoding="utf-8") as file:
            values = [row["cosine_above_0"] for row in csv.DictReader(file)]
        assert len([value for value in values if value]) == cells
        assert all(0 <= float(value) <= 1 for value in values if value)


def run(command, cwd=ROOT, **environment):
    """What a command prints; it must end well."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PYTEST"))}
    done = subprocess.run(command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
