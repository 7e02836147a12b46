"""The regression check: verdicts of known changes, and a run's exit code, results and refusals as users see them."""

import json
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import gated
import light
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_folders import write_pair

from embalign.errors import BaselineError
from embalign.experiments.grid import Experiment
from embalign.pairs.provenance import file_digest
from embalign.regression.baseline import read_baseline
from embalign.verdicts.metrics import CHECKED, PRIMARY, smallest_effect
from embalign.verdicts.metrics import METRICS as TABLE
from embalign.verdicts.regression import judge_regression

METRICS = list(CHECKED)


def changed(metric, values):
    return {name: dict(enumerate(values if name == metric else [0.0] * len(values))) for name in METRICS}


def kinds(changes, repeatability=None):
    return {found.metric: found.kind for found in judge_regression(changes, repeatability or {})}


def test_runs_of_the_same_code_on_one_machine_are_ok():
    assert set(kinds(changed("mrr", [0.0] * 5)).values()) == {"ok"}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("better", [False, True])
def test_a_change_of_twice_the_smallest_effect_is_seen_and_has_its_direction(metric, better):
    sign = 1 if better != (not TABLE[metric].higher_is_better) else -1
    change = [sign * smallest_effect(metric) * factor for factor in (1.8, 2.0, 2.1, 1.9, 2.2)]
    found = kinds(changed(metric, change))
    assert found.pop(metric) == ("improved" if better else "regressed")
    assert set(found.values()) == {"ok"}


@given(st.sampled_from(METRICS), st.lists(st.floats(-0.99, 0.99), min_size=3, max_size=8))
def test_changes_that_do_not_matter_never_fail(metric, shares):
    assert kinds(changed(metric, [smallest_effect(metric) * share for share in shares]))[metric] == "ok"


def test_a_limit_follows_measured_repeatability():
    change = changed("mrr", [-0.02, -0.021, -0.019])
    assert kinds(change)["mrr"] == "regressed"
    assert kinds(change, {"mrr": 0.02 / 2.8 + 1e-9})["mrr"] == "ok"


def test_chance_and_too_few_seeds_are_inconclusive():
    assert kinds(changed("mrr", [-0.2, 0.1, -0.1, 0.05]))["mrr"] == "inconclusive"
    assert kinds(changed("mrr", [-0.2, -0.2]))["mrr"] == "inconclusive"
    assert kinds(changed("mrr", [-0.2]))["mrr"] == "inconclusive"


class Checkout:
    """A root under git with the gated experiment and a small pair."""

    def __init__(self, root):
        self.root = root
        self.baseline = root / "benchmark" / "baselines" / "small-gated.json"

    def build(self, pair_folder):
        """Lay out the root and commit it."""
        root = self.root
        light.build_root(root, pair_folder)
        (root / "benchmark" / "test_light.py").unlink()
        (root / "benchmark" / "test_gated.py").write_text(gated.EXPERIMENT_FILE)
        (root / ".gitignore").write_text("__pycache__/\n.pytest_cache/\n*.xml\nsummary.md\n")
        self.git("init", "-q")
        self.commit()

    def git(self, *words):
        who = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
        subprocess.run(["git", *who, *words], cwd=self.root, check=True, capture_output=True)

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-qm", "state", "--allow-empty")

    def run(self, *options, profile="gate", shift=None, path="benchmark", **environment):
        command = [sys.executable, "-m", "pytest", path, "--pair", "small", "--profile", profile, *options]
        settings = {"GATED_SHIFT": json.dumps(shift or {}), "CI": "", "GITHUB_STEP_SUMMARY": ""} | environment
        return subprocess.run(
            [*command, "--results", "always", "-p", "no:randomly"],
            cwd=self.root,
            env=light.environment(measured=True, **settings),
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory, smollm2):
    """Two roots that each test takes a copy of: as built, and with a committed baseline."""
    plain, based = (Checkout(tmp_path_factory.mktemp(name) / "root") for name in ("plain", "based"))
    plain.build(write_pair(tmp_path_factory.mktemp("source") / "small", smollm2, 240))
    shutil.copytree(plain.root, based.root)
    done = based.run("--update-baseline")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mrr none -> 0.5" in done.stdout
    based.commit()
    return plain, based


@pytest.fixture
def checkout(tmp_path, built):
    return Checkout(shutil.copytree(built[0].root, tmp_path / "root"))


