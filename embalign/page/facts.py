"""What a pair is, and how its runs were made: the page's first lines and its last tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embalign.errors import EmbalignError
from embalign.escaping import one_line
from embalign.page.reading import PairReports, Report, section
from embalign.page.summary import is_by_teacher
from embalign.pairs.pair import pair_digest
from embalign.pairs.texts import ROLES

MOST_ITEMS = 40  # of a list or an object that is shown in one line
RELEVANT = {
    "labels": "items that share the query's label",
    "judgements": "documents judged relevant to a query",
    "teacher": "the teacher's own ten nearest, since nobody has said what is relevant",
}


@dataclass(frozen=True)
class Provenance:
    """What all runs have in common, and what differs: by field, a value for each of the reports `titles`."""

    common: tuple[tuple[str, str], ...]
    titles: tuple[str, ...]
    differing: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]


def about_pair(pair: PairReports) -> tuple[tuple[str, str], ...]:
    """Return what a pair is, as terms and words, from the record of its first readable run and its pair.toml."""
    data = next((report.data for report in pair.reports if report.data), {})
    return tuple((term, words) for term, words in _facts(pair, data) if words)


def _facts(pair: PairReports, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for role in ROLES:
        model = getattr(pair.config, role)
        recorded = section(data, role)
        dimension = f"{recorded['dimension']} dimensions" if isinstance(recorded.get("dimension"), int) else ""
        licence = f"licence {model.licence}" if model.licence else ""
        named = [recorded.get("model") or model.model, dimension, licence]
        yield role.capitalize(), shown(", ".join(str(words) for words in named if words))
    split, items = section(data, "split"), section(data, "teacher").get("vectors")  # the draft has those of styles too
    own = split.get("own_queries") is True
    if isinstance(items, int | float):
        yield "Corpus", f"{items:,.0f} {'documents' if own else 'items'}"
    basis = split.get("relevance", "judgements" if own else "labels") if split else ""
    if any(is_by_teacher(report) for report in pair.reports):
        basis = "teacher"
    yield "Relevant", RELEVANT.get(str(basis), "")
    counts = [split.get(name) for name in ("train", "held_out", "asking", "groups")]
    if all(isinstance(count, int) for count in counts):
        train, held_out, asking, groups = (f"{count:,}" for count in counts)
        kind = "queries" if own else "items"
        yield "Split", f"{train} training {kind}, {held_out} held out; {asking} of them ask, in {groups} groups"
    folder = next((found for report in pair.reports if isinstance(found := report.about.get("folder"), str)), pair.name)
    yield "Data", shown(folder)


def provenance_of(pair: PairReports) -> Provenance:
    """Return how the runs of a pair were made: what is the same for all of them stands once."""
    recorded = [report for report in pair.reports if report.about]
    fields = [dict(_fields(report)) for report in recorded]
    names = list(dict.fromkeys(name for found in fields for name in found))
    values = {name: tuple(found.get(name, "not recorded") for found in fields) for name in names}
    common = tuple((name, words[0]) for name, words in values.items() if len(set(words)) == 1)
    differing = tuple((name, words) for name, words in values.items() if len(set(words)) > 1)
    return Provenance(
        common, tuple(report.source.kind for report in recorded), differing, tuple(_notes(pair, recorded))
    )


def _fields(report: Report) -> Iterator[tuple[str, str]]:
    about = report.about
    commit = section(about, "commit")
    states = {"True": ", with changes that were not committed", "False": ", nothing uncommitted"}
    state = states.get(str(commit.get("dirty")), "")
    yield "Command", shown(about.get("command", "not recorded"))
    yield "Profile", shown(about.get("profile", "not recorded"))
    yield "Seeds", shown(about.get("seeds", "not recorded"))
    yield "Commit", shown(commit.get("id") or commit.get("reason") or "not recorded") + state
    yield "Versions", shown({"python": about.get("python", "not recorded"), **section(about, "versions")})
    yield "Machine", shown(about.get("machine", "not recorded"))
    yield "Training", shown(about.get("config", "not recorded"))
    for role in ROLES:
        side = section(report.data, role)
        told = {
            key: side.get(key) for key in ("model", "source", "server", "pooling", "date", "sha256") if side.get(key)
        }
        yield f"Vectors of the {role}", shown(told or "not recorded")
    yield "SHA-256 of the data", shown(report.data.get("pair_sha256", "not recorded"))
    yield "SHA-256 of the code", _digests(section(about, "source_sha256")) or "not recorded"


def _notes(pair: PairReports, recorded: Sequence[Report]) -> Iterator[str]:
    """Whether the runs were made on the data that is in the folder now, and on the same data."""
    digests = {digest for report in recorded if isinstance(digest := report.data.get("pair_sha256"), str)}
    if len(digests) > 1:
        yield "The runs were made on different data: their numbers are not to be compared. Run the older ones again."
    try:
        now = pair_digest(pair.folder)
    except (EmbalignError, OSError):
        yield "The data of the pair is not in its folder, or not all of it: it was not held to the runs' records."
        return
    if digests == {now}:
        yield "The data in the pair's folder is that of the runs."
    elif digests:
        yield "The data in the pair's folder has changed since the runs: their numbers are those of other data."


def _digests(found: Mapping[str, Any]) -> str:
    """Digests, each after the names that have it."""
    names: dict[str, list[str]] = {}
    for name, digest in list(found.items())[:MOST_ITEMS]:
        names.setdefault(_short(digest), []).append(name)
    return shown("; ".join(f"{', '.join(of_digest)}: {digest}" for digest, of_digest in names.items()))


def shown(value: Any) -> str:
    """Return a value of a record as one line for a reader, shortened."""
    if isinstance(value, dict):
        words = ", ".join(f"{key} {_short(item)}" for key, item in list(value.items())[:MOST_ITEMS])
    elif isinstance(value, list):
        words = ", ".join(_short(item) for item in value[:MOST_ITEMS])
    else:
        words = str(value)
    return one_line(words, 1000)


def _short(value: Any) -> str:
    return one_line(f"{value:g}" if isinstance(value, float) else value)
