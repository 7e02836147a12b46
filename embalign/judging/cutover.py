"""What `embalign cutover` does: ask a map's deployment, judge how much of the teacher's search it keeps, and say so."""

from __future__ import annotations

import dataclasses
import errno
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.deploy.card import Difference
from embalign.deploy.files import ARRAYS, MATRIX
from embalign.deploy.quality import over_no_map
from embalign.durable import remedy_of
from embalign.errors import TableError
from embalign.escaping import visible
from embalign.evaluation.deployment import DEPLOYMENTS, Deployment, SearchTask, asked_by
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import search_task
from embalign.experiments.templates import render, sentences
from embalign.imports.build import Request
from embalign.imports.formats import taken_apart
from embalign.judging.cutover_map import Judged, Question, judged_map, opened
from embalign.judging.output import check_result_folder, result_folder
from embalign.pairs.pair import pair_digest
from embalign.pairs.place import refuse_pair
from embalign.pairs.provenance import vectors_digests
from embalign.pairs.texts import Basis
from embalign.readers import said
from embalign.verdicts.basis import BY_TEACHER
from embalign.verdicts.retention import RetentionVerdict, judge_retention

EXIT_CODES = {"pass": 0, "fail": 10, "undecided": 11}
LOW_TEACHER = 0.3  # nDCG@10 below which a retention is a share of little
TEMPLATE = "cutover.md.j2"
FILES = ("report.md",)
OTHER = "name a file with --summary"


@dataclass(frozen=True)
class Cutover:
    """The answer on one deployment of a map. `no_map` is the nDCG@10 of the raw draft's own search, searched alike.

    `search` is how both are searched, `over` is what the map has over that, and `against_no_map` whether this is shown.
    """

    asked: Question
    verdict: RetentionVerdict
    basis: Basis
    index_size: int
    no_map: float
    over: Difference
    against_no_map: Literal["better", "worse", "not shown"]
    about: Sequence[str]
    held_out: bool
    search: str

    @property
    def deployment(self) -> Deployment:
        """The deployment with its words."""
        return DEPLOYMENTS[self.asked.deployment]

    @property
    def by_teacher(self) -> bool:
        """Whether the teacher's own ranking stands for what is relevant."""
        return self.basis == BY_TEACHER

    @property
    def low_teacher(self) -> bool:
        """Whether the teacher itself finds so little that a share of it says little."""
        return self.verdict.of_teacher < LOW_TEACHER

    @property
    def interval(self) -> tuple[str, str]:
        """The ends of the interval in words, rounded outwards: what is printed never contradicts the verdict."""
        low, high = self.verdict.interval
        digits = max(3, len(f"{self.asked.keep:.10f}".rstrip("0").partition(".")[2]))
        scale = 10**digits
        upper = f"{math.ceil(high * scale - 1e-9) / scale:.{digits}f}" if math.isfinite(high) else "no bound"
        return f"{math.floor(low * scale + 1e-9) / scale:.{digits}f}", upper

    @property
    def more(self) -> str | None:
        """How many more queries would decide, in two digits; None for more than a hundred times as many."""
        if self.verdict.more_queries is None:
            return None
        step = 10 ** max(0, len(str(self.verdict.more_queries)) - 2)
        return f"{math.ceil(self.verdict.more_queries / step) * step:,}"

    def as_record(self) -> dict[str, Any]:
        """Return the answer as verdict.json has it."""
        return {
            "deployment": self.asked.deployment,
            **dataclasses.asdict(self.verdict),
            "relevance": self.basis,
            "index_size": self.index_size,
            "search": self.search,
            "no_map": self.no_map,
            "over_no_map": self.over.difference,
            "over_no_map_lower_bound": self.over.lower_bound,
            "against_no_map": self.against_no_map,
            "map": list(self.about),
            "held_out": self.held_out,
            "seed": self.asked.seed,
        }