@pytest.fixture
def gated_checkout(tmp_path, built):
    """The same with a committed baseline."""
    return Checkout(shutil.copytree(built[1].root, tmp_path / "root"))


def test_an_unchanged_run_passes_and_each_verdict_is_a_test_result(gated_checkout):
    done = gated_checkout.run("--regression", "strict", "--junitxml", "junit.xml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{15 + len(METRICS)} passed" in done.stdout
    cases = {case.get("name") for case in ElementTree.parse(gated_checkout.root / "junit.xml").iter("testcase")}
    assert {f"regression[gated-{metric.replace('_', '-')}]" for metric in METRICS} <= cases


def test_a_loss_as_a_query_adapter_fails_with_metric_size_limit_and_remedy(gated_checkout):
    done = gated_checkout.run("--regression", "strict", shift={PRIMARY: -0.02})
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "regression[gated-query-adapter-ndcg-at-10]" in done.stdout
    told = rf"{PRIMARY}: regressed: -0\.02000 .*limit 0\.01; fix the regression; if.*--update-baseline"
    assert re.search(told, done.stdout)
    assert re.search(r"1 failed, \d+ passed", done.stdout)


@pytest.mark.parametrize("more", [[], ["-n", "2"], ["--workers", "2"]], ids=["serial", "xdist", "workers"])
def test_a_loss_fails_with_metric_size_and_remedy(gated_checkout, more):
    done = gated_checkout.run("--regression", "strict", *more, shift={"mrr": -0.02})
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "regression[gated-mrr]" in done.stdout
    assert re.search(r"mrr: regressed: -0\.02000 .*limit 0\.01; fix the regression; if.*--update-baseline", done.stdout)
    assert re.search(r"1 failed, \d+ passed", done.stdout)


def test_report_only_tells_and_a_plain_run_does_not_gate(gated_checkout):
    told = gated_checkout.run("--regression", "report", shift={"recall_at_1": -0.1})
    assert (told.returncode, "recall_at_1: regressed" in told.stdout) == (0, True)
    plain = gated_checkout.run(shift={"recall_at_1": -0.1})
    assert (plain.returncode, "regressed" in plain.stdout) == (0, False)


def test_a_gain_is_called_stale_and_passes(gated_checkout):
    done = gated_checkout.run("--regression", "strict", shift={"gate_augrc": -0.1})
    assert done.returncode == 0
    assert "gate_augrc: improved" in done.stdout
    assert "the baseline is stale" in done.stdout


def test_github_gets_a_table_and_an_error_line(gated_checkout):
    path = gated_checkout.root / "summary.md"
    names = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(path)}
    done = gated_checkout.run("--regression", "strict", shift={"spearman": -0.1}, **names)
    assert re.search(r"^::error title=regression\[gated-spearman\]::.*regressed", done.stdout, re.MULTILINE)
    assert re.search(r"\| gated \| small \| spearman \| regressed \| -0\.10000 \|", path.read_text(encoding="utf-8"))


def test_a_metric_that_is_no_number_fails_in_words(gated_checkout):
    done = gated_checkout.run("--regression", "strict", shift={"spearman": float("nan")})
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "15 of the baseline's 15 cells have no row here" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_cells_that_the_baseline_does_not_have_yet_are_told(gated_checkout):
    path = gated_checkout.root / "benchmark" / "test_gated.py"
    path.write_text(path.read_text().replace("setting=[0, 1, 2]", "setting=[0, 1, 2, 3]"))
    done = gated_checkout.run("--regression", "strict")
    assert done.returncode == 0
    assert "cells: new: 5 are not in the baseline, for instance gated/3-seed00" in done.stdout


def test_missing_cells_fail(gated_checkout):
    done = gated_checkout.run("--regression", "strict", "-k", "not 2-seed00")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 of the baseline's 15 cells have no row here" in done.stdout


def test_a_run_that_overlaps_with_no_baseline_fails(gated_checkout):
    done = gated_checkout.run("--regression", "strict", "-k", "nothing_of_the_kind")
    assert done.returncode != 0
    assert "no case was run that has a baseline" in done.stdout


def test_a_run_without_any_experiment_fails(gated_checkout):
    path = gated_checkout.root / "benchmark" / "test_gated.py"
    path.write_text("def test_something_else():\n    pass\n")
    done = gated_checkout.run("--regression", "strict")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "no case was run that has a baseline" in done.stdout


