"""What experiment 2's conclusion says: the values that conclusion.md.j2 needs."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from embalign.escaping import markdown
from embalign.experiments.spectral.protocol import BASELINE, MEMO, NAMES, PHASE, TREATMENT
from embalign.experiments.templates import render
from embalign.verdicts.metrics import PRIMARY, RETRIEVAL, label

# What a text may call things that have a digit in their name.
CUT_OFFS = [label(metric).split()[-1] for metric in (PRIMARY, RETRIEVAL)]


def conclude(folder: Path, about: Mapping[str, Any], bind: Callable[..., str]) -> tuple[str, str, list[str]]:
    """Return title, text and names with digits, from the raw data in `folder` and the run's provenance."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    tested = [
        {**contrast, "path": f"contrasts/{place}", "name": NAMES[contrast["metric"]], "words": _words(contrast)}
        for place, contrast in enumerate(verdict["contrasts"])
        if contrast["control"] == BASELINE
    ]
    contrasts = [c for c in tested if c["treatment"] == TREATMENT]
    evidence = [c for c in contrasts if not c["inert"]]
    memo = [c for c in evidence if c["convention"] == MEMO]
    text = render(
        "spectral/conclusion.md.j2",
        about=about,
        bind=bind,
        contrasts=contrasts,
        phase=[c for c in tested if c["treatment"] == PHASE.arm and c["metric"] == PRIMARY],
        starts=_at_starts(memo),
        control=verdict["controls"]["positive"],
        fatal=any(warning["fatal"] for warning in verdict["warnings"]),
        has=lambda target: (folder / target).exists(),
        inert=any(c["inert"] for c in contrasts),
        better=any(c["kind"] == "better" for c in evidence),
        helps=any(c["kind"] == "better" and c["put_down_to"] == "spectral" for c in contrasts),
        memo=_memo(memo),
        others=_others([c for c in evidence if c["convention"] != MEMO]),
        uses=verdict["deployments"],
    )
    return f"Does the spectral loss help? {markdown(about['pair'])}", text, CUT_OFFS


def _words(contrast: Mapping[str, Any]) -> str:
    """Return a contrast's verdict as the report says it."""
    if contrast["inert"]:
        return "inert"
    return f"{contrast['below_margin']}, below the margin" if contrast["below_margin"] else str(contrast["kind"])


def _at_starts(memo: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the memo's loss at its largest λ on the primary metric, once for each start."""
    primary = sorted((c for c in memo if c["metric"] == PRIMARY), key=lambda contrast: contrast["weight"])
    return list({c["init"]: c for c in primary}.values())


def _memo(memo: Sequence[Mapping[str, Any]]) -> str:
    """Return what the comparisons at the memo's λ come to: equivalent, below the margin, not every, or not measured."""
    if not memo:
        return "not measured"
    if any(c["kind"] != "equivalent" for c in memo):
        return "not every"
    return "below the margin" if any(c["below_margin"] for c in memo) else "equivalent"


def _others(others: Sequence[Mapping[str, Any]]) -> str:
    """Return what a term at other settings does: spectral, shared, not shown, nothing, or not measured."""
    if not others:
        return "not measured"
    changes = [c for c in others if c["kind"] in ("better", "worse")]
    if any(c["put_down_to"] == "spectral" for c in changes):
        return "harm" if all(c["kind"] == "worse" for c in changes if c["put_down_to"] == "spectral") else "gain"
    if changes:
        return "shared"
    return "not shown" if any(c["kind"] == "inconclusive" for c in others) else "nothing"
