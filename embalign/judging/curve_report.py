"""What `embalign judge` does: read, judge, write figure, report and verdict.json, and say the answer."""

from dataclasses import dataclass
from pathlib import Path

from embalign.errors import TableError
from embalign.escaping import visible
from embalign.experiments.templates import render, sentences
from embalign.judging.curve_figure import draw_curves
from embalign.judging.curves import Choice, read_curves
from embalign.judging.judged import JudgedCurve, judge_curve
from embalign.judging.output import result_folder
from embalign.judging.source import read_source

MOST_CURVES = 12


@dataclass(frozen=True)
class Question:
    """How curves are judged: which way is better, the margin, and the value without training; None: from the curve."""

    higher_is_better: bool = True
    margin: float | None = None
    origin: float | None = None


def judge_file(path: Path, out: Path, choice: Choice, question: Question) -> list[str]:
    """Judge the curves in a file, write the result into `out`, and return what to print, line by line.

    Raises TableError for a file that cannot be read or judged; nothing is written then.
    """
    source = read_source(path)
    tables, roles = read_curves(source, choice)
    if len(tables) > MOST_CURVES:
        raise TableError(f"{path}: {len(tables)} curves; choose at most {MOST_CURVES} with --metric")
    curves = [
        judge_curve(
            table, path, higher_is_better=question.higher_is_better, margin=question.margin, origin=question.origin
        )
        for table in tables
    ]
    answers = [answer(found) for found in curves]
    notes = list(dict.fromkeys(note for table in tables for note in table.source_notes))
    content = {
        "input": {"name": path.name, "sha256": source.sha256, "rows": len(source.frame)},
        "columns": dict(roles.columns),
        "notes": notes,
        "curves": [found.as_record() | {"answer": lines} for found, lines in zip(curves, answers, strict=True)],
    }
    with result_folder(out, "judge", content, ("curve.png", "report.md")) as building:
        draw_curves([(found, table.frame) for found, table in zip(curves, tables, strict=True)], building / "curve.png")
        report = render(
            "curves_report.md.j2",
            source=source,
            rows=len(source.frame),
            roles=roles.words(),
            notes=notes,
            curves=curves,
            answers=answers,
        )
        (building / "report.md").write_text(report, encoding="utf-8")
    return _printed(path, out, roles.words(), notes, list(zip(curves, answers, strict=True)))


def answer(found: JudgedCurve) -> list[str]:
    """Return the answer on one curve, a sentence or two a line."""
    return sentences("curve.md.j2", "lines", found)


def _printed(
    path: Path, out: Path, roles: str, notes: list[str], answered: list[tuple[JudgedCurve, list[str]]]
) -> list[str]:
    read = [f"read: {roles}"] if roles else []
    lines = [*read, *(f"note: {note}" for note in notes)]
    for found, sentences_of_it in answered:
        title = f"{path.name}, {found.metric}" if len(answered) > 1 else path.name
        lines += [f"{title}:", *(f"  Note: {note}." for note in found.notes)]
        lines += [f"  {line}" for line in sentences_of_it]
    written = "report.md, curve.png and verdict.json"
    return [visible(line) for line in (*lines, f"{written} written into {out}")]