def test_experiments_that_are_not_run_are_not_demanded(gated_checkout):
    other = gated.EXPERIMENT_FILE.replace("GATED", "OTHER").replace('name="gated"', 'name="other"')
    other = other.replace("test_gated", "test_other")
    (gated_checkout.root / "benchmark" / "test_other.py").write_text(other)
    done = gated_checkout.run("--regression", "strict", "-k", "test_gated")
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_cannot_be_compared_is_refused_before_anything_is_measured(gated_checkout):
    content = json.loads(gated_checkout.baseline.read_text())
    gated_checkout.baseline.write_text(json.dumps(content | {"fingerprints": {**content["fingerprints"], "data": "0"}}))
    done = gated_checkout.run("--regression", "strict")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert re.search("data differ from the baseline's.*--update-baseline", done.stderr)
    assert "passed" not in done.stdout
    gated_checkout.baseline.write_text("[]")
    assert "not a baseline" in gated_checkout.run("--regression", "strict").stderr
    gated_checkout.baseline.unlink()
    assert "no baseline; create one with" in gated_checkout.run("--regression", "strict").stderr


def rewritten(checkout, change):
    """Change the values of each cell of the baseline."""
    content = json.loads(checkout.baseline.read_text())
    for metrics in content["values"].values():
        change(metrics)
    checkout.baseline.write_text(json.dumps(content))


def test_a_baseline_from_before_a_metric_was_checked_is_refused_with_the_remedy_and_can_be_updated(gated_checkout):
    rewritten(gated_checkout, lambda metrics: metrics.pop(PRIMARY))
    gated_checkout.commit()
    done = gated_checkout.run("--regression", "strict")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"small-gated.json: made before {PRIMARY} was checked, so it cannot be compared; rerun with" in done.stderr
    assert "--profile regression --update-baseline and commit" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    updated = gated_checkout.run("--update-baseline")
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert re.search(rf"small-gated\.json: {PRIMARY} none -> 0\.5\d+", updated.stdout), updated.stdout
    assert re.search(r"small-gated\.json: mrr (0\.5\d+) -> \1", updated.stdout), updated.stdout
    gated_checkout.commit()
    assert gated_checkout.run("--regression", "strict").returncode == 0


@pytest.mark.parametrize("metric", [PRIMARY, "mrr"])
@pytest.mark.parametrize("value", [None, "0.5", "absent"], ids=["null", "text", "absent"])
def test_one_cell_without_a_checked_metric_is_a_damaged_baseline(tmp_path, built, metric, value):
    content = json.loads(built[1].baseline.read_text())
    metrics = next(iter(content["values"].values()))
    metrics.pop(metric) if value == "absent" else metrics.update({metric: value})
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BaselineError, match=r"damaged\.json: not a baseline .*; restore it from git, or recreate it"):
        read_baseline(path)


def test_another_profile_is_another_grid(gated_checkout):
    done = gated_checkout.run("--regression", "strict", profile="quick")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "add --profile regression" in done.stderr
    assert "--update-baseline" not in done.stderr


@pytest.mark.parametrize(
    ("options", "environment", "shift", "message"),
    [
        (["-k", "not 2-seed00"], {}, {}, "1 of 15 cells are not selected"),
        (["-n", "2", "-k", "not 2-seed00"], {}, {}, "1 of 15 cells have no row"),
        ([], {"CI": "true"}, {}, "CI is set"),
        (["--profile", "quick"], {}, {}, "add --profile regression"),
        (["--seeds", "2"], {}, {}, "leave --seeds out"),
        ([], {}, {"mrr": -2}, "only from a run of which every case passes"),
        (["-n", "2"], {}, {"mrr": -2}, "only from a run of which every case passes"),
        ([], {}, {"spearman": float("nan")}, "15 cells have a checked metric that is not a finite number"),
    ],
    ids=["partial", "partial-xdist", "CI", "profile", "seeds", "failing", "failing-xdist", "NaN"],
)
def test_a_baseline_is_not_updated_from_what_does_not_support_it(gated_checkout, options, environment, shift, message):
    before = gated_checkout.baseline.read_bytes()
    done = gated_checkout.run("--update-baseline", *options, shift={"cosine_mean": 0.1} | shift, **environment)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert gated_checkout.baseline.read_bytes() == before


