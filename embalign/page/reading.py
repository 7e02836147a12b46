"""What lies in a pair's reports, read as data: of a stranger, perhaps, and of any version.

What cannot be read leaves a note for its part of the page; only a pair without any report is an error.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embalign.errors import PageError
from embalign.escaping import shell, visible
from embalign.pairs.config import PairConfig, find_pair, read_config
from embalign.pairs.provenance import PROVENANCE, file_digest
from embalign.readers import MEBI, read_bytes, read_json, said

LARGEST_REPORT = MEBI // 4  # the largest shipped one has a fifth of it
LARGEST_RECORD = 16 * MEBI
LARGEST_FILE = 256 * MEBI  # of which a digest is taken
MOST_FILES = 100
MOST_OTHERS = 20  # experiments of one's own
RECORDED, CHANGED, GONE, UNREAD = "as recorded", "changed since the run", "missing", "not checked"


@dataclass(frozen=True)
class Source:
    """Where an experiment writes: its title on the page, its folder in reports/, and the names of its files there."""

    name: str
    kind: str
    title: str
    folder: str
    report: str = "report.md"
    record: str = PROVENANCE
    verdict: str = "verdict.json"

    @property
    def anchor(self) -> str:
        """Where it begins on the page; one of one's own may be called as a part of the page is."""
        return self.name if self in SOURCES else f"own-{self.name}"


SOURCES = (
    Source("elbow", "Experiment 1, elbow", "How much data is enough?", "elbow"),
    Source("spectral", "Experiment 2, spectral", "Does the spectral loss help?", "spectral"),
    Source("maps", "Experiment 3, maps", "Which map?", "maps"),
    Source("gate", "Output-level gate", "Which outputs can be trusted?", "gate"),
    Source(
        "baseline",
        "Frequency-domain baseline",
        "What are the spectra without a spectral loss?",
        "spectral",
        "spectral_alignment_baseline_report.md",
        "spectral_alignment_baseline_provenance.json",
        "",
    ),
)
NOT_EXPERIMENTS = ("quick", *(source.folder for source in SOURCES))


@dataclass(frozen=True)
class Report:
    """What one experiment has left: `text` is its report in Markdown, `verdict` and `about` are empty if unreadable.

    `files` says of each file that the record names whether it is as it was; `problems` are for the page.
    """

    source: Source
    folder: Path
    text: str
    verdict: Mapping[str, Any]
    about: Mapping[str, Any]
    files: Mapping[str, tuple[str, str]]
    problems: tuple[str, ...]

    @property
    def data(self) -> Mapping[str, Any]:
        """What the record says of the pair's data."""
        return section(self.about, "data")


@dataclass(frozen=True)
class PairReports:
    """A pair with its reports; `missing` holds title, command and words on each experiment that has none.

    `named` is how a command names the pair.
    """

    folder: Path
    named: str
    config: PairConfig
    reports: tuple[Report, ...]
    missing: tuple[tuple[str, str, str], ...]

    @property
    def name(self) -> str:
        """The name of the pair."""
        return self.folder.name


