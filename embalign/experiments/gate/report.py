"""The gate's report: which outputs may be trusted, at which threshold, with what promise."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.experiments.gate.figures import draw
from embalign.experiments.gate.tables import (
    CURVE,
    SCORES,
    SPREAD_NAMES,
    SPREADS,
    TARGETS,
    accept_curves,
    arm_table,
    certified,
    lacking,
    named_maps,
    outputs_of,
    ratio_table,
    score_table,
    style_table,
    threshold_table,
    without_curves,
)
from embalign.experiments.spectral.judgement import Contrast, judge_contrasts
from embalign.experiments.tables import markdown, percent, rerun_command, write_by_label, write_csv

FIRST = ("pair", "ratio", "arm", "convention", "lambda", "seed", "accuracy", "teacher_agreement")


def write_report(frames: Mapping[str, pd.DataFrame], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figure, verdict.json and report.md into `folder`; return the one-line answer."""
    maps = named_maps(frames["gate_ratio"], frames["gate_arm"], frames["gate_deployed"])
    curves = accept_curves(maps)
    write_csv(curves, folder / "gate_curve.csv", (*CURVE, "precision"))
    for name, frame in maps.items():
        write_csv(without_curves(frame).drop(columns="map"), folder / f"gate_{name}.csv", FIRST)
    write_by_label(maps["arm"], folder / "gate_arm_by_label.npz")
    measured = {name: frame[frame["status"] == "ok"] for name, frame in maps.items()}
    if measured["exported"].empty:
        words = "No threshold: the exported map could not be measured."
        report = f"# The output-level gate: {about['pair']}\n\n**{words}**\n\n{_failed(maps)}\n"
        (folder / "report.md").write_text(report, encoding="utf-8")
        return words
    exported = measured["exported"].iloc[0]
    write_csv(outputs_of(exported), folder / "gate_outputs.csv")
    contrasts = _over_styles(measured["arm"])
    draw(curves[curves["status"] == "ok"], exported, contrasts, folder / "gate_curve.png")
    words = f"{_threshold_answer(exported)} {_style_answer(contrasts)}"
    payload = {
        "answer": words,
        "score": exported["score"],
        "targets": {f"{target / 100:.2f}": _machine_readable(exported, target) for target in TARGETS},
        "styles": [dataclasses.asdict(found) | {"kind": found.kind} for found in contrasts],
    }
    (folder / "verdict.json").write_text(json.dumps(payload, indent=2) + "\n", encoding="ascii")
    report = _report(measured, exported, contrasts, words, about, _failed(maps))
    (folder / "report.md").write_text(report, encoding="utf-8")
    return words


def _report(
    measured: Mapping[str, pd.DataFrame],
    exported: pd.Series,
    contrasts: list[Contrast],
    words: str,
    about: Mapping[str, Any],
    failed: str,
) -> str:
    score, seeds = exported["score"], len(about["seeds"])
    baseline = measured["arm"][measured["arm"]["arm"] == "baseline"]
    outputs = outputs_of(exported)
    groups, accuracy = outputs["label"].nunique(), percent(exported["accuracy"])
    parts = [
        f"# The output-level gate: {about['pair']}",
        f"**{words}**",
        "For each output the gate decides: accept what draft and map give, or fall back to the teacher. An output is "
        "correct if the mapped query's nearest neighbour among the other held-out items shares its label; without a "
        f"gate {accuracy} are.",
        "![Accept curves of the gate](gate_curve.png)",
        "## The threshold to deploy",
        markdown(threshold_table(exported)),
        f"For the map that `python -m embalign.deploy.map` writes, on {len(outputs)} held-out outputs of {groups} "
        "label groups. The promise: with 95 % confidence over the draw of these outputs, at most the target's share is "
        "wrong among outputs at the threshold or above. Thresholds are tested from the strictest on by Clopper-Pearson "
        "bounds; outputs of one label group are right or wrong together, so they count as fewer. The score, "
        f"{SCORES[score]}, was chosen on the training items. `More accepts`: further calibration outputs at or above "
        "a threshold, if their risk is that of the best seen so far. Check: thresholds certified on four fifths of "
        "the label groups, held to the fifth left out; wrong among all so accepted, and how many of five certified.",
        "How often the promise breaks is measured in `docs/calibration/gate.md`.",
        "## Which score?",
        markdown(score_table(exported, baseline)),
        "Lower is better. Top-1 similarity and margin are known without the teacher. The cosine between the mapped "
        "vector and the teacher's own, which needs the teacher, is drawn as an oracle of alignment: it says how near "
        "the vector came, not whether its neighbour is right. AURC: mean selective risk over coverages; E-AURC: that "
        "minus the best possible for these outcomes; AUGRC: area under the share of all outputs accepted and wrong.",
        "## By share of training data",
        f"Random selection, fixed steps, {seeds} seeds, score {score}. Mean ± half the 95 % t interval over seeds; "
        "certified: seeds whose map has a certified threshold, and their mean coverage.",
        markdown(ratio_table(measured["ratio"], score)),
        "## By loss term",
        f"Whole pool, {seeds} seeds, score {score}; names as in the spectral report.",
        markdown(arm_table(measured["arm"], score)),
        "## Does the spectral loss steady gate and retrieval over surface styles?",
        *_style_parts(contrasts, baseline, seeds),
        "## What this rests on",
        "- The promise is for queries on topics drawn like the held-out label groups and an index like theirs. A style "
        "that the index does not have is no such query: see the table above for what upper case or a full stop does.\n"
        "- A spread over styles also shrinks where a metric falls in every style; see the accuracy of the arms.\n"
        "- Correct means same label, a strict stand-in for useful.\n"
        "- Spread over styles has a 95 % interval over seeds and label groups; the styles themselves are fixed.",
    ]
    if failed:
        parts.append(failed)
    parts += [
        "## Run it again",
        f"```\n{rerun_command('gate', about)}\n```",
        "`gate_curve.csv` holds every curve, `gate_outputs.csv` every output of the exported map, `provenance.json` "
        "names data, models, code and versions.",
    ]
    return "\n\n".join(parts) + "\n"


