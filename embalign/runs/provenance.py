"""Where numbers come from: command, code, data, versions and machine, as one JSON object beside the artifacts."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embalign.alignment.config import DEFAULT
from embalign.embeddings.pair import file_digest, pair_digest, read_provenance
from embalign.runs.source import source_digest
from embalign.runs.store import library_versions


def describe_run(
    experiment: str,
    folder: Path,
    root: Path,
    *,
    measures: Mapping[str, str],
    command: Sequence[str],
    profile: str,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Return the provenance of a run on the pair in `folder`, without paths of this machine.

    `measures` names, by table, what measured it ("module:function").
    """
    embeddings = read_provenance(folder)
    return {
        "experiment": experiment,
        "pair": folder.name,
        "command": shlex.join(_relative(word, root) for word in command),
        "profile": profile,
        "seeds": list(seeds),
        "config": dataclasses.asdict(DEFAULT),
        "data": {
            "pair_sha256": pair_digest(folder),
            "corpus_sha256": embeddings.get("corpus_sha256"),
            **{role: embeddings.get(role) for role in ("draft", "teacher")},
        },
        "source_sha256": {table: source_digest(measure) for table, measure in measures.items()},
        "commit": commit(root),
        "python": platform.python_version(),
        "versions": library_versions() | {"embalign": importlib.metadata.version("embalign")},
        "machine": machine(),
    }


def digests(paths: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file by its name."""
    return {path.name: file_digest(path) for path in sorted(paths)}


def commit(root: Path) -> dict[str, str | bool | None]:
    """Return the checkout's commit and whether anything but what runs write differs from it; None without git."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    written = ("benchmark/*/reports/**", "benchmark/baselines/**", "docs/research/**", "**/__pycache__/**")
    status = git("status", "--porcelain", "--", ".", *(f":(exclude,glob){path}" for path in written))
    return {"id": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def clean_commit(root: Path) -> str | None:
    """Return the checkout's commit if the tree is that commit, else None."""
    state = commit(root)
    return str(state["id"]) if state["id"] is not None and state["dirty"] is False else None


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
