"""What `embalign compare` does: read two systems' results, pair and judge them, and say the answer."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from embalign.errors import TableError
from embalign.escaping import shell, visible
from embalign.experiments.templates import render, sentences
from embalign.judging.columns import direction_note, listed, margin_note, require
from embalign.judging.comparison_figure import draw_comparisons
from embalign.judging.curves import Choice
from embalign.judging.judged import in_digits
from embalign.judging.output import result_folder
from embalign.judging.pairing import pair_runs
from embalign.judging.runs import Run, read_run
from embalign.judging.source import Source, read_source
from embalign.verdicts.ab import ABKind, Direction
from embalign.verdicts.paired import PairedVerdict, judge_paired
from embalign.verdicts.statistics import holm

ALPHA = 0.05
FEW_ITEMS, FEW_GROUPS = 50, 20  # from here on the error rates were measured


@dataclass(frozen=True)
class Comparison:
    """Two systems on one metric. `p_value` is adjusted for the number of metrics, `tests`."""

    metric: str
    verdict: PairedVerdict
    control_mean: float
    treatment_mean: float
    higher_is_better: bool
    p_value: float
    tests: int

    @property
    def kind(self) -> ABKind:
        """The verdict's kind; a difference that is not shown after Holm does not count."""
        if self.verdict.kind in ("better", "worse") and self.p_value > ALPHA:
            return "inconclusive"
        return self.verdict.kind

    @property
    def direction(self) -> Direction | None:
        """Which way a difference goes that is shown after Holm, also where it is equivalent."""
        return self.verdict.direction if self.p_value <= ALPHA else None

    @property
    def beyond_margin(self) -> bool:
        """Whether the whole interval lies beyond the margin, on one side of it."""
        low, high = self.verdict.interval
        return self.verdict.margin is not None and (low > self.verdict.margin or high < -self.verdict.margin)

    @property
    def few(self) -> bool:
        """Whether so few items or groups carry the interval that its error rates were not measured."""
        if self.verdict.over == "seeds":
            return False
        return self.verdict.groups < FEW_GROUPS if self.verdict.groups else self.verdict.items < FEW_ITEMS

    @property
    def digits(self) -> int:
        """Digits behind the point that show the thousandth part of the interval's width."""
        size = np.ptp(self.verdict.interval) or abs(self.verdict.difference) or 1.0
        return 3 - math.floor(math.log10(size))

    def text(self, value: float, sign: Literal["", "+"] = "") -> str:
        """Return a value in the metric's units as texts show it."""
        return in_digits(value, self.digits, sign)

    def as_record(self) -> dict[str, Any]:
        """Return the comparison as verdict.json has it."""
        return (
            {
                "metric": self.metric,
                "higher_is_better": self.higher_is_better,
                "control_mean": self.control_mean,
                "treatment_mean": self.treatment_mean,
                "p_value_after_holm": self.p_value,
            }
            | dataclasses.asdict(self.verdict)
            | {"kind": self.kind, "direction": self.direction}
        )


@dataclass(frozen=True)
class Settings:
    """How two systems are compared: the margin, which way is better, and the column of the items' groups."""

    margin: float | None = None
    higher_is_better: bool = True
    group: str | None = None


def compare_files(
    paths: Sequence[Path], by: str | None, choice: Choice, settings: Settings, out: Path | None = None
) -> list[str]:
    """Compare the second file with the first, or two systems in one; return what to print, line by line.

    With `by`, "column" or "column=control,treatment", the systems are the values of a column of one file. Writes into
    `out` only if it is given. Raises TableError for what cannot be read, paired or judged.
    """
    sources, names = _systems(paths, by)
    notes: list[str] = []
    judged: list[tuple[str, PairedVerdict, Run, Run]] = []
    for metric in choice.metrics or (None,):
        first, second = runs = [
            read_run(source, name, choice, settings.group, metric=metric)
            for source, name in zip(sources, names, strict=True)
        ]
        control, treatment, found = pair_runs(first, second, settings.group, only_common=choice.only_complete)
        notes += [*(note for run in runs for note in (*_columns(run), *run.notes)), *found]
        name = metric or second.roles.columns["value"]
        notes += direction_note(name, settings.higher_is_better)
        notes += margin_note(settings.margin, np.concatenate([run.frame["value"] for run in (control, treatment)]))
        judged.append((name, _judge(control, treatment, settings), control, treatment))
    compared = _compared(judged, settings)
    answers = [sentences("comparison.md.j2", "lines", found) for found in compared]
    notes = list(dict.fromkeys(notes))
    if out is not None:
        spreads = [_differences(control, treatment) for _, _, control, treatment in judged]
        content = {
            "inputs": [
                {"name": source.path.name, "system": name, "sha256": source.sha256, "rows": len(source.frame)}
                for source, name in zip(sources, names, strict=True)
            ],
            "notes": notes,
            "comparisons": [
                found.as_record() | {"answer": lines} for found, lines in zip(compared, answers, strict=True)
            ],
        }
        with result_folder(out, "compare", content, ("comparison.png", "report.md")) as building:
            draw_comparisons(list(zip(compared, spreads, strict=True)), building / "comparison.png")
            report = _report(sources, names, compared, answers, notes)
            (building / "report.md").write_text(report, encoding="utf-8")
    lines = [f"note: {note}" for note in notes]
    for compare, answer in zip(compared, answers, strict=True):
        of = f", {compare.metric}" if len(compared) > 1 else ""
        lines += [f"{names[1]} against {names[0]}{of}:", *(f"  {line}" for line in answer)]
    if out is not None:
        lines.append(f"report.md, comparison.png and verdict.json written into {out}")
    return [visible(line) for line in lines]


