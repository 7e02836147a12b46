"""Runs that are killed, interrupted, cut short or resumed never lose a row and never lie about being complete."""

import random
import shutil
import signal
import subprocess
import time

import hypothesis.strategies as st
import light
import pytest
from crash_campaign import new_lane, run_campaign
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pair_folders import write_pair


@pytest.fixture(scope="module")
def light_pair(tmp_path_factory, smollm2):
    """A pair folder of 60 items, enough for an experiment that does not look at it."""
    return write_pair(tmp_path_factory.mktemp("pair") / "small", smollm2, 60)


def test_a_hundred_and_twenty_kills_lose_no_acknowledged_row(tmp_path, light_pair):
    """SIGKILL at random moments with several workers; `crash_campaign.py` is the long form, of thousands."""
    totals = run_campaign(tmp_path, light_pair, kills=120, seed=1)
    assert totals["kills"] >= 120
    assert totals["in_reports"] > 6
    assert totals["mixed"] > 1
    assert totals["acknowledged"] > 600
    assert totals["completed"] > 6


def kill_drawings(lane, kills):
    while lane.counts["kills"] < kills:
        lane.redraw()


def test_a_replace_that_is_not_atomic_is_noticed_within_fifty_kills(tmp_path, light_pair):
    """What the campaign is worth: the fault is planted in a copy of the package."""
    shutil.copytree(light.ROOT / "embalign", tmp_path / "embalign", ignore=shutil.ignore_patterns("__pycache__"))
    durable = tmp_path / "embalign" / "durable.py"
    atomic = "os.replace(path, target / path.name)"
    assert durable.read_text().count(atomic) == 1
    durable.write_text(durable.read_text().replace(atomic, "__import__('shutil').copyfile(path, target / path.name)"))
    lane = new_lane(tmp_path / "root", light_pair, random.Random(2), package=tmp_path)
    lane.run_to_end()
    with pytest.raises(AssertionError, match="is torn"):
        kill_drawings(lane, 50)


@pytest.mark.parametrize(
    ("signum", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_signals_stop_within_seconds_and_say_how_to_resume(tmp_path, light_pair, signum, code, word, workers):
    root = tmp_path / "root"
    light.build_root(root, light_pair, cells=120)
    process = subprocess.Popen(
        light.command("-v", *workers),
        cwd=root,
        env=light.environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=light.listen_to_interrupt,
    )
    for line in process.stdout:
        if "PASSED" in line:
            break
    process.send_signal(signum)
    sent = time.monotonic()
    rest, _ = process.communicate(timeout=30)
    assert time.monotonic() - sent < 15
    assert process.returncode == code
    assert f"{word} after" in rest
    assert "rerun the same command" in rest
    done = light.run(root, "-q")
    assert done.returncode == 0
    assert "120 cells measured" in done.stdout


class Interruptions(RuleBasedStateMachine):
    """Any history of full, partial, failing, killed and interrupted runs over one root."""

    base = pair_folder = None
    count = 0

    @initialize()
    def complete_run(self):
        type(self).count += 1
        self.root = self.base / f"root{self.count}"
        light.build_root(self.root, self.pair_folder, cells=24)
        self.run_to_end(1, "only-missing")
        self.reference = self.canonical()

    def start(self, workers, *options, **extra):
        command = light.command("-q", "--workers", str(workers), *options)
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=light.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=light.listen_to_interrupt,
        )

    def canonical(self):
        return (self.root / "benchmark/small/reports/light/light.csv").read_bytes()

    @rule(workers=st.sampled_from([1, 2]), results=st.sampled_from(["only-missing", "always"]))
    def run_to_end(self, workers, results):
        process = self.start(workers, "--results", results)
        output, _ = process.communicate()
        assert process.returncode == 0, output.decode()
        assert b"24 cells measured" in output

    @rule(workers=st.sampled_from([1, 2]), selection=st.sampled_from([["-k", "seed00"], ["-k", "3-seed01"], ["--lf"]]))
    def run_a_part(self, workers, selection):
        self.start(workers, *selection, "--results", "always").communicate()

    @rule(workers=st.sampled_from([1, 2]))
    def run_a_node(self, workers):
        node = "benchmark/test_light.py::test_light[3-seed00]"
        command = [node if word == "benchmark" else word for word in light.command("-q", "--workers", str(workers))]
        done = subprocess.run(command, cwd=self.root, env=light.environment(), capture_output=True, check=False)
        assert b"partial, 23 of 24 cells" in done.stdout

    @rule(workers=st.sampled_from([1, 2]), setting=st.integers(0, 10))
    def stop_at_a_failing_cell(self, workers, setting):
        process = self.start(workers, "-x", "--results", "always", LIGHT_FAIL=str(setting))
        output, _ = process.communicate()
        assert process.returncode in (1, 2), output.decode()

    @rule(workers=st.sampled_from([1, 2]), seconds=st.floats(0.3, 1.5), signum=st.sampled_from(["SIGKILL", "SIGINT"]))
    def disturb(self, workers, seconds, signum):
        process = self.start(workers, "--results", "always")
        time.sleep(seconds)
        process.send_signal(getattr(signal, signum))
        process.communicate()

    @invariant()
    def canonical_bytes_are_those_of_a_complete_run(self):
        if hasattr(self, "reference"):
            assert self.canonical() == self.reference

    def teardown(self):
        if hasattr(self, "reference"):
            self.run_to_end(2, "only-missing")
            assert self.canonical() == self.reference


def test_no_history_of_partial_runs_changes_canonical_artifacts(tmp_path, light_pair):
    Interruptions.base, Interruptions.pair_folder = tmp_path, light_pair
    run_state_machine_as_test(
        Interruptions,
        settings=settings(
            max_examples=4, stateful_step_count=5, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
