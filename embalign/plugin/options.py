"""The command-line options that the plugin adds to pytest, what their values may be, and which go together."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embalign.alignment.device import CPU, DEVICES, prepare
from embalign.experiments.grid import ALIASES, FEWEST_SEEDS, MOST_SEEDS, PROFILES
from embalign.lazy import lazy
from embalign.runs.runner import RESULTS, Options

MOST_WORKERS = 1000  # processes on one machine
SHOWN = 40  # characters of a refused value
DEFAULT_PAIR = "qwen-sentence-align"
AS_CHOSEN = (
    "device",
    "seeds",
    "no_verdict",
    "results",
    "reports_dir",
    "refresh",
    "regression",
    "update_baseline",
    "promote",
)

cpu_count = lazy("joblib").cpu_count  # knows processor affinity and the limits of containers


def _between(smallest: int, largest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # By its length first: int() refuses thousands of digits with an error of its own.
        if not text.isdecimal() or len(text.lstrip("0")) > len(str(largest)) or not smallest <= int(text) <= largest:
            shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
            raise argparse.ArgumentTypeError(f"{shown!r} is not a whole number from {smallest} to {largest}")
        return int(text)

    return parse


def _workers(text: str) -> int:
    return int(cpu_count()) if text == "auto" else _between(1, MOST_WORKERS)(text)


FLAG = {"action": "store_true"}
OPTIONS: dict[str, dict[str, Any]] = {
    "--pair": {"action": "append", "metavar": "NAME"},
    "--profile": {"choices": (*PROFILES, *ALIASES), "default": "quick"},
    "--seeds": {"type": _between(FEWEST_SEEDS, MOST_SEEDS), "metavar": "N"},
    "--no-verdict": FLAG,
    "--refresh": FLAG,
    "--reports-dir": {"type": Path, "metavar": "DIR"},
    "--results": {"choices": RESULTS, "default": "only-missing"},
    "--workers": {"type": _workers, "default": 0, "metavar": "N|auto"},
    "--dask": {"metavar": "ADDRESS"},
    "--device": {"choices": DEVICES, "default": CPU},
    "--regression": {"choices": ("off", "report", "strict"), "default": "off"},
    "--update-baseline": FLAG,
    "--promote": FLAG,
    "--reverify": FLAG,
}
HELP = {
    "--pair": "folder under benchmark/ with a pair.toml, or a path to such a folder; may be repeated "
    f"(default: {DEFAULT_PAIR})",
    "--profile": "quick: six ratios, three to five seeds; full: more of both; regression (or gate): the small grid "
    "of the regression check, seven seeds, no reports (default: %(default)s)",
    "--seeds": f"number of seeds, from {FEWEST_SEEDS} to {MOST_SEEDS} (default: by profile)",
    "--no-verdict": "measure with fewer seeds than a verdict needs (elbow: 3), to try something out; without it such a "
    "run is refused",
    "--refresh": "embed the chosen pairs again with the models in their pair.toml; vectors of models whose weights a "
    "server pins by digest are taken from the cache (default: embed only pairs that have no embeddings)",
    "--reports-dir": "write artifacts under DIR/<pair>/<experiment>/ (default: the pair's own reports/ folder)",
    "--results": "only-missing: reuse cells stored by earlier runs; always: measure every cell again; only-cache: "
    "measure nothing and rebuild artifacts from stored cells (default: %(default)s)",
    "--workers": f"measure in this many processes, at most {MOST_WORKERS}; auto: one per processor (default: in "
    "pytest's own process)",
    "--dask": "measure on an existing Dask cluster, for instance tcp://host:8786",
    "--device": "cuda: train and search on an NVIDIA GPU, many cells at once; reports go to a folder of their own "
    "(default: %(default)s)",
    "--regression": "compare the run with the committed baselines, one test result per metric; strict fails on "
    "regressed, missing or incomparable (default: %(default)s)",
    "--update-baseline": "write the baselines of the experiments that were run; needs --profile regression, the whole "
    "grid, a clean tree",
    "--promote": "copy a complete run made from a clean tree into docs/research/, with a conclusion that binds its "
    "numbers",
    "--reverify": "with docs/research: also measure each promoted conclusion again and compare; takes as long as its "
    "run",
}


def add_options(parser: pytest.Parser) -> None:
    """Add the `embalign` group. Raises UsageError where another plugin has an option of that name."""
    group = parser.getgroup("embalign", "embedding-alignment experiments")
    for name, settings in OPTIONS.items():
        try:
            group.addoption(name, help=HELP[name], **settings)
        except ValueError:
            raise pytest.UsageError(
                f"another plugin has added {name}, which is an option of embalign too; run without it (-p no:NAME)"
            ) from None


def read_options(config: pytest.Config, *, worker: bool) -> Options:
    """Return what the user chose; an xdist worker measures in its own process.

    Raises UsageError for what clashes, and DeviceError for a device that is not there.
    """
    chosen = config.getoption
    profile = ALIASES.get(chosen("profile"), chosen("profile"))
    if clash := _clash(chosen, profile):
        raise pytest.UsageError(clash)
    prepare(chosen("device"))
    return Options(
        root=config.rootpath,
        pairs=chosen("pair") or [DEFAULT_PAIR],
        profile=profile,
        workers=0 if worker else chosen("workers"),
        dask=None if worker else chosen("dask"),
        arguments=config.invocation_params.args,
        **{name: chosen(name) for name in AS_CHOSEN},
    )


def _clash(chosen: Callable[..., Any], profile: str) -> str | None:
    if chosen("refresh") and not chosen("pair"):
        return "--refresh needs --pair: it replaces the embeddings of the pairs named there"
    if chosen("workers") and chosen("dask"):
        return "--workers and --dask exclude each other: cells run in one place or the other"
    if chosen("numprocesses", None) and (chosen("workers") or chosen("dask")):
        return "-n runs the cases in processes of its own: leave it out with --workers or --dask"
    if chosen("device") != CPU and (clash := _clash_with_gpu(chosen)):
        return clash
    if chosen("update_baseline"):
        if os.environ.get("CI", "").lower() in ("1", "true"):
            return "--update-baseline while CI is set: a baseline is updated by hand and reviewed like any change"
        if profile != "regression":
            return (
                "--update-baseline: a baseline holds the small grid of the regression check; add --profile regression"
            )
        if chosen("seeds") is not None:
            return "--update-baseline: a baseline holds every seed of its grid; leave --seeds out"
    if chosen("promote") and chosen("no_verdict"):
        return "--promote: a conclusion needs a verdict; leave --no-verdict out"
    if chosen("promote") and profile == "regression":
        return (
            "--promote: the small grid of the regression check is too small for a conclusion; choose another --profile"
        )
    return None


def _clash_with_gpu(chosen: Callable[..., Any]) -> str | None:
    if chosen("dask"):
        return "--device and --dask exclude each other: a GPU is used by processes of this machine (--workers)"
    if chosen("numprocesses", None):
        return (
            "-n gives each process single cases: with --device cuda use --workers, whose processes train many at once"
        )
    for name in ("update_baseline", "promote", "regression"):
        if chosen(name) not in (False, "off"):
            return (
                f"--{name.replace('_', '-')}: baselines and conclusions hold rows of the CPU, which rows of a GPU are "
                "never compared or mixed with; leave --device out"
            )
    return None