def _threshold_answer(exported: pd.Series) -> str:
    score, found, open_targets = exported["score"], [], []
    for target in TARGETS:
        threshold, coverage = certified(exported, score, target)
        if threshold is None:
            more = lacking(exported, score, target)
            words = "no number of accepts would do" if more is None else f"at least {more} more accepts"
            open_targets.append(f"{target} % ({words})")
        else:
            found.append(f"{target} % at {score} ≥ {threshold:.4f}, which accepts {percent(coverage)}")
    parts = []
    if found:
        parts.append(f"With 95 % confidence the risk is at most {'; '.join(found)}.")
    if open_targets:
        parts.append(f"Not certifiable: a risk of {', '.join(open_targets)}.")
    return " ".join(parts)


def _over_styles(arms: pd.DataFrame) -> list[Contrast]:
    if not set(SPREADS) <= set(arms.columns):
        return []
    return judge_contrasts(arms, SPREADS, higher_is_better=False)


def _style_answer(contrasts: list[Contrast]) -> str:
    found = [c for c in contrasts if (c.treatment, c.control) == ("spectral", "baseline")]
    if not found:
        return "This pair has no style variants, so nothing is said about styles."
    names = {"better": "steadier", "worse": "less steady"}
    kinds = [c.kind for c in found]
    counts = ", ".join(f"{kinds.count(kind)} {names.get(kind, kind)}" for kind in dict.fromkeys(kinds))
    beyond = [
        c
        for c in found
        if c.kind == "better"
        and all(
            other.kind == "better"
            for other in contrasts
            if (other.treatment, other.convention, other.weight, other.metric)
            == ("spectral", c.convention, c.weight, c.metric)
        )
    ]
    verdict = (
        "The spectral loss steadies gate or retrieval over surface styles, beyond its controls"
        if beyond
        else "The spectral loss is not shown to steady gate or retrieval over surface styles beyond its controls"
    )
    return f"{verdict}: of {len(found)} comparisons with the baseline, {counts}."


def _style_parts(contrasts: list[Contrast], baseline: pd.DataFrame, seeds: int) -> list[str]:
    if not contrasts:
        return ["This pair has no style variants. Items with `style` and `base` in the corpus would be measured here."]
    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    for found in contrasts:
        low, high = found.verdict.interval
        key = (found.treatment, found.control, found.convention, found.weight)
        line = lines.setdefault(
            key,
            {"arm": key[0], "against": key[1], "convention": key[2], "lambda": f"{found.weight:g}"},
        )
        shown = f"{found.verdict.difference:+.4f} ({low:+.4f}, {high:+.4f}) {found.kind}"
        line[SPREAD_NAMES[found.metric]] = shown
    return [
        "The memo hopes so. Every held-out content that has all styles and another item of its label "
        f"({baseline['styled_items'].iloc[0]:.0f} in {baseline['styled_groups'].iloc[0]:.0f} label groups) is asked in "
        "each style, of the plain items, so the figures for `plain` are those of these contents; accept rates are at "
        "the threshold that accepts half of the plain queries. Baseline:",
        markdown(style_table(baseline)),
        f"Difference of the standard deviation over styles, paired over {seeds} seeds and the label groups, 95 % "
        f"intervals, Holm over lambda x metric within a contrast. Equivalent: within {SPREADS['spread_mrr']:g}; "
        "better: steadier.",
        markdown(pd.DataFrame(lines.values()).fillna("")),
    ]


def _failed(maps: Mapping[str, pd.DataFrame]) -> str:
    listed = [
        f"- {name}: {row['arm']}, ratio {row['ratio']:g}, {row['convention']}, lambda {row['lambda']:g}, seed "
        f"{row['seed']}: {row['status']}"
        for name, frame in maps.items()
        for _, row in frame[frame["status"] != "ok"].iterrows()
    ]
    return "## Failed cells\n\n" + "\n".join(listed) if listed else ""


def _machine_readable(exported: pd.Series, target: int) -> dict[str, Any]:
    threshold, coverage = certified(exported, exported["score"], target)
    return {
        "threshold": threshold,
        "coverage": coverage,
        "lacking_accepts": lacking(exported, exported["score"], target),
    }
