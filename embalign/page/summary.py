"""The answer over all experiments of a pair, from their verdicts and the first lines of their reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from embalign.escaping import visible
from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.experiments.tables import percent, span
from embalign.page.bakeoff import Picked, read_picked
from embalign.page.markdown import Line
from embalign.page.reading import Report, section
from embalign.page.typography import typeset
from embalign.verdicts.basis import AGREEMENT, BY_TEACHER

# The lines of an answer that stand in the summary, by how they begin; without such a line, the first.
CHOSEN = {
    "elbow": ("Recommended ratio", "Elbow"),
    "maps": ("Query adapter", "Index migration", "Chosen"),
    "gate": ("As a query adapter", "With 95 %", "No threshold", "Without a guarantee"),
}
ALWAYS = ("Warning", "No verdict")
SAID = {"better": "better than", "worse": "worse than", "not shown": "not shown to be better than"}
# A curve's kind in a few words: whether it has an elbow, and if not what it is.
KINDS = {
    "saturated": "none, saturated",
    "diminishing": "none, diminishing",
    "rising": "none, rising",
    "flat": "none, flat",
    "declining": "none, declining",
    "no_gain": "none, no gain",
    "unidentifiable": "inconclusive",
}


class _Amounts(msgspec.Struct):
    enough_pairs: int | None = None
    enough_ratio: float | None = None
    kind: str = ""


class _Use(msgspec.Struct):
    map: float
    no_map: float
    teacher: float
    difference: float
    interval: tuple[float, float]
    retention: float
    better_than_no_map: str
    tuned: _Amounts | None = None


class _Curve(msgspec.Struct):
    policy: str = ""
    budget: str = ""
    metric: str = ""
    elbow: float | None = None
    elbow_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Cell:
    """A value of the summary's table; `verdict` marks one of those in SAID."""

    words: str
    verdict: str = ""


Row = tuple[str, dict[str, Cell]]  # a title, and cells by deployment
NOTHING = Cell("not judged")


@dataclass(frozen=True)
class Summary:
    """What the page begins with: a sentence, what is to be known first, a table by deployment, lines by experiment."""

    sentence: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    lines: tuple[tuple[Report, tuple[Line, ...]], ...]
    levels: str
    measured_by: str
    picked: bool
    by_teacher: bool


def summarise(reports: Sequence[Report], answers: Mapping[str, Sequence[Line]]) -> Summary:
    """Return the summary of a pair's reports; `answers` holds the lines of each one's answer by its anchor."""
    notes = dict.fromkeys(note for report in reports for note in _notes(report))
    uses: dict[str, _Use] = {}
    picked: dict[str, Picked] = {}
    sources: list[str] = []
    curves: list[_Curve] = []
    for report in reports:
        if report.source.name in ("elbow", "spectral") and not uses:
            uses, curves = read_uses(report), _curves(report)
            sources += [report.source.kind] if uses else []
        elif report.source.name == "maps" and (picked := read_picked(report)):
            sources.append(f"picked map: {report.source.kind}")
    by_teacher = any(is_by_teacher(report) for report in reports)
    names = [name for name in DEPLOYMENTS if name in uses or name in picked]
    rows = [*_rows(uses, curves, by_teacher), *_of_picked(picked)]
    return Summary(
        _sentence(uses, picked, by_teacher),
        tuple(notes),
        tuple(DEPLOYMENTS[name].label for name in names),
        tuple((title, tuple(cells.get(name, NOTHING) for name in names)) for title, cells in rows),
        tuple((report, tuple(_chosen(report, answers.get(report.source.anchor, ())))) for report in reports),
        _levels(uses),
        _capitalized("; ".join(sources)),
        bool(picked),
        by_teacher,
    )


def is_by_teacher(report: Report) -> bool:
    """Return whether a report's numbers hold a map to the teacher's own ranking, for want of labels."""
    return BY_TEACHER in (report.verdict.get("relevance"), section(report.data, "split").get("relevance"))


def read_uses(report: Report) -> dict[str, _Use]:
    """Return what a verdict says of each deployment; none where an earlier version has not said it."""
    found = {}
    for name, content in section(report.verdict, "deployments").items():
        if name in DEPLOYMENTS:
            try:
                found[name] = msgspec.convert(content, _Use)
            except msgspec.ValidationError:
                continue
    return {name: found[name] for name in DEPLOYMENTS if name in found}


def _curves(report: Report) -> list[_Curve]:
    try:
        return msgspec.convert(report.verdict.get("curves", []), list[_Curve])
    except msgspec.ValidationError:
        return []


def _notes(report: Report) -> Iterator[str]:
    """What is to be known before any number: whose relevance it is, what is wrong with the data."""
    if is_by_teacher(report):
        yield AGREEMENT
    warnings = report.verdict.get("warnings")
    for warning in warnings if isinstance(warnings, list) else ():
        if isinstance(warning, dict) and isinstance(words := warning.get("words"), str):
            yield f"Warning: {visible(words)}"


