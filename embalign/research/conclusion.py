"""A promoted conclusion: a folder with a text, the raw data and figures it rests on, and where they come from.

README.md is the text. conclusion.toml beside it is what machines read: command, config, seeds, commit, raw data,
figures, data source, the SHA-256 of every file, and a claim for every number of the text. `verify` checks both against
the files, the pair and each other, without torch.
"""

import io
import keyword
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from embalign.errors import ClaimError, ConclusionError, EmbalignError
from embalign.experiments.grid import FEWEST_SEEDS, MOST_SEEDS, PROFILES, rerun_command
from embalign.pairs.pair import pair_digest
from embalign.pairs.provenance import file_digest, line_ends_hint
from embalign.pairs.texts import ROLES
from embalign.readers import MEBI, MOST_DIGITS, quoted, read_bytes, read_toml, reading, said
from embalign.research.claims import RESTORE, Claim, read_raw
from embalign.research.numbers import check_numbers

TEXT, MACHINE_READABLE = "README.md", "conclusion.toml"
FENCE = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# None runs over the place where another one could begin, so that a text of openers alone takes linear time.
IMAGE = re.compile(r"!\[[^\[\]]*\]\(([^()]*)\)")
FIGURE = re.compile(rf"^{IMAGE.pattern}$", re.MULTILINE)
LINK = re.compile(r"\]\(([^()]*)\)")
REFERENCE = re.compile(r"^ {0,3}\[(?:[^\[\]\\]|\\.)+\]:.*$", re.MULTILINE)
LONGEST_SHOWN = 200  # characters of a value that is refused
CUT_OFF = re.compile(r"[A-Za-z]+@\d+")
Files = Annotated[list[str], msgspec.Meta(min_length=1, max_length=200)]
Names = Annotated[list[str], msgspec.Meta(max_length=200)]
Claims = Annotated[list[Claim], msgspec.Meta(max_length=2000)]
LARGEST, LARGEST_TEXT = MEBI, MEBI // 8  # bytes of conclusion.toml and README.md
TOGETHER = f"{TEXT} and {MACHINE_READABLE} belong together: restore both from git"


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What conclusion.toml holds: the run, the SHA-256 of each file, and how each number is computed."""

    title: str
    date: str
    experiment: str
    pair: str
    profile: str
    seeds: list[int]
    commit: str
    data: str
    pair_sha256: str
    raw: Files
    figures: Files
    names: Names
    command: str
    config: dict[str, Any]
    sha256: dict[str, str]
    claims: Claims


@dataclass(frozen=True)
class Conclusion:
    """A conclusion's folder, what its conclusion.toml says, and its text."""

    folder: Path
    about: About
    text: str


def read_conclusion(folder: Path) -> Conclusion:
    """Return the conclusion in a folder. Raises ConclusionError for a file missing, unreadable or incomplete."""
    path, text = folder / MACHINE_READABLE, folder / TEXT
    content = read_toml(path, ConclusionError, TOGETHER, limit=LARGEST)
    with reading(path, ConclusionError, RESTORE, "not the record of a conclusion"):
        about = msgspec.convert(content, About)
    words = read_bytes(text, ConclusionError, TOGETHER, LARGEST_TEXT)
    with reading(text, ConclusionError, RESTORE):
        return Conclusion(folder, about, io.StringIO(words.decode("utf-8"), newline=None).read())


