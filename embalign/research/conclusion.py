"""A promoted conclusion: a folder with a text, the raw data and figures it rests on, and where they come from.

The text opens with TOML between two lines of `+++`: command, config, seeds, commit, raw data, figures, data source and
the SHA-256 of every file. `verify` checks all of it against the files, the pair and each other, without torch.
"""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embalign.errors import ClaimError, ConclusionError, PairError
from embalign.experiments.tables import rerun_command
from embalign.pairs.pair import file_digest, pair_digest
from embalign.research.claims import check_numbers, claims_of

NEEDED = {
    "title": str,
    "date": str,
    "experiment": str,
    "pair": str,
    "profile": str,
    "command": str,
    "seeds": list,
    "commit": str,
    "data": str,
    "pair_sha256": str,
    "raw": list,
    "figures": list,
    "config": dict,
    "sha256": dict,
    "names": list,
}
FENCE = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]*)\)")
LINK = re.compile(r"\]\(([^)#]+)\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:.*$", re.MULTILINE)
CUT_OFF = re.compile(r"[A-Za-z]+@\d+")


@dataclass(frozen=True)
class Conclusion:
    """A conclusion's folder, its front matter and its text."""

    folder: Path
    about: Mapping[str, Any]
    text: str


def read_conclusion(folder: Path) -> Conclusion:
    """Return the conclusion in a folder. Raises ConclusionError for front matter that is missing or not complete."""
    path = folder / "README.md"
    parts = re.split(r"^\+\+\+$\n?", path.read_text(encoding="utf-8"), maxsplit=2, flags=re.MULTILINE)
    if len(parts) != 3 or parts[0].strip():
        raise ConclusionError(f"{path}: must open with front matter between two lines of +++")
    try:
        about = tomllib.loads(parts[1])
    except tomllib.TOMLDecodeError as error:
        raise ConclusionError(f"{path}: front matter is not TOML ({error})") from None
    for name, kind in NEEDED.items():
        if not isinstance(about.get(name), kind):
            raise ConclusionError(f"{path}: front matter needs {name} ({kind.__name__}), found {about.get(name)!r}")
    if unknown := set(about) - set(NEEDED):
        raise ConclusionError(f"{path}: front matter has an unknown {sorted(unknown)[0]!r}")
    return Conclusion(folder, about, parts[2])


