"""The bake-off's artifacts: CSVs, figure, verdict.json and report.md; the prose is in `report.md.j2`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embalign.evaluation.results import STATUS, Results
from embalign.experiments.grid import rerun_command
from embalign.experiments.maps import protocol
from embalign.experiments.maps.figures import draw
from embalign.experiments.maps.protocol import METRIC, Bakeoff, Judgement, Row
from embalign.experiments.tables import as_json, cells_of, failures, save_by_label, write_csv
from embalign.experiments.templates import render, sentences
from embalign.maps.choose import MOST_SEARCHED
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS
from embalign.maps.searches import SEARCHES, column
from embalign.maps.training import TRIES
from embalign.verdicts.basis import basis_of
from embalign.verdicts.metrics import PUBLISHED, RETRIEVAL
from embalign.verdicts.statistics import StudentT

KEYS = ("pair", "family", "deployment", "search", "ratio", "n_train", "n_over_d", "seed")
# By deployment and search; `inner` is the nDCG@10 on inner groups that a choice rests on.
METRICS = (
    *(METRIC, RETRIEVAL, "recall_at_5", "recall_at_10", "mrr", "mate_" + RETRIEVAL, "retention_ndcg_at_10"),
    *("never_returned", "largest_hub", "inner"),
)
COSTS = ("bytes", "multiplications")  # by deployment


def write_report(results: Mapping[str, Results], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figure, verdict.json and report.md into `folder`; return the answer, line by line."""
    rows = cells_of(results, "map_bakeoff", ("family", "ratio", "n_train", "n_over_d", "seed"))
    references = cells_of(results, "references", ("reference", "queries", "index_size", "effective_groups", *PUBLISHED))
    _write_rows(rows, folder)
    if "references" in results:
        write_csv(results["references"].frame, folder / "references.csv", ("pair", "reference", "seed"))
    measured = rows.ok()
    if "tries" in measured.tables:
        write_csv(measured.table("tries").assign(status="ok"), folder / "tries.csv", KEYS[:2])
    judgement = protocol.judge(measured, references.ok(), about["data"].get("rows"), basis_of(about))
    answer = sentences("maps/answer.md.j2", "lines", judgement, protocol)
    draw(judgement, measured, folder / "map_bakeoff.png")
    (folder / "verdict.json").write_text(_payload(answer, judgement), encoding="ascii")
    report = render(
        "maps/report.md.j2",
        about=about,
        answer=answer,
        judgement=judgement,
        protocol=protocol,
        families=[FAMILIES.get(name, _own(name)) for name in dict.fromkeys(measured.frame["family"])],
        known=tuple(FAMILIES),
        tries=TRIES,
        searched=MOST_SEARCHED,
        ratios=sorted(set(measured.frame["ratio"])),
        by_share=_by_share(measured, judgement),
        sizes=references.ok().frame[["queries", "index_size", "effective_groups"]].max().dropna().to_dict(),
        failed=failures(results),
        command=rerun_command("maps", about),
    )
    (folder / "report.md").write_text(report, encoding="utf-8")
    return "\n".join(answer)


def _write_rows(rows: Results, folder: Path) -> None:
    """Write map_bakeoff.csv, a row for each cell, deployment and search, and nDCG@10 by label in the same rows."""
    parts, values = [], []
    for deployment in DEPLOYMENTS:
        for how in SEARCHES:
            found = {name: rows.frame.get(column(deployment, how, name)) for name in METRICS}
            found |= {name: rows.frame.get(f"{deployment}_{name}") for name in COSTS}
            keys = [name for name in (*KEYS, "cosine_mean", STATUS) if name in rows.frame]
            found["n_train"] = protocol.pairs_of(rows.frame, deployment)
            found["n_over_d"] = found["n_train"] / (rows.frame["n_train"] / rows.frame["n_over_d"]).round()
            parts.append(rows.frame[keys].assign(deployment=deployment, search=how, **found))
            values.append(rows.values_by_label(column(deployment, how, METRIC)))
    write_csv(pd.concat(parts, ignore_index=True), folder / "map_bakeoff.csv", KEYS)
    widest = max(each.shape[1] for each in values)
    padded = [each if each.shape[1] == widest else np.full((len(each), widest), np.nan) for each in values]
    save_by_label(folder / "map_bakeoff_by_label.npz", {METRIC: np.concatenate(padded)})


def _own(name: str) -> dict[str, str]:
    return {"name": name, "source": "of your own"}


def _by_share(measured: Results, judgement: Judgement) -> dict[str, pd.DataFrame]:
    """Mean nDCG@10 of each system by share, systems in the order of the verdict."""
    found = {}
    for deployment, bakeoff in judgement.bakeoffs.items():
        lines = {}
        for row in bakeoff.rows:
            cells = measured.where(family=row.system.family).frame
            lines[row.system] = cells.groupby("ratio")[column(deployment, row.system.search, METRIC)].mean()
        found[deployment] = pd.DataFrame(lines).T
    return found


def _payload(answer: list[str], judgement: Judgement) -> str:
    content = {
        "answer": " ".join(answer),
        "relevance": judgement.basis,
        "warnings": [dataclasses.asdict(suspicion) for suspicion in judgement.suspicions],
        "deployments": {name: _of_bakeoff(found) for name, found in judgement.bakeoffs.items()},
        "unjudged": judgement.reasons,
        "mean_cosine": judgement.cosines,
    }
    return as_json(content)


def _of_bakeoff(found: Bakeoff) -> dict[str, Any]:
    picked = found.picked
    return {
        "no_map": found.no_map,
        "no_map_csls": found.no_map_csls,
        "teacher": found.teacher,
        "alpha": found.best.alpha,
        "cannot_be_told_from_the_best": [row.system._asdict() for row in found.members],
        "picked": picked
        and {
            "systems": [system._asdict() for system in picked.systems],
            METRIC: picked.value,
            "retention": picked.retention,
            "minus_memo": _of_difference(picked.memo),
            "minus_no_map": _of_difference(picked.no_map),
        },
        "systems": [_of_row(row) for row in found.rows],
    }


def _of_row(row: Row) -> dict[str, Any]:
    return row.system._asdict() | {
        METRIC: row.value,
        "in_set": row.in_set,
        "minus_best": _of_difference(row.to_best),
        "minus_no_map": _of_difference(row.no_map),
        "better_than_no_map": row.answer,
        "minus_ridge": _of_difference(row.ridge),
        "retention": row.retention,
        "enough_ratio": row.enough,
        "pairs": row.pairs,
        "bytes": row.bytes,
        "multiplications": row.multiplications,
        "inner": row.inner,
    }


def _of_difference(found: StudentT | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"difference": found.mean, "interval": found.interval(), "lower_bound": found.lower_bound()}
