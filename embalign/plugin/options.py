"""The command-line options that the plugin adds to pytest, what their values may be, and which go together."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embalign.experiments.grid import PROFILES
from embalign.runs.runner import RESULTS, Options

DEFAULT_PAIR = "qwen-sentence-align"


def add_options(parser: pytest.Parser) -> None:
    """Add the `embalign` group."""
    group = parser.getgroup("embalign", "embedding-alignment experiments")
    group.addoption(
        "--pair",
        action="append",
        metavar="NAME",
        help=f"folder under benchmark/ with a pair.toml, or a path to such a folder; may be repeated "
        f"(default: {DEFAULT_PAIR})",
    )
    group.addoption(
        "--profile",
        choices=PROFILES,
        default="quick",
        help="quick: six ratios, five seeds; full: more ratios and ten seeds; gate: the merge gate's small grid, "
        "seven seeds, no reports (default: %(default)s)",
    )
    group.addoption("--seeds", type=_at_least(2), metavar="N", help="number of seeds, at least 2 (default: by profile)")
    group.addoption(
        "--reports-dir",
        type=Path,
        metavar="DIR",
        help="write artifacts under DIR/<pair>/<experiment>/ (default: the pair's own reports/ folder)",
    )
    group.addoption(
        "--results",
        choices=RESULTS,
        default="only-missing",
        help="only-missing: reuse cells stored by earlier runs; always: measure every cell anew; only-cache: measure "
        "nothing and rebuild artifacts from stored cells (default: %(default)s)",
    )
    group.addoption(
        "--refresh",
        action="store_true",
        help="embed the chosen pairs again with the models in their pair.toml; vectors of models whose weights a "
        "server pins by digest are taken from the cache (default: embed only pairs that have no embeddings)",
    )
    group.addoption(
        "--workers",
        type=_workers,
        default=0,
        metavar="N|auto",
        help="measure in this many processes; auto: one a processor (default: in pytest's own process)",
    )
    group.addoption(
        "--regression",
        choices=("off", "report", "strict"),
        default="off",
        help="compare the run with the committed baselines, a test result a metric; strict fails on regressed, missing "
        "or incomparable (default: %(default)s)",
    )
    group.addoption(
        "--update-baseline",
        action="store_true",
        help="write the baselines of the experiments that were run; needs --profile gate, a whole grid, a clean tree",
    )
    group.addoption(
        "--promote",
        action="store_true",
        help="copy a complete run made from a clean tree into docs/research/, with a conclusion that binds its numbers",
    )
    group.addoption(
        "--reverify",
        action="store_true",
        help="with docs/research: also measure each promoted conclusion again and compare; takes as long as its run",
    )
    group.addoption(
        "--dask", metavar="ADDRESS", help="measure on an existing Dask cluster, for instance tcp://host:8786"
    )


def read_options(config: pytest.Config, *, worker: bool) -> Options:
    """Return what the user chose; an xdist worker measures in its own process. Raises UsageError for what clashes."""
    chosen = config.getoption
    if clash := _clash(chosen):
        raise pytest.UsageError(clash)
    return Options(
        root=config.rootpath,
        pairs=chosen("pair") or [DEFAULT_PAIR],
        profile=chosen("profile"),
        seeds=chosen("seeds"),
        results=chosen("results"),
        reports_dir=chosen("reports_dir"),
        workers=0 if worker else chosen("workers"),
        dask=None if worker else chosen("dask"),
        refresh=chosen("refresh"),
        regression=chosen("regression"),
        update_baseline=chosen("update_baseline"),
        promote=chosen("promote"),
    )


def _clash(chosen: Callable[..., Any]) -> str | None:
    if chosen("refresh") and not chosen("pair"):
        return "--refresh needs --pair: it replaces the embeddings of the pairs named there"
    if chosen("workers") and chosen("dask"):
        return "--workers and --dask exclude each other: cells run in one place or the other"
    if chosen("numprocesses", None) and (chosen("workers") or chosen("dask")):
        return "-n spreads the cases over processes of its own: leave it out with --workers or --dask"
    if chosen("update_baseline"):
        if os.environ.get("CI", "").lower() in ("1", "true"):
            return "--update-baseline while CI is set: a baseline is updated by hand and reviewed like any change"
        if chosen("profile") != "gate":
            return "--update-baseline: a baseline holds the small grid of the merge gate; add --profile gate"
        if chosen("seeds") is not None:
            return "--update-baseline: a baseline holds every seed of its grid; leave --seeds out"
    if chosen("promote") and chosen("profile") == "gate":
        return "--promote: the merge gate's small grid is too small for a conclusion; choose another --profile"
    return None


def _at_least(smallest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {smallest}")
        return int(text)

    return parse


def _workers(text: str) -> int:
    if text != "auto":
        return _at_least(1)(text)
    from joblib import cpu_count  # knows processor affinity and the limits of containers

    return int(cpu_count())