def cut_over(
    brought: Path | Request, asked: Question, out: Path | None = None, summary: Path | None = None
) -> tuple[list[str], int]:
    """Judge a cutover; return what to print, line by line, and the exit code: 0 pass, 10 fail, 11 undecided.

    `brought` is the folder of a pair, or files to make one of. Writes into `out` and appends to `summary` only if they
    are given. Raises what an import, an export or a search raises, and TableError for what cannot be judged or written.
    """
    if out is not None:
        check_result_folder(out, "cutover", FILES)
    if summary is not None:
        _check_summary(summary, _inputs(brought, asked.map))
    with opened(brought) as (folder, notes):
        found = judge_cutover(judged_map(folder, asked), asked)
        inputs = {"pair_sha256": pair_digest(folder), "vectors": vectors_digests(folder)}
    lines = [*sentences(TEMPLATE, "lines", found), *(f"note: {note}" for note in notes)]
    if out is not None:
        content = {"inputs": inputs, "notes": notes, **found.as_record(), "answer": lines}
        with result_folder(out, "cutover", content, FILES) as building:
            text = render("cutover_report.md.j2", found=found, lines=lines, inputs=inputs)
            (building / "report.md").write_text(text, encoding="utf-8")
        lines.append(f"report.md and verdict.json written into {out}")
    if summary is not None:
        _append(summary, render("cutover_summary.md.j2", found=found, lines=lines, notes=notes))
        lines.append(f"summary appended to {summary}")
    return [visible(line) for line in lines], EXIT_CODES[found.verdict.kind]


def judge_cutover(judged: Judged, asked: Question) -> Cutover:
    """Return the answer on a map in a deployment, with the whole corpus as the index. Raises TableError."""
    task = asked_by(judged.pair, judged.asking)
    found = judged.find(task)
    ceiling, raw = search_task(task, task.teacher), judged.find_without_map(task)
    over = over_no_map(found, raw, task)
    return Cutover(
        asked=asked,
        verdict=_verdict(found, ceiling, task, asked.keep),
        basis=judged.pair.relevance,
        index_size=task.index_size,
        no_map=float(np.nanmean(raw.ndcg)),
        over=over,
        against_no_map=_against(over, over_no_map(raw, found, task)),
        about=judged.about,
        held_out=judged.held_out,
        search=judged.search,
    )


def _verdict(found: Search, ceiling: Search, task: SearchTask, keep: float) -> RetentionVerdict:
    known = ~np.isnan(ceiling.ndcg)
    teacher = _frame(ceiling.ndcg[known])
    mapped = _frame(found.ndcg[known]).assign(group=task.groups[known])
    try:
        return judge_retention(mapped, teacher, keep)
    except ValueError as error:
        remedy = "bring queries of more groups" if "fewer than" in str(error) else "check labels or judgements"
        raise TableError(f"the cutover cannot be judged: {error}; {remedy}") from None


def _frame(values: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame({"item": np.arange(len(values)), "value": values})


def _against(over: Difference, under: Difference) -> Literal["better", "worse", "not shown"]:
    if over.lower_bound is not None and over.lower_bound > 0:
        return "better"
    return "worse" if under.lower_bound is not None and under.lower_bound > 0 else "not shown"


def _inputs(brought: Path | Request, of_map: Path | None) -> list[Path]:
    """The files that a cutover is judged on, but for those of a pair."""
    found = []
    if isinstance(brought, Request):
        found = [taken_apart(given)[0] for given in brought.vectors.values()] + brought.named.files
    if of_map is not None:
        maps = [of_map / name for name in (MATRIX, ARRAYS)] if of_map.is_dir() else [of_map]
        found += [
            path.with_suffix(suffix) for path in maps for suffix in (path.suffix, ".json", ".npy", ".safetensors")
        ]
    return found


def _check_summary(path: Path, inputs: Sequence[Path]) -> None:
    """Raise TableError for a file that cannot be appended to or made, before anything is measured."""
    folder = path.absolute().parent
    if path.exists() and any(other.exists() and path.samefile(other) for other in inputs):
        raise _not_appended(path, "it is one of the files to judge")
    try:
        refuse_pair(folder, TableError)
    except TableError:
        raise _not_appended(path, "data of a pair are there") from None
    if path.is_dir() or not folder.is_dir():
        raise _not_appended(path, "it is a folder" if path.is_dir() else f"{folder} is no folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        fault = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        raise _not_appended(path, said(fault), remedy_of(fault, OTHER))


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as fault:
        raise _not_appended(path, said(fault), remedy_of(fault, OTHER)) from None


def _not_appended(path: Path, cause: str, remedy: str = OTHER) -> TableError:
    return TableError(f"{path}: the summary cannot be appended to it ({cause}); {remedy}")
