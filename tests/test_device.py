"""The device: chosen for a thread, part of a cell, its key and its provenance, and never mixed."""

import contextlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import light
import numpy as np
import pytest
import torch
from pair_folders import ROOT
from scipy.stats import rankdata

from embalign.alignment import closed_form, device, memory
from embalign.alignment.closed_form import fit_ridge
from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.device import chosen, described, prepare, suited, using
from embalign.alignment.meeting import memo
from embalign.alignment.memory import fits, resident
from embalign.alignment.stacked import Training
from embalign.alignment.training import train_map, train_together
from embalign.errors import CellFailedError, DeviceError
from embalign.evaluation import similarity, streamed
from embalign.evaluation.hubs import hubness
from embalign.evaluation.index import Index
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import search
from embalign.evaluation.streamed import Mapped, index_of
from embalign.experiments.elbow import cells as elbow
from embalign.experiments.grid import Cell, Experiment, Table, grid, rerun_command
from embalign.lazy import reference
from embalign.pairs.picked import Picked
from embalign.runs.run import Run
from embalign.runs.runner import Options, Runner
from embalign.runs.store import cell_key

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


@contextlib.contextmanager
def elsewhere(name="cpu:0"):
    """Take every way that a GPU is given, on a device of another name than the CPU's, which is the CPU."""
    token, large = device._device.set(name), device.LARGE
    device.LARGE = 0
    try:
        yield
    finally:
        device._device.reset(token)
        device.LARGE = large


def test_the_cpu_is_the_default_and_a_choice_ends_with_its_block():
    assert chosen() == "cpu"
    with using("cpu"), ThreadPoolExecutor(1) as pool:
        assert chosen() == pool.submit(chosen).result() == "cpu"
    assert described("cpu") == {"kind": "cpu"}


def test_an_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="device 'tpu' is unknown: choose one of cpu, cuda"), using("tpu"):
        pass


@no_gpu
def test_a_gpu_that_is_not_there_is_an_error_that_says_what_torch_finds():
    with pytest.raises(DeviceError, match=r"^device cuda: torch \S+ .*(without CUDA|finds 0 GPUs)"):
        prepare("cuda")
    assert chosen() == "cpu"


@gpu
def test_a_gpu_multiplies_in_full_float32():
    with using("cuda"):
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert described("cuda")["gpu"]


def test_the_device_is_part_of_a_cell_and_of_its_key():
    table = Table("t", light.sleepy, quick=grid(seconds=[0.0]))
    experiment = Experiment("e", light.write_report, (table,))
    (here,), (there,) = (experiment.cells("p", "quick", 1, device=device) for device in ("cpu", "cuda"))
    assert (here.device, there.device) == ("cpu", "cuda")
    assert here.id == there.id
    assert here == Cell("e", "t", "p", (("seconds", 0.0),), 0, DEFAULT, here.queries)
    keys = {cell_key(cell, reference(light.sleepy), "digest") for cell in (here, there)}
    assert len(keys) == 2


@no_gpu
def test_a_cell_of_a_gpu_is_not_measured_elsewhere():
    table = Table("t", light.sleepy, quick=[])
    with pytest.raises(DeviceError, match="device cuda"):
        table.run(None, Cell("e", "t", "p", (("seconds", 0.0),), 0, device="cuda"))


def test_what_is_not_worth_the_way_to_a_gpu_is_done_on_the_cpu():
    with elsewhere():
        device.LARGE = 1000
        with suited(999):
            assert chosen() == "cpu"
        with suited(1000):
            assert chosen() == "cpu:0"
        assert chosen() == "cpu:0"


@gpu
def test_steps_that_a_gpu_plays_again_train_what_the_cpu_trains(smollm2):
    """Alone and as a stack, with a copy of the map on the way."""
    rows = np.random.default_rng(0).permutation(600)[:300]
    sides = Picked(smollm2.draft, rows), Picked(smollm2.teacher, rows)
    here = train_map(*sides, seed=1, steps=120, checkpoints=(50,))
    trainings = [Training(*sides, seed, DEFAULT, 120, None, (50,), "cuda") for seed in (1, 2)]
    for found in (train_together(trainings[:1])[0], train_together(trainings)[0]):
        for map_of, expected in ((found.weights, here.weights), (found.checkpoints[50], here.checkpoints[50])):
            assert np.linalg.norm(map_of - expected) < 1e-3 * np.linalg.norm(expected)
        assert found.final_loss == pytest.approx(here.final_loss, abs=1e-5)