def _sentence(uses: Mapping[str, _Use], picked: Mapping[str, Picked], by_teacher: bool) -> str:
    """The answer to whether a map is worth having, by deployment: the trained one, and the one of the bake-off."""
    trained = _worth({name: use.better_than_no_map for name, use in uses.items()}, "no map")
    best = _worth({name: found.answer for name, found in picked.items()}, "no map searched alike")
    sentences = [f"the {'trained map' if best else 'map'} is {trained}."] if trained else []
    sentences += [f"the map that the bake-off picks is {best}."] if best else []
    said = " ".join(map(_capitalized, sentences))
    return f"By agreement with the teacher, {said[0].lower()}{said[1:]}" if by_teacher and said else said


def _worth(answers: Mapping[str, str], no_map: str) -> str:
    """What is said of a map by deployment, the first of them first."""
    by_verdict: dict[str, list[str]] = {}
    for name, answer in answers.items():
        by_verdict.setdefault(answer, []).append(DEPLOYMENTS[name].label)
    parts = [f"{SAID[answer]} {no_map} as {_listed(names)}" for answer, names in by_verdict.items() if answer in SAID]
    return "; it is ".join(parts)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _rows(uses: Mapping[str, _Use], curves: Sequence[_Curve], by_teacher: bool) -> Iterator[Row]:
    if not uses:
        return

    def row(title: str, words: Any) -> Row:
        return title, {name: Cell(typeset(words(name, use))) for name, use in uses.items()}

    verdicts = {name: use.better_than_no_map for name, use in uses.items()}
    yield (
        "Better than no map?",
        {name: Cell(visible(v), v if v in SAID else "not shown") for name, v in verdicts.items()},
    )
    yield row("No map", lambda _, use: f"{use.no_map:.3f}")
    yield row("Trained map", lambda _, use: f"{use.map:.3f}")
    yield row("Teacher", lambda _, use: f"{use.teacher:.3f}")
    yield row("Map minus no map", lambda _, use: _with_interval(use.difference, use.interval))
    if not by_teacher:
        yield row("Retention of the teacher's", lambda _, use: percent(use.retention))
    if any(use.tuned for use in uses.values()):
        yield row(typeset("Enough for 95 % of the gain"), lambda _, use: _enough(use))
        yield row("Elbow", lambda name, use: _elbow(name, use, curves))


def _of_picked(picked: Mapping[str, Picked]) -> Iterator[Row]:
    """The map that the bake-off picks in each deployment."""
    if not picked:
        return
    yield "Picked map better than no map?", {name: Cell(each.answer, each.answer) for name, each in picked.items()}
    yield "Picked map", {name: Cell(typeset(each.words)) for name, each in picked.items()}
    yield "Picked map, nDCG@10", {name: Cell(typeset(f"{each.ndcg_at_10:.3f}")) for name, each in picked.items()}
    minus = {name: each.minus_no_map for name, each in picked.items()}
    yield (
        "Picked map minus no map, searched alike",
        {name: Cell(typeset(_with_interval(each.difference, each.interval))) for name, each in minus.items()},
    )


def _with_interval(difference: float, interval: tuple[float, float]) -> str:
    return f"{difference:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"


def _enough(use: _Use) -> str:
    if use.tuned is None or use.tuned.enough_pairs is None or use.tuned.enough_ratio is None:
        return "none"
    return f"{use.tuned.enough_pairs:,} pairs ({percent(use.tuned.enough_ratio)})"


def _elbow(name: str, use: _Use, curves: Sequence[_Curve]) -> str:
    kind = use.tuned.kind if use.tuned else ""
    if kind != "elbow":
        return KINDS.get(kind, "not judged")
    for curve in curves:
        here = (curve.policy, curve.budget, curve.metric) == ("random", "tuned", f"{name}_ndcg_at_10")
        if here and curve.elbow is not None:
            interval = f" ({span(curve.elbow_interval)})" if curve.elbow_interval else ""
            return f"at {percent(curve.elbow)}{interval}"
    return "yes"


def _chosen(report: Report, answer: Sequence[Line]) -> list[Line]:
    begins = CHOSEN.get(report.source.name, ())
    chosen = [line for line in answer if line.words.startswith(begins)] or [*answer[:1]]
    first = [line for line in answer if line.words.startswith(ALWAYS)]
    return [*first, *(line for line in chosen if line not in first)]


def _levels(uses: Mapping[str, _Use]) -> str:
    """What the curves end at, in words for who cannot see them."""
    parts = [
        f"as {DEPLOYMENTS[name].label} {use.map:.3f}, with no map {use.no_map:.3f}, with the teacher {use.teacher:.3f}"
        for name, use in uses.items()
    ]
    return f"nDCG@10 with all pairs: {'; '.join(parts)}." if parts else ""