def test_a_baseline_is_not_updated_from_a_dirty_tree(gated_checkout):
    with (gated_checkout.root / "conftest.py").open("a") as file:
        file.write("# changed\n")
    done = gated_checkout.run("--update-baseline")
    assert "commit first, then rerun" in done.stderr
    assert done.returncode == pytest.ExitCode.USAGE_ERROR


def test_a_baseline_of_nothing_gated_or_of_too_few_seeds_is_refused(checkout):
    path = checkout.root / "benchmark" / "test_gated.py"
    text = path.read_text()
    path.write_text(text.replace("regression_seeds=5", "regression_seeds=2"))
    checkout.commit()
    assert "2 seeds cannot show a regression" in checkout.run("--update-baseline").stdout
    path.write_text(text.replace("measure=gated.measure", "measure=gated.measure_one"))
    checkout.commit()
    assert "no cell has the checked metrics" in checkout.run("--update-baseline").stdout
    assert not checkout.baseline.exists()


def test_an_experiment_that_names_its_metrics_is_held_to_them_alone(checkout):
    """One metric, in cells that have no other: a loss of it fails."""
    path = checkout.root / "benchmark" / "test_gated.py"
    text = path.read_text().replace("measure=gated.measure", "measure=gated.measure_one")
    path.write_text(text.replace("regression_seeds=5", 'regression_seeds=5, checked=("mrr",)'))
    checkout.commit()
    assert checkout.run("--update-baseline").returncode == 0
    assert set(next(iter(json.loads(checkout.baseline.read_text())["values"].values()))) == {"mrr"}
    checkout.commit()
    assert checkout.run("--regression", "strict").returncode == 0
    done = checkout.run("--regression", "strict", shift={"mrr": -0.05})
    assert done.returncode == 1
    assert "regression[gated-mrr]" in done.stdout
    assert "regression[gated-cosine_mean]" not in done.stdout


def test_a_metric_without_a_smallest_effect_cannot_be_checked():
    with pytest.raises(ValueError, match="'skill' is no metric that the regression check can act on; there are quer"):
        Experiment("small", print, (), checked=("skill",))


def test_an_update_prints_old_and_new_and_keeps_measured_repeatability(gated_checkout):
    content = json.loads(gated_checkout.baseline.read_text())
    gated_checkout.baseline.write_text(json.dumps(content | {"repeatability": {"mrr": 0.001}}))
    gated_checkout.commit()
    done = gated_checkout.run("--update-baseline", shift={"mrr": 0.1})
    assert re.search(r"small-gated\.json: mrr 0\.5\d+ -> 0\.6\d+", done.stdout), done.stdout
    assert read_baseline(gated_checkout.baseline).repeatability == {"mrr": 0.001}
    gated_checkout.commit()
    assert gated_checkout.run("--regression", "strict", shift={"mrr": 0.1}).returncode == 0


def of_older_code(folder):
    """Make a conclusion one of other code."""
    path, before = folder / "provenance.json", file_digest(folder / "provenance.json")
    about = json.loads(path.read_text(encoding="utf-8"))
    about["source_sha256"] = dict.fromkeys(about["source_sha256"], "0" * 64)
    path.write_text(json.dumps(about), encoding="utf-8")
    recorded = folder / "conclusion.toml"
    recorded.write_text(recorded.read_text(encoding="utf-8").replace(before, file_digest(path)), encoding="utf-8")


def test_a_complete_clean_run_is_promoted_and_measured_again(checkout):
    """What the command line promotes verifies, comes out again to the byte, and not at all with another command."""
    done = checkout.run("--promote", profile="quick")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (checkout.root / "docs" / "research").iterdir()
    assert folder.name.endswith("-gated-small")
    verified = checkout.run(profile="quick", path="docs/research")
    assert "4 passed" in verified.stdout, verified.stdout + verified.stderr
    again = checkout.run("--reverify", profile="quick", path="docs/research")
    assert "5 passed" in again.stdout, again.stdout + again.stderr
    changed = checkout.run("--reverify", profile="quick", path="docs/research", shift={"mrr": 1e-9})
    assert changed.returncode == pytest.ExitCode.TESTS_FAILED
    assert "gated.csv: the same code on the same type of machine does not give it again" in changed.stdout
    of_older_code(folder)
    older = checkout.run("--reverify", profile="quick", path="docs/research", shift={"mrr": 1e-9})
    assert "5 passed" in older.stdout, older.stdout + older.stderr
    other = checkout.run("--reverify", profile="quick", path="docs/research", shift={"mrr": 0.1})
    assert re.search(r"README\.md says 0\.5\d+, and measured again it is 0\.6\d+", other.stdout), other.stdout
    for path in (folder / "README.md", folder / "conclusion.toml"):
        path.write_text(path.read_text(encoding="utf-8").replace("--seeds 5", "--seeds 4"), encoding="utf-8")
    wrong = checkout.run("--reverify", profile="quick", path="docs/research")
    assert wrong.returncode == pytest.ExitCode.TESTS_FAILED
    assert re.search("--seeds 4 .*; by experiment, pair, profile and seeds it is .*--seeds 5 ", wrong.stdout)
    assert "measured again" not in wrong.stdout