def test_ranks_elsewhere_are_the_cpus():
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32).round(2)
    with elsewhere():
        found = similarity._ranks(values)
    assert (found == rankdata(values)).all()


def test_what_is_remembered_keeps_devices_apart():
    made = []

    @memo(2)
    def value(number):
        made.append(chosen())
        return chosen()

    assert value(1) == "cpu"
    with elsewhere("cuda"):
        assert value(1) == "cuda"
    assert value(1) == "cpu"
    assert made == ["cpu", "cuda"]


def test_the_command_names_the_device_and_its_reports_are_apart(tmp_path):
    about = {"pair": "p", "profile": "full", "seeds": [0, 1]}
    assert "--device" not in rerun_command("elbow", about | {"device": {"kind": "cpu"}})
    assert rerun_command("elbow", about | {"device": {"kind": "cuda"}}).endswith(" --device cuda")
    bases = [
        Run(None, tmp_path, "quick", [Cell("e", "t", "p", (), 0, device=device)], {}, tmp_path, None).reports_base()
        for device in ("cpu", "cuda")
    ]
    assert bases == [tmp_path / "reports", tmp_path / "reports" / "cuda"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "device cuda: torch "),
        (["--regression", "report"], "--regression: baselines and conclusions hold rows of the CPU"),
        (["--profile", "regression", "--update-baseline"], "--update-baseline: baselines and"),
        (["--promote"], "--promote: baselines and"),
        (["--dask", "tcp://127.0.0.1:1"], "--device and --dask exclude each other"),
        (["-n", "2"], "with --device cuda use --workers"),
    ],
)
@no_gpu
def test_what_a_gpu_cannot_do_is_a_usage_error_of_one_line(small_pair, tmp_path, options, message):
    light.build_root(tmp_path / "root", small_pair)
    done = light.run(tmp_path / "root", "-q", "--device", "cuda", *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith("ERROR: ")
    assert message in line


def test_choosing_the_cpu_imports_no_torch():
    script = (
        "import sys; from embalign.alignment.device import prepare; prepare('cpu'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_cells_measure_elsewhere_what_they_measure_on_the_cpu(smollm2):
    settings = grid(policy=["random"], budget=["steps", "closed_form"], ratio=[0.2])
    pair, config = smollm2.asked_by(60), TrainingConfig(steps=40, passes=0.1)
    for each in settings:
        cell = Cell("elbow", "t", "smollm2-mpnet", tuple(each.items()), 3, config)
        expected = elbow.measure_ratio(pair, cell).metrics
        with elsewhere():
            found = elbow.measure_ratio(pair, cell).metrics
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-5, nan_ok=True), name


def test_ridge_elsewhere_is_the_cpus(smollm2, monkeypatch):
    monkeypatch.setattr(closed_form, "LARGE", 0)
    for count in (100, 900):  # fewer and more than dimensions
        sides = smollm2.draft[:count], smollm2.teacher[:count]
        expected = fit_ridge(*sides, smollm2.labels[:count])
        with elsewhere():
            found = fit_ridge(*sides, smollm2.labels[:count])
        assert found.penalty == expected.penalty
        np.testing.assert_allclose(found.weights, expected.weights, atol=1e-6)


@pytest.mark.parametrize("held", ["array", "file", "mapped", "mapped file"])
def test_a_search_elsewhere_finds_what_the_cpu_finds(smollm2, tmp_path, held):
    """Ties and left out rows among them; vectors of a file that does not fit are sent block by block."""
    vectors = np.concatenate([smollm2.draft[:400], smollm2.draft[:40]])  # forty rows twice
    if "file" in held:
        path = tmp_path / "vectors.npy"
        np.save(path, vectors)
        vectors = np.load(path, mmap_mode="c")
    weights = fit_ridge(smollm2.draft[:400], smollm2.teacher[:400]).weights
    index = Mapped(weights, vectors) if "mapped" in held else vectors
    queries = smollm2.teacher[:90] if "mapped" in held else smollm2.draft[:90]
    relevant = Relevance.by_label(np.arange(90) // 3, np.arange(440) // 3 % 133)
    own = np.arange(90)

    def found():
        prepared = index_of(index)
        return search(queries, prepared, relevant, own=own, mates=relevant, found_at=(5,)), hubness(prepared, queries)

    (expected, hubs) = found()
    for too_large in (False, True):
        with elsewhere(), pytest.MonkeyPatch.context() as patch:
            if too_large:
                patch.setattr("embalign.alignment.memory.ON_CPU", 0)
            result, other_hubs = found()
        for name in ("rank", "ndcg", "nearest", "returned", "mate", "margin", "top1"):
            np.testing.assert_allclose(getattr(result, name), getattr(expected, name), atol=1e-5, err_msg=name)
        assert result.tied.keys() == expected.tied.keys()
        np.testing.assert_allclose(other_hubs, hubs, atol=1e-5)


def test_lengths_by_all_products_are_those_in_the_span():
    rng = np.random.default_rng(0)
    weights, block = (torch.from_numpy(rng.standard_normal(shape, np.float32)) for shape in ((40, 24), (30, 24)))
    whole = streamed._lengths(block, [weights.T])
    assert torch.allclose(whole, streamed._lengths(block, streamed._bands(weights)), rtol=1e-5)


def test_an_array_is_on_a_device_once_and_as_long_as_it_lives():
    array = np.ones((5, 3), np.float32)
    assert resident(array, "cpu").data_ptr() == array.ctypes.data
    there = resident(array, "meta")
    assert resident(array, "meta") is there
    assert fits(array, "meta")
    key = id(array), "meta"
    del array
    assert key not in memory._resident


def test_an_index_of_another_device_is_made_there():
    index = Index(np.eye(3, dtype=np.float32))
    index.unit(np.dtype(np.float32))
    with elsewhere():
        index.unit(np.dtype(np.float32))
    assert [where for _, where in index._unit] == ["cpu", "cpu:0"]


def test_the_script_that_measures_a_gpu_runs_without_one():
    command = [sys.executable, "benchmark/gpu.py", "--device", "cpu", "--small"]
    done = subprocess.run(command, cwd=ROOT, env=light.environment(), capture_output=True, text=True, check=True)
    rows = dict(line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| "))
    assert rows["of them by more than the rows that float32 cannot tell apart"] == "0"
    for name, value in rows.items():
        if "minus the CPU's" in name:
            assert float(value) <= 1e-5, name


@no_gpu
def test_without_a_gpu_the_script_says_so():
    done = subprocess.run([sys.executable, "benchmark/gpu.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("error: device cuda: torch ")
    assert len(done.stderr.splitlines()) == 1


@no_gpu
def test_a_run_on_a_gpu_hands_all_its_cells_to_workers_and_each_names_what_is_missing(small_pair):
    runner = Runner(Options(small_pair.parents[1], [str(small_pair)], workers=1, device="cuda"))
    table = Table("t", light.sleepy, quick=grid(seconds=[0.0, 0.1]))
    cells = Experiment("e", light.write_report, (table,)).cells("small", "quick", 1, device="cuda")
    runner.start([(table, cell) for cell in cells])
    try:
        for cell in cells:
            with pytest.raises(CellFailedError, match="device cuda: torch"):
                runner.measure(table, cell, None)
    finally:
        runner.stop()


def test_vectors_that_do_not_fit_are_sent_batch_by_batch(smollm2, monkeypatch):
    rows = np.arange(0, 600, 2)
    sides = Picked(smollm2.draft, rows), Picked(smollm2.teacher, rows, np.arange(300))
    expected = train_map(*sides, seed=1, steps=30)
    with elsewhere():
        held = train_map(*sides, seed=1, steps=30)
        memory._resident.clear()
        monkeypatch.setattr(memory, "ON_CPU", 0)
        sent = train_map(*sides, seed=1, steps=30)
        together = train_together([Training(*sides, seed, DEFAULT, 30, None, (), chosen()) for seed in (0, 1)])[1]
    assert not memory._resident
    for found in (held, sent, together):
        np.testing.assert_allclose(found.weights, expected.weights, atol=1e-6)
