"""The device: chosen for a thread, part of a cell, its key and its provenance, and never mixed."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import light
import pytest
import torch

from embalign.alignment.config import DEFAULT
from embalign.alignment.device import chosen, described, prepare, using
from embalign.alignment.meeting import memo
from embalign.errors import DeviceError
from embalign.experiments.grid import Cell, Experiment, Table, grid, rerun_command
from embalign.lazy import reference
from embalign.runs.run import Run
from embalign.runs.store import cell_key

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")


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


def test_what_is_remembered_keeps_devices_apart(monkeypatch):
    from embalign.alignment import device

    made = []

    @memo(2)
    def value(number):
        made.append(chosen())
        return chosen()

    assert value(1) == "cpu"
    token = device._device.set("cuda")
    assert value(1) == "cuda"
    device._device.reset(token)
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
