"""Experiment 2's artifacts: CSVs, figures, verdict.json and report.md; the prose is in `report.md.j2`."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embalign.alignment.config import STARTS
from embalign.alignment.setting import Setting
from embalign.evaluation.deployment import DEPLOYMENTS, QUERY_ADAPTER
from embalign.evaluation.results import Results
from embalign.experiments.grid import rerun_command
from embalign.experiments.spectral import protocol
from embalign.experiments.spectral.figures import CURVES, draw_differences, draw_spectrum
from embalign.experiments.spectral.findings import findings
from embalign.experiments.spectral.protocol import BASELINE
from embalign.experiments.tables import cells_of, failures, mean_over_groups, widen, write_by_label, write_csv
from embalign.experiments.templates import render, sentences
from embalign.verdicts.basis import BY_TEACHER, basis_of
from embalign.verdicts.contrasts import by_setting, by_strength, find
from embalign.verdicts.metrics import ALIGNMENT, BY_DEPLOYMENT, METRICS, PRIMARY, PUBLISHED, RETRIEVAL
from embalign.verdicts.sanity import suspect
from embalign.verdicts.statistics import student_t
from embalign.verdicts.use import NO_MAP, REFERENCES, judge_uses

SPECTRAL = ("spec_cosine", "spec_mse", "spectral_excess", "gradient_ratio", "weight", "output_norm", "fft_norm", "draw")
SETTING = ("arm", "convention", "lambda", "init")
BY_STRENGTH = ("arm", "init", "convention", "lambda")
COLUMNS = ("pair", *SETTING, "seed", *PUBLISHED, *SPECTRAL)
SHOWN = (
    ALIGNMENT,
    "spearman",
    RETRIEVAL,
    "gate_augrc",
    "spec_cosine",
    "spectral_excess",
    "gradient_ratio",
    "output_norm",
)


def write_report(results: Mapping[str, Results], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figures, verdict.json and report.md into `folder`; return the answer, line by line."""
    rows = cells_of(results, "spectral_ab", (*PUBLISHED, *SPECTRAL))
    control = cells_of(results, "positive_control", ("arm", "draw", "seed", PRIMARY, ALIGNMENT))
    fft_norm = rows.frame["convention"].map(lambda name: "none" if name == "none" else Setting.named(name, 0).fft_norm)
    write_csv(results["spectral_ab"].frame.assign(fft_norm=fft_norm), folder / "spectral_ab.csv", COLUMNS)
    write_by_label(rows, folder / "spectral_ab_by_label.npz")
    if "positive_control" in results:
        write_csv(results["positive_control"].frame, folder / "positive_control.csv", ("pair", "arm", "draw", "seed"))

    measured = rows.ok()
    found = findings(protocol.judge(measured), protocol.judge_controls(control), measured)
    draw_differences(found.contrasts, folder / "spectral_ab.png")
    has_spectra = _write_spectra(results.get("spectrum"), folder)
    baseline = measured.where(arm=BASELINE).where(init=_first_start(measured))
    references = {name: measured.where(arm=name) for name in REFERENCES}
    basis = basis_of(about)
    suspicions = suspect(baseline, references, about["data"].get("rows"), basis)
    fatal = any(suspicion.fatal for suspicion in suspicions)
    uses = {} if fatal else judge_uses(baseline, references)[0]
    answer = sentences("spectral/answer.md.j2", "lines", found, uses, suspicions, protocol, basis == BY_TEACHER)
    payload = {
        "answer": " ".join(answer),
        "relevance": basis,
        "warnings": [dataclasses.asdict(suspicion) for suspicion in suspicions],
        "deployments": {name: use.as_record() for name, use in uses.items()},
        "controls": dataclasses.asdict(found.controls),
        "contrasts": found.records(),
    }
    (folder / "verdict.json").write_text(json.dumps(payload, indent=2) + "\n", encoding="ascii")
    report = render(
        "spectral/report.md.j2",
        about=about,
        answer=answer,
        found=found,
        protocol=protocol,
        metrics=METRICS,
        by_deployment=BY_DEPLOYMENT,
        failed=failures(results),
        has_spectra=has_spectra,
        measured=measured,
        mean_of=functools.partial(mean_over_groups, digits=3),
        uses=uses,
        hubs=_never_returned(measured, baseline),
        first_start=_first_start(measured),
        of_control=control.ok().frame,
        items=max((contrast.verdict.items for contrast in found.contrasts), default=0),
        against_baseline=by_setting([c for c in found.contrasts if c.control == BASELINE]),
        against_controls=by_setting([c for c in found.contrasts if c.control != BASELINE]),
        find=functools.partial(find, found.contrasts),
        starts=STARTS,
        settings=by_strength(measured.frame[list(BY_STRENGTH)].itertuples(index=False, name=None)),
        student_t=student_t,
        shown=SHOWN,
        command=rerun_command("spectral", about),
    )
    (folder / "report.md").write_text(report, encoding="utf-8")
    return "\n".join(answer)


def _write_spectra(curves: Results | None, folder: Path) -> bool:
    """Write spectrum.csv and draw it; return whether every curve of the figure was measured."""
    if curves is None or not {"bands", "groups"} <= set(curves.tables):
        return False
    wide = widen(curves.frame, curves.tables["bands"], ["band"], {"amplitude": "band_{:02d}"})
    groups = {"cosine": "cosine_{:02d}", "spec_cosine": "spec_cosine_{:02d}"}
    wide = widen(wide, curves.tables["groups"], ["group"], groups)
    write_csv(wide, folder / "spectrum.csv", ("pair", "curve", "convention", "lambda", "init", "seed"))
    complete = set(CURVES) <= set(curves.ok().frame["curve"])
    if complete:
        draw_spectrum(curves.ok(), folder / "spectrum.png")
    return complete


def _first_start(measured: Results) -> str:
    """The start of the baseline that is held against no map: the first of the grid, which is the recipe's."""
    return next(iter(measured.where(arm=BASELINE).frame["init"]), "none")


def _never_returned(measured: Results, baseline: Results) -> list[str]:
    """The share of the index that no query finds: of the baseline in each deployment, of teacher and raw draft."""
    shown = [(f"{use.label} of the baseline map", baseline.frame, use.name) for use in DEPLOYMENTS.values()]
    others = (("teacher", "teacher"), ("raw draft", NO_MAP))
    shown += [(words, measured.where(arm=arm).frame, QUERY_ADAPTER) for words, arm in others]
    found = [(words, frame, f"{use}_never_returned") for words, frame, use in shown]
    return [f"{words} {frame[column].mean():.2f}" for words, frame, column in found if len(frame)]