def _compared(judged: Sequence[tuple[str, PairedVerdict, Run, Run]], settings: Settings) -> list[Comparison]:
    adjusted = holm([verdict.p_value for _, verdict, _, _ in judged])
    return [
        Comparison(
            metric=metric,
            verdict=verdict,
            control_mean=float(control.frame["value"].mean()),
            treatment_mean=float(treatment.frame["value"].mean()),
            higher_is_better=settings.higher_is_better,
            p_value=p_value,
            tests=len(judged),
        )
        for (metric, verdict, control, treatment), p_value in zip(judged, adjusted, strict=True)
    ]


def _systems(paths: Sequence[Path], by: str | None) -> tuple[list[Source], list[str]]:
    """The two tables, control first, and what they are called."""
    if by is None:
        if len(paths) != 2:
            raise TableError(
                f"found {len(paths)} of two files: give two, or name the column of systems in one with --by COLUMN"
            )
        sources = [read_source(path) for path in paths]
        if sources[0].sha256 == sources[1].sha256:
            raise TableError(f"{paths[0]} and {paths[1]} hold the same bytes: there is nothing to compare")
        names = [path.name for path in paths]
        return sources, names if names[0] != names[1] else [str(path) for path in paths]
    if len(paths) != 1:
        raise TableError("--by names a column of systems in one file; give one file, or leave --by out")
    source = read_source(paths[0])
    column, _, wanted = by.partition("=")
    require(source, column, f"--by {by}")
    there = list(source.frame[column].str.strip().drop_duplicates())
    names = [name.strip() for name in wanted.split(",")] if wanted else there
    if len(names) != 2:
        words = f"{len(names)} systems in {column}, {listed(names)}"
        raise TableError(f"{source.path}: {words}; name two: {shell(['--by', f'{column}=CONTROL,TREATMENT'])}")
    for name in names:
        if name not in there:
            raise TableError(f"{source.path}: no {name!r} in {column}; there are {listed(there)}")
    cells = source.frame[column].str.strip()
    return [source.of(source.frame[cells == name].drop(columns=column)) for name in names], names


def _columns(run: Run) -> list[str]:
    return [f"{run.name}: {words}"] if (words := run.roles.words()) else []


def _judge(control: Run, treatment: Run, settings: Settings) -> PairedVerdict:
    try:
        return judge_paired(
            treatment.frame, control.frame, margin=settings.margin, higher_is_better=settings.higher_is_better
        )
    except ValueError as error:
        remedy = "bring more of them"
        if "differences are" in str(error):
            remedy = "are these copies of one result?"
        elif "one pair" in str(error):
            remedy = "repeat with other seeds, three or more, or give values by item"
        elif "group" in str(error):
            remedy = "bring items of more groups"
        raise TableError(f"{treatment.name} against {control.name} cannot be judged: {error}; {remedy}") from None


def _differences(control: Run, treatment: Run) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Differences by item, or by seed where there are no items, sorted."""
    key = "item" if "item" in control.frame else "seed"
    by_key = [run.frame.groupby(key)["value"].mean() for run in (control, treatment)]
    return np.sort((by_key[1] - by_key[0]).to_numpy())


def _report(
    sources: Sequence[Source],
    names: Sequence[str],
    compared: Sequence[Comparison],
    answers: Sequence[list[str]],
    notes: Sequence[str],
) -> str:
    return render(
        "comparison_report.md.j2",
        control=names[0],
        treatment=names[1],
        compared=compared,
        answers=answers,
        sources=sources,
        notes=notes,
        unit="items" if compared[0].verdict.items else "seeds",
    )