def section(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object in a record of JSON, an empty one where there is none."""
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def read_reports(pair: str, root: Path, reports_dir: Path | None = None) -> PairReports:
    """Return the reports of a pair, given by its name under `root`/benchmark or by a path.

    `reports_dir` is that of the runs, if they had one. Raises PairError for a folder that is no pair, and PageError for
    a pair without reports.
    """
    folder = find_pair(pair, root)
    config = read_config(folder)
    base = reports_dir / folder.name if reports_dir else folder / "reports"
    trusted = reports_dir if reports_dir else folder  # it may be a link itself, nothing below it may
    sources = [*SOURCES, *_others(base)]
    reports = tuple(_read(source, base, trusted) for source in sources if _is_there(base, source))
    named = _named(folder, root)
    if not reports:
        run = shell(["pytest", "benchmark/", "-k", "elbow", "--pair", named])
        raise PageError(f"{base}: no report of any experiment; first run one: {run}")
    return PairReports(folder, named, config, reports, tuple(_missing(base, named)))


def _is_there(base: Path, source: Source) -> bool:
    folder = base / source.folder
    if source.name == "baseline":
        return os.path.lexists(folder / source.report)
    return any(os.path.lexists(folder / name) for name in (source.report, source.record, source.verdict))


def _others(base: Path) -> list[Source]:
    """Experiments of one's own: folders beside the usual ones that hold a report."""
    try:
        names = sorted(name for name in os.listdir(base) if re.fullmatch(r"\w[\w-]*", name, re.ASCII))
    except OSError:
        return []
    found = [name for name in names if name not in NOT_EXPERIMENTS and (base / name / "report.md").is_file()]
    return [Source(name, "Experiment of one's own", name, name) for name in found[:MOST_OTHERS]]


def _missing(base: Path, pair: str) -> Iterator[tuple[str, str, str]]:
    """Title, command and what is known of each experiment without a report."""
    for source in SOURCES:
        if _is_there(base, source):
            continue
        command = shell(["pytest", "benchmark/", "-k", source.name, "--pair", pair])
        if source.name == "baseline":
            command = shell(["python", "tests/test_spectral_alignment.py", "--n", "10", "--pair", pair])
        partial = (base / ".partial" / source.name / "missing.txt").is_file()
        yield source.title, command, "A run was begun; the same command resumes it." if partial else "It was not run."


def _named(folder: Path, root: Path) -> str:
    """How a command names the pair: by its name if it is one of the checkout's, else by its path from here.

    The page may be sent to others, so a path from afar is cut to its name.
    """
    root = root.resolve()
    if folder.parent == root / "benchmark":
        return folder.name
    beside = folder.is_relative_to(root.parent) and root.parent != root.parent.parent  # not all of a disk
    return os.path.relpath(folder, root) if beside else f".../{folder.name}"


def _read(source: Source, base: Path, trusted: Path) -> Report:
    folder, problems = base / source.folder, []

    def attempt(name: str, read: Any) -> Any:
        """What a file holds, or None and a problem."""
        try:
            refuse_outside(folder / name, trusted)
            return read(folder / name)
        except PageError as error:
            problems.append(str(error).replace(f"{visible(str(base))}{os.sep}", ""))
            return None

    again = "run the experiment again"
    text = attempt(source.report, lambda path: _text(path, again))
    about = attempt(source.record, lambda path: read_json(path, PageError, again, dict[str, Any], limit=LARGEST_RECORD))
    verdict: dict[str, Any] | None = {}
    if source.verdict and (source in SOURCES or (folder / source.verdict).is_file()):
        verdict = attempt(
            source.verdict, lambda path: read_json(path, PageError, again, dict[str, Any], limit=LARGEST_RECORD)
        )
    files = _states(folder, about or {}, trusted)
    if about is not None and not files:
        problems.append(f"{source.record} names no digest of a file, so nothing here was held to one; {again}")
    for state, words in ((CHANGED, "not as the run wrote it"), (GONE, "named by the run's record, and not there")):
        if names := [name for name, (found, _) in files.items() if found == state]:
            problems.append(f"{', '.join(names[:8])}: {words}; {again}")
    return Report(source, folder, text or "", verdict or {}, about or {}, files, tuple(problems))


def _text(path: Path, remedy: str) -> str:
    """A report as text, in which every character is seen; without the halves of characters and the like."""
    content = read_bytes(path, PageError, remedy, LARGEST_REPORT)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise PageError(f"{path}: {said(fault)}; {remedy}") from None
    return "\n".join(visible(line) for line in text.replace("\r\n", "\n").split("\n"))


def refuse_outside(path: Path, trusted: Path) -> None:
    """Raise PageError for a path that is a link, or lies behind one, below the folder `trusted`.

    What a page shows may be sent to others: nothing but what lies in the pair is put on it.
    """
    there = os.path.normpath(os.path.join(os.path.realpath(trusted), os.path.relpath(path, trusted)))
    if os.path.normcase(os.path.realpath(path)) != os.path.normcase(there):
        raise PageError(f"{path}: lies behind a link, and a page shows only what is in the pair; copy it there")


def _states(folder: Path, about: Mapping[str, Any], trusted: Path) -> dict[str, tuple[str, str]]:
    """By the name of each file that a record names: whether it is as recorded, and its recorded SHA-256."""
    found = {}
    for name, digest in list(section(about, "artifacts").items())[:MOST_FILES]:
        if isinstance(digest, str) and re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
            found[name] = _state(folder / name, digest, trusted), visible(digest[:64])
    return found


def _state(path: Path, digest: str, trusted: Path) -> str:
    try:
        refuse_outside(path, trusted)
        if os.stat(path).st_size > LARGEST_FILE:
            return UNREAD
        return RECORDED if file_digest(path) == digest else CHANGED
    except FileNotFoundError:
        return GONE
    except (OSError, PageError):
        return UNREAD