def recorded(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of conclusion.toml that a run's provenance determines."""
    return {
        "experiment": provenance["experiment"],
        "pair": provenance["pair"],
        "profile": provenance["profile"],
        "seeds": provenance["seeds"],
        "commit": provenance["commit"]["id"],
        "data": provenance.get("folder", f"benchmark/{provenance['pair']}"),
        "pair_sha256": provenance["data"]["pair_sha256"],
        "command": rerun_command(provenance["experiment"], provenance),
        "config": provenance["config"],
    }


def names_of(provenance: Mapping[str, Any]) -> list[str | None]:
    """Return the names of the pair and of its models, None for a model without a name."""
    return [provenance["pair"], *((provenance["data"].get(role) or {}).get("model") for role in ROLES)]


def check_provenance(found: Conclusion, root: Path) -> None:
    """Raise ConclusionError unless conclusion.toml, provenance.json and the pair's data agree on what was run."""
    about, path = found.about, found.folder / "provenance.json"
    try:
        provenance = read_raw(path)
        of_the_run, known = recorded(provenance), names_of(provenance)
        clean = provenance["commit"]["dirty"] is False
        artifacts = dict(provenance["artifacts"])
    except (ConclusionError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConclusionError(f"{path}: not a run's provenance ({said(error)}); {RESTORE}") from None
    rerun_words(about)
    for name, value in of_the_run.items():
        if (claimed := getattr(about, name)) != value:
            raise ConclusionError(f"{name}: conclusion.toml says {claimed!r}, provenance.json {value!r}")
    if not clean:
        raise ConclusionError("the run was made from a tree that differed from its commit")
    if unknown := [name for name in about.names if name not in known and not CUT_OFF.fullmatch(name)]:
        raise ConclusionError(
            f"names: {unknown[0]!r} is neither the pair, nor one of its models, nor a metric at a cut-off"
        )
    place = f"{about.date}-{about.experiment}-{about.pair}"
    if found.folder.name != place and not found.folder.name.startswith(f"{place}."):  # where it is being built
        raise ConclusionError(f"the folder is named {found.folder.name!r}; by conclusion.toml it is {place!r}")
    for name in (*about.raw, *about.figures):
        if artifacts.get(name) != about.sha256.get(name):
            raise ConclusionError(f"{name}: its SHA-256 in conclusion.toml is not the run's own")
    try:
        data = (root / about.data).resolve()
        if not data.is_relative_to(root.resolve()):
            raise ConclusionError(f"data: {about.data!r} lies outside the repository")
        digest = pair_digest(data)
    except ConclusionError:
        raise
    except (EmbalignError, OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConclusionError(f"data: {about.data!r} cannot be read ({error})") from None
    if digest != about.pair_sha256:
        raise ConclusionError(f"data: {about.data} has SHA-256 {digest}, conclusion.toml says {about.pair_sha256}")


def rerun_words(about: About) -> list[str]:
    """Return the words after `pytest` that measure a conclusion's grid again, made of its checked fields alone.

    Raises ConclusionError for a field that could mean anything else on a command line, and for a command that is not
    the one made of the fields.
    """
    fit = {
        "experiment": about.experiment.isidentifier() and not keyword.iskeyword(about.experiment),
        "pair": about.pair == Path(about.data).name and about.pair not in ("", ".."),
        "profile": about.profile in PROFILES,
        "seeds": FEWEST_SEEDS <= len(about.seeds) <= MOST_SEEDS and about.seeds == list(range(len(about.seeds))),
    }
    for name, fits in fit.items():
        if not fits:
            raise ConclusionError(f"{name}: conclusion.toml says {_short(getattr(about, name))}, as no run can have it")
    run = {"pair": about.pair, "folder": about.data, "profile": about.profile, "seeds": about.seeds}
    if about.command != (command := rerun_command(about.experiment, run)):
        said = f"conclusion.toml says {_short(about.command)}"
        raise ConclusionError(f"command: {said}; by experiment, pair, profile and seeds it is {command!r}")
    grid = [f"--pair={about.data}", f"--profile={about.profile}", f"--seeds={len(about.seeds)}", "--results=always"]
    return ["benchmark/", "-k", about.experiment, *grid]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def check_files(found: Conclusion) -> None:
    """Raise ConclusionError unless the folder holds exactly the files that conclusion.toml digests, unchanged."""
    digests: Mapping[str, str] = found.about.sha256
    if links := sorted(path.name for path in found.folder.iterdir() if not path.is_file() or path.is_symlink()):
        raise ConclusionError(f"{links[0]}: not a file of its own; a conclusion holds its files itself")
    present = {path.name for path in found.folder.iterdir()} - {TEXT, MACHINE_READABLE}
    if missing := sorted(set(digests) - present):
        raise ConclusionError(f"{missing[0]}: named in conclusion.toml, but not there")
    if stray := sorted(present - set(digests)):
        raise ConclusionError(f"{stray[0]}: there, but not named in conclusion.toml")
    for name, digest in digests.items():
        with reading(found.folder / name, ConclusionError, RESTORE):
            actual = file_digest(found.folder / name)
        if actual != digest:
            hint = line_ends_hint(found.folder / name, digest)
            raise ConclusionError(f"{name}: its SHA-256 is {actual}, conclusion.toml says {digest}{hint}")
    expected = {"provenance.json", *found.about.raw, *found.about.figures}
    if expected != set(digests):
        raise ConclusionError(
            f"sha256: {sorted(set(digests) ^ expected)[0]} is neither raw data nor figure, or has none"
        )


def check_cells(found: Conclusion) -> None:
    """Raise ConclusionError if a failed cell or another set of seeds is hidden in the raw data."""
    seeds = set(found.about.seeds)
    seen: set[int] = set()
    for name in found.about.raw:
        if not name.endswith(".csv"):
            continue
        for row in read_raw(found.folder / name):
            if row.get("status") != "ok":
                raise ConclusionError(f"{name}: a cell has the status {row.get('status')!r}")
            if "seed" in row:
                if not row["seed"].isdecimal() or len(row["seed"]) > MOST_DIGITS:
                    raise ConclusionError(f"{name}: {quoted(row['seed'])} is no seed")
                seen.add(int(row["seed"]))
    if seen != seeds:
        raise ConclusionError(f"seeds: conclusion.toml says {sorted(seeds)}, the raw data have {sorted(seen)}")


def check_text(found: Conclusion) -> None:
    """Raise ConclusionError unless the text shows title, command, figures and numbers that are those of the run."""
    about, text = found.about, found.text
    if not text.startswith(f"# {about.title}\n"):
        raise ConclusionError(f"title: README.md does not open with {about.title!r}")
    if "<!--" in text:
        raise ConclusionError("README.md has a comment; what machines read belongs into conclusion.toml")
    for block in FENCE.findall(text):
        if block.strip() != about.command:
            raise ConclusionError(f"command: README.md says {block.strip()!r}, conclusion.toml {about.command!r}")
    targets, shown = LINK.findall(text), sorted(IMAGE.findall(text))
    if (len(targets), len(shown)) != (text.count("]("), text.count("![")):
        raise ConclusionError("README.md: write each link as [text](target) and each image as ![text](file)")
    for target in targets:
        if target and "#" not in target and "://" not in target and not os.path.exists(found.folder / target):
            raise ConclusionError(f"README.md links to {quoted(target)}, which is not there")
    if reference := REFERENCE.search(text):
        raise ConclusionError(f"README.md, {reference.group(0)!r}: write the link where it is used")
    if shown != sorted(about.figures):
        raise ConclusionError(f"figures: README.md shows {shown}, conclusion.toml names {about.figures}")
    if shown != sorted(FIGURE.findall(text)):
        raise ConclusionError(f"figures: README.md must show each of {shown} on a line of its own")
    check_claims(found)


def check_claims(found: Conclusion) -> None:
    """Raise ConclusionError for a number of the text that is not the next claim's, or not that of the raw data."""
    names = found.about.names
    if bare := [name for name in names if not re.search(r"[^\W\d]", name)]:
        raise ConclusionError(f"names: {bare[0]!r} is a number, not a name with digits in it")
    for place, claim in enumerate(found.about.claims, start=1):
        if claim.file not in found.about.raw:
            raise ConclusionError(f"conclusion.toml, claim {place} ({claim}): {claim.file!r} is not among the raw data")
    try:
        check_numbers(FENCE.sub(" ", found.text), found.about.claims, found.folder, names)
    except ClaimError as error:
        raise ConclusionError(str(error)) from None
    if not found.about.claims:
        raise ConclusionError("README.md binds no number: a conclusion rests on at least one of the raw data")


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
