"""Where numbers come from: command, code, data, versions and machine, as one JSON object beside the artifacts."""

import dataclasses
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from embalign.evaluation.mantel import measure_pair
from embalign.pairs.pair import Pair, load_pair
from embalign.pairs.provenance import read_provenance
from embalign.pairs.texts import ROLES
from embalign.runs.run import Run
from embalign.runs.source import source_digest, source_files
from embalign.runs.store import library_versions


def describe(run: Run) -> dict[str, Any]:
    """Return the provenance of a run, without paths of this machine."""
    embeddings, pair = read_provenance(run.folder), load_pair(run.folder)
    return {
        "experiment": run.experiment.name,
        "pair": run.pair,
        "folder": _relative(str(run.folder), run.root),
        "command": shlex.join(["pytest", *(_relative(word, run.root) for word in run.arguments)]),
        "config": dataclasses.asdict(run.experiment.training),
        "data": {
            "pair_sha256": run.data_digest,
            "corpus_sha256": embeddings.get("corpus_sha256"),
            **{role: embeddings.get(role) for role in ROLES},
            "rows": {name: round(value, 6) for name, value in measure_pair(pair).items()},
            "split": _split(pair, max(cell.queries for cell in run.cells)),
        },
        "source_sha256": {table: source_digest(found.module) for table, found in run.experiment.measures().items()},
        "commit": dict(run.state),
        "python": platform.python_version(),
        "versions": library_versions() | {"embalign": importlib.metadata.version("embalign")},
        "machine": machine(),
        "profile": run.profile,
        "seeds": sorted({cell.seed for cell in run.cells}),
    }


def _split(pair: Pair, most: int) -> dict[str, Any]:
    """Return what of a pair maps are fitted on, and what asks, for the reports' words."""
    split, asking = pair.holdout, pair.asked_by(most).holdout.test
    return {
        "own_queries": pair.judgements is not None,
        "train": len(split.train),
        "held_out": len(split.test) + len(split.near_duplicates),
        "near_duplicates": len(split.near_duplicates),
        "asking": len(asking),
        "groups": len(set(pair.groups[asking].tolist())),
    }


class Checkout:
    """The checkout that a run is made from, watched from the first cell to the last."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._began: Mapping[str, str | bool | None] | None = None

    def begin(self) -> Mapping[str, str | bool | None]:
        """Note the state that the first cell will be measured from, and return it."""
        if self._began is None:
            self._began = commit(self._root)
        return self._began

    def state(self, modules: Collection[str]) -> dict[str, str | bool | None]:
        """Return the commit, and as `dirty` whether the tree has differed from it since the run began, or does now.

        The files behind `modules`, which measured, are compared with the commit byte by byte.
        """
        began = self.begin()
        now = commit(self._root, sorted({path for module in modules for path in source_files(module)}))
        if now["id"] is None:
            return now
        return now | {"dirty": began["dirty"] is not False or began["id"] != now["id"] or now["dirty"]}


def commit(root: Path, sources: Sequence[Path] = ()) -> dict[str, str | bool | None]:
    """Return the checkout's commit and whether anything but what runs write differs from it; None without git.

    Of `sources`, those in the checkout are compared byte by byte: git can be told not to look at a file.
    """
    written = ("benchmark/*/reports/**", "benchmark/baselines/**", "docs/research/**", "**/__pycache__/**")
    flags = ("--porcelain", "--untracked-files=all", "--ignore-submodules=none")
    status = _git(root, "status", *flags, "--", ".", *(f":(exclude,glob){path}" for path in written))
    head = _git(root, "rev-parse", "HEAD")
    if status is None or head is None:
        return {"id": None, "dirty": None}
    names = [str(path.relative_to(root)) for path in sources if path.is_relative_to(root)]
    return {"id": head, "dirty": bool(status) or not _are_committed(root, names)}


def id_if_clean(state: Mapping[str, Any]) -> str | None:
    """Return the commit of a checkout's state if the tree is that commit, else None."""
    return str(state["id"]) if state["id"] is not None and state["dirty"] is False else None


def _are_committed(root: Path, names: Sequence[str]) -> bool:
    if not names:
        return True
    held = _git(root, "rev-parse", *(f"HEAD:./{name}" for name in names))
    return held is not None and held == _git(root, "hash-object", "--", *names)


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def machine() -> dict[str, str | int | None]:
    """Return processor, architecture, system and core count: what a last digit may depend on."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.libc_ver()[0]} {platform.libc_ver()[1]}".strip(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _relative(argument: str, root: Path) -> str:
    path = Path(argument)
    if not path.is_absolute():
        return argument
    return str(path.relative_to(root)) if path.is_relative_to(root) else f".../{path.name}"
