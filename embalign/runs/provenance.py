"""Where numbers come from: command, code, data, versions and machine, as one JSON object beside the artifacts."""

import dataclasses
import importlib.metadata
import os
import platform
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from embalign.alignment.device import described
from embalign.escaping import shell
from embalign.evaluation.mantel import measure_pair
from embalign.pairs.corpus import has_texts
from embalign.pairs.pair import Pair
from embalign.pairs.provenance import read_provenance
from embalign.pairs.texts import ROLES
from embalign.runs.run import Run
from embalign.runs.source import source_digest
from embalign.runs.store import library_versions


def describe(run: Run) -> dict[str, Any]:
    """Return the provenance of a run, without paths of this machine."""
    embeddings, pair = read_provenance(run.folder), run.load()
    return {
        "experiment": run.experiment.name,
        "pair": run.pair,
        "folder": _relative(str(run.folder), run.root),
        "command": shell(["pytest", *(_relative(word, run.root) for word in run.arguments)]),
        "config": dataclasses.asdict(run.experiment.training),
        "data": {
            "pair_sha256": run.data_digest,
            "corpus_sha256": embeddings.get("corpus_sha256"),
            **{role: embeddings.get(role) for role in ROLES},
            "rows": {name: round(value, 6) for name, value in measure_pair(pair).items()},
            "split": _split(pair, max(cell.queries for cell in run.cells)),
        },
        "source_sha256": {table: source_digest(found.module) for table, found in run.experiment.measures().items()},
        "commit": {key: _without_folders(value) for key, value in run.state.items()},
        "python": platform.python_version(),
        "versions": library_versions() | {"embalign": importlib.metadata.version("embalign")},
        "machine": machine(),
        "device": described(run.device),
        **({"no_verdict": True} if len({cell.seed for cell in run.cells}) < run.experiment.fewest_seeds else {}),
        "profile": run.profile,
        "seeds": sorted({cell.seed for cell in run.cells}),
    }


def _split(pair: Pair, most: int) -> dict[str, Any]:
    """Return what of a pair maps are fitted on, and what asks, for the reports' words."""
    split, asking = pair.holdout, pair.asked_by(most).holdout.test
    alone = 0
    if pair.relevance == "labels":
        sizes = Counter(pair.labels.tolist())
        alone = sum(sizes[label] == 1 for label in pair.labels[asking].tolist())
    return {
        "own_queries": pair.own_queries,
        "relevance": pair.relevance,
        "train": len(split.train),
        "held_out": len(split.test) + len(split.near_duplicates),
        "near_duplicates": len(split.near_duplicates),
        "asking": len(asking),
        "groups": len(set(pair.groups[asking].tolist())),
        **({"alone_with_their_label": alone} if alone else {}),
        **({} if has_texts(pair.items) else {"without_texts": True}),
    }


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


def _without_folders(value: str | bool | None) -> str | bool | None:
    """A value in which absolute paths are cut down to their last name."""
    return re.sub(r"(?<![\w.:/])(?:[A-Za-z]:)?/[^\s'\"]*/", ".../", value) if isinstance(value, str) else value


def _relative(argument: str, root: Path) -> str:
    """A word of a command line, to be run in the root: absolute paths are made relative to it, or cut to their name.

    Those beside the root keep their place, so that the command can be copied.
    """
    option, sign, value = argument.partition("=")
    if argument.startswith("-") and sign:
        return f"{option}={_relative(value, root)}"
    path = Path(argument)
    if not path.is_absolute():
        return argument
    beside = path.is_relative_to(root.parent) and root.parent != root.parent.parent  # not all of a disk
    return os.path.relpath(path, root) if beside else f".../{path.name}"
