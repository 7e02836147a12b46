"""Promote a complete, clean run into docs/research/, and run a promoted conclusion again."""

from __future__ import annotations

import csv
import datetime
import json
import math
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from embalign.durable import move_all
from embalign.errors import ConclusionError
from embalign.experiments.tables import rerun_command
from embalign.pairs.pair import file_digest
from embalign.research.conclusion import Conclusion, verify
from embalign.runs.provenance import clean_commit, machine

TOLERANCE = 1e-3  # of a number measured on another type of machine
LEFT_OUT = ("report.md", "README.md")


def promote(source: Path, root: Path, conclusion: str) -> Path:
    """Copy the artifacts in `source` to docs/research/<date>-<experiment>-<pair>/ with a conclusion; return the folder.

    `conclusion` ("module:function") writes title, text and names from the copied files. Raises ConclusionError for a
    run from a dirty tree or in one, for artifacts that have changed since, and where the text does not hold.
    """
    provenance = json.loads((source / "provenance.json").read_text(encoding="utf-8"))
    if clean_commit(root) is None or provenance["commit"]["dirty"] is not False:
        raise ConclusionError(
            "not promoted: the tree differs from its commit (or git is missing); commit, then run again"
        )
    date = datetime.date.today().isoformat()
    target = root / "docs" / "research" / f"{date}-{provenance['experiment']}-{provenance['pair']}"
    target.parent.mkdir(parents=True, exist_ok=True)
    # Built beside its place, so that links in its text lead where they will lead from there.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.") as name:
        building = Path(name)
        digests: dict[str, str] = {}
        artifacts: Mapping[str, str] = provenance["artifacts"]
        for file in sorted(artifacts):
            if file in LEFT_OUT:
                continue
            shutil.copyfile(source / file, building / file)
            digests[file] = file_digest(building / file)
            if digests[file] != artifacts[file]:
                raise ConclusionError(f"not promoted: {file} has changed since the run wrote it")
        shutil.copyfile(source / "provenance.json", building / "provenance.json")
        digests["provenance.json"] = file_digest(building / "provenance.json")
        write: Callable[[Path, Mapping[str, Any]], tuple[str, str, Sequence[str]]] = pkgutil.resolve_name(conclusion)
        title, text, names = write(building, provenance)
        about = {
            "title": title,
            "date": date,
            "experiment": provenance["experiment"],
            "pair": provenance["pair"],
            "profile": provenance["profile"],
            "seeds": provenance["seeds"],
            "commit": provenance["commit"]["id"],
            "data": f"benchmark/{provenance['pair']}",
            "pair_sha256": provenance["data"]["pair_sha256"],
            "raw": [file for file in digests if not file.endswith(".png") and file != "provenance.json"],
            "figures": [file for file in digests if file.endswith(".png")],
            "names": list(names),
        }
        about["command"] = rerun_command(about["experiment"], about)
        front = _toml(about | {"config": provenance["config"], "sha256": digests})
        body = f"{text.rstrip()}\n\n## Run it again\n\n```\n{about['command']}\n```\n"
        (building / "README.md").write_text(f"+++\n{front}+++\n\n# {title}\n\n{body}", encoding="utf-8")
        verify(building, root)
        if (there := target / "README.md").exists() and there.read_bytes() != (building / "README.md").read_bytes():
            raise ConclusionError(
                f"not promoted: {target.relative_to(root)} holds another conclusion of today; remove that first"
            )
        target.mkdir(exist_ok=True)
        move_all(building, target)
    return target


def reverify(found: Conclusion, root: Path) -> str:
    """Measure a conclusion's grid again with its recorded seeds and compare; return in words how it compared.

    On the recorded type of machine every raw file and figure must be equal to the byte; elsewhere numbers must agree
    within 1e-3. Raises ConclusionError.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = found.about["command"].split()[1:]
        command = [sys.executable, "-m", "pytest", *words, "--reports-dir", name, "--workers", "auto", "-q"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        fresh = folder / found.about["pair"] / found.about["experiment"]
        if done.returncode != 0 or not (fresh / "provenance.json").is_file():
            raise ConclusionError(f"the run did not finish: {done.stdout[-500:]}{done.stderr[-500:]}")
        recorded = json.loads((found.folder / "provenance.json").read_text(encoding="utf-8"))
        same = all(recorded["machine"][key] == machine()[key] for key in ("processor", "architecture"))
        for file in (*found.about["raw"], *found.about["figures"]):
            if same and file_digest(fresh / file) != found.about["sha256"][file]:
                raise ConclusionError(f"{file}: measured again on the same type of machine, it is not the same")
            if not same and file.endswith(".csv"):
                _close(found.folder / file, fresh / file)
    return "equal to the byte" if same else f"another type of machine: numbers within {TOLERANCE:g}"


def _close(before: Path, after: Path) -> None:
    with before.open(encoding="utf-8", newline="") as one, after.open(encoding="utf-8", newline="") as other:
        left, right = list(csv.DictReader(one)), list(csv.DictReader(other))
    if len(left) != len(right):
        raise ConclusionError(f"{before.name}: {len(right)} rows measured again, {len(left)} promoted")
    for number, (old, new) in enumerate(zip(left, right, strict=True), start=2):
        for column, value in old.items():
            if value == new.get(column):
                continue
            try:
                equal = math.isclose(float(value), float(new[column]), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
            except (ValueError, KeyError):
                equal = False
            if not equal:
                raise ConclusionError(
                    f"{before.name}, line {number}, {column}: {new.get(column)} again, {value} promoted"
                )


def _toml(about: Mapping[str, Any]) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in about.items() if not isinstance(value, dict)]
    for name, table in about.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"