def check_provenance(found: Conclusion, root: Path) -> None:
    """Raise ConclusionError unless front matter, provenance.json and the pair's data agree on what was run."""
    about, path = found.about, found.folder / "provenance.json"
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
        recorded = {
            "experiment": provenance["experiment"],
            "pair": provenance["pair"],
            "profile": provenance["profile"],
            "seeds": provenance["seeds"],
            "config": provenance["config"],
            "commit": provenance["commit"]["id"],
            "pair_sha256": provenance["data"]["pair_sha256"],
        }
        models = [(provenance["data"].get(role) or {}).get("model") for role in ("draft", "teacher")]
        clean = provenance["commit"]["dirty"] is False
        artifacts = dict(provenance["artifacts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConclusionError(f"{path}: not a run's provenance ({error!r})") from None
    for name, value in recorded.items():
        if about[name] != value:
            raise ConclusionError(f"{name}: the front matter says {about[name]!r}, provenance.json {value!r}")
    if not clean:
        raise ConclusionError("the run was made from a tree that differed from its commit")
    if about["command"] != (command := rerun_command(about["experiment"], about)):
        raise ConclusionError(f"command: the front matter says {about['command']!r}, the run was {command!r}")
    known = {about["pair"], *models}
    if unknown := [name for name in about["names"] if name not in known and not CUT_OFF.fullmatch(name)]:
        raise ConclusionError(
            f"names: {unknown[0]!r} is neither the pair, nor one of its models, nor a metric at a cut-off"
        )
    place = f"{about['date']}-{about['experiment']}-{about['pair']}"
    if found.folder.name != place and not found.folder.name.startswith(f"{place}."):  # where it is being built
        raise ConclusionError(f"the folder is named {found.folder.name!r}; by its front matter it is {place!r}")
    for name in (*about["raw"], *about["figures"]):
        if artifacts.get(name) != about["sha256"].get(name):
            raise ConclusionError(f"{name}: its SHA-256 in the front matter is not the run's own")
    data = (root / about["data"]).resolve()
    if not data.is_relative_to(root.resolve()):
        raise ConclusionError(f"data: {about['data']!r} lies outside the repository")
    try:
        digest = pair_digest(data)
    except (PairError, OSError) as error:
        raise ConclusionError(f"data: {about['data']!r} cannot be read ({error})") from None
    if digest != about["pair_sha256"]:
        raise ConclusionError(
            f"data: {about['data']} has SHA-256 {digest}, the front matter says {about['pair_sha256']}"
        )


def check_files(found: Conclusion) -> None:
    """Raise ConclusionError unless the folder holds exactly the files that the front matter digests, unchanged."""
    digests: Mapping[str, str] = found.about["sha256"]
    present = {path.name for path in found.folder.iterdir()} - {"README.md"}
    if missing := sorted(set(digests) - present):
        raise ConclusionError(f"{missing[0]}: named in the front matter, but not there")
    if stray := sorted(present - set(digests)):
        raise ConclusionError(f"{stray[0]}: there, but not named in the front matter")
    for name, digest in digests.items():
        if (actual := file_digest(found.folder / name)) != digest:
            raise ConclusionError(f"{name}: its SHA-256 is {actual}, the front matter says {digest}")
    for role in ("raw", "figures"):
        if not found.about[role] or not set(found.about[role]) <= set(digests):
            raise ConclusionError(f"{role}: names no file, or one without a digest")
    expected = {"provenance.json", *found.about["raw"], *found.about["figures"]}
    if expected != set(digests):
        raise ConclusionError(
            f"sha256: {sorted(set(digests) ^ expected)[0]} is neither raw data nor figure, or has none"
        )


def check_cells(found: Conclusion) -> None:
    """Raise ConclusionError if a failed cell or another set of seeds is hidden in the raw data."""
    seeds = set(found.about["seeds"])
    seen: set[int] = set()
    for name in found.about["raw"]:
        if not name.endswith(".csv"):
            continue
        with (found.folder / name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row.get("status") != "ok":
                    raise ConclusionError(f"{name}: a cell has the status {row.get('status')!r}")
                if "seed" in row:
                    seen.add(int(row["seed"]))
    if seen != seeds:
        raise ConclusionError(f"seeds: the front matter says {sorted(seeds)}, the raw data have {sorted(seen)}")


def check_text(found: Conclusion) -> int:
    """Return how many numbers the text binds. Raises ConclusionError for one unbound or wrong, and for a dead link."""
    if not found.text.lstrip().startswith(f"# {found.about['title']}\n"):
        raise ConclusionError(f"title: the text does not open with {found.about['title']!r}")
    for block in FENCE.findall(found.text):
        if block.strip() != found.about["command"]:
            raise ConclusionError(
                f"the text tells to run {block.strip()!r}, the front matter {found.about['command']!r}"
            )
    for target in LINK.findall(found.text):
        if "://" not in target and not (found.folder / target).exists():
            raise ConclusionError(f"the text links to {target}, which is not there")
    if reference := REFERENCE.search(found.text):
        raise ConclusionError(f"{reference.group(0)!r}: write the link where it is used")
    shown = IMAGE.findall(COMMENT.sub("", found.text))
    if sorted(shown) != sorted(found.about["figures"]):
        raise ConclusionError(f"figures: the text shows {shown}, the front matter names {found.about['figures']}")
    if bare := [name for name in found.about["names"] if not re.search(r"[^\W\d]", name)]:
        raise ConclusionError(f"names: {bare[0]!r} is a number, not a name with digits in it")
    for claim in claims_of(found.text):
        if claim.fields.get("file") not in found.about["raw"]:
            raise ConclusionError(f"{claim}: {claim.fields.get('file')!r} is not among the raw data")
    try:
        bound = check_numbers(FENCE.sub(" ", found.text), found.folder, found.about["names"])
    except ClaimError as error:
        raise ConclusionError(str(error)) from None
    if bound == 0:
        raise ConclusionError("the text binds no number")
    return bound


CHECKS: Mapping[str, Callable[[Conclusion, Path], object]] = {
    "provenance": check_provenance,
    "files": lambda found, root: check_files(found),
    "cells": lambda found, root: check_cells(found),
    "numbers": lambda found, root: check_text(found),
}


def verify(folder: Path, root: Path) -> None:
    """Run every static check on the conclusion in a folder. Raises ConclusionError."""
    found = read_conclusion(folder)
    for check in CHECKS.values():
        check(found, root)