def test_what_cannot_be_promoted_is_refused_before_anything_is_measured(checkout, tmp_path):
    pair = checkout.root / "benchmark" / "small"
    pair.rename(tmp_path / "small")
    pair.symlink_to(tmp_path / "small")
    checkout.commit()
    done = checkout.run("--promote", profile="quick")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert re.search("the pair small lies outside the repository.*; move .*small into benchmark/", done.stderr)
    pair.unlink()
    (tmp_path / "small").rename(pair)
    path = checkout.root / "benchmark" / "test_gated.py"
    path.write_text(path.read_text().replace("    conclusion=gated.conclude,\n", ""))
    checkout.commit()
    done = checkout.run("--promote", profile="quick")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "gated declares no conclusion" in done.stderr
    assert "passed" not in done.stdout


def test_a_run_with_a_failing_case_is_not_promoted(checkout):
    done = checkout.run("--promote", profile="quick", shift={"mrr": -2})
    assert done.returncode != 0
    assert "not promoted: a conclusion is made only from a run of which every case passes" in done.stdout
    assert not list((checkout.root / "docs").rglob("README.md"))


def hide(checkout, path):
    checkout.git("update-index", "--assume-unchanged", str(path.relative_to(checkout.root)))


def ignore(checkout, path):
    checkout.git("rm", "-q", "--cached", str(path.relative_to(checkout.root)))
    with (checkout.root / ".gitignore").open("a") as file:
        file.write(f"/{path.name}\n")


@pytest.mark.parametrize("how", [hide, ignore])
def test_code_that_git_does_not_look_at_is_not_taken_for_its_commit(checkout, how):
    """What measures is compared with the commit byte by byte."""
    path = checkout.root / "mine.py"
    path.write_text("from gated import measure\n")
    test = checkout.root / "benchmark" / "test_gated.py"
    test.write_text(test.read_text().replace("measure=gated.measure", 'measure=lazy("mine").measure'))
    checkout.commit()
    promoted = checkout.run("--promote", profile="quick")
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    shutil.rmtree(checkout.root / "docs")
    how(checkout, path)
    checkout.commit()
    path.write_text("from gated import measure\n# and more\n")
    done = checkout.run("--promote", profile="quick")
    assert "not promoted: the tree differs from its commit" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("commits", [False, True])
def test_a_tree_that_changes_while_the_run_goes_on_was_not_clean(checkout, commits):
    """The first case adds a file, which may even be committed when the run ends."""
    test = checkout.root / "benchmark" / "test_gated.py"
    git = "git add -A && git -c user.name=tester -c user.email=tester@example.org commit -qm more"
    words = f"touch benchmark/new.txt{f' && {git}' if commits else ''}"
    change = f"    import os\n    os.path.exists('benchmark/new.txt') or os.system({words!r})\n"
    test.write_text(test.read_text().replace("    assert", f"{change}    assert"))
    checkout.commit()
    done = checkout.run("--promote", profile="quick")
    assert (checkout.root / "benchmark" / "new.txt").exists()
    assert "not promoted: the tree differs from its commit" in done.stdout, done.stdout + done.stderr


def test_a_run_from_a_dirty_tree_is_not_promoted(checkout):
    with (checkout.root / "conftest.py").open("a") as file:
        file.write("# changed\n")
    done = checkout.run("--promote", profile="quick")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the tree differs from its commit" in done.stderr
    assert not list((checkout.root / "docs").rglob("README.md"))
