"""What experiment 2's conclusion says: the values that conclusion.md.j2 needs."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from embalign.alignment.setting import Setting
from embalign.experiments.spectral.protocol import NAMES
from embalign.experiments.templates import render
from embalign.verdicts.metrics import PRIMARY, RETRIEVAL, label

# What a text may call things that have a digit in their name.
CUT_OFFS = [label(metric).split()[-1] for metric in (PRIMARY, RETRIEVAL)]


def conclude(folder: Path, about: Mapping[str, Any], bind: Callable[..., str]) -> tuple[str, str, list[str]]:
    """Return title, text and names with digits, from the raw data in `folder` and the run's provenance."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    contrasts = [
        {**contrast, "path": f"contrasts/{place}", "name": NAMES[contrast["metric"]]}
        for place, contrast in enumerate(verdict["contrasts"])
        if (contrast["treatment"], contrast["control"]) == ("spectral", "baseline")
    ]
    memo = {c["kind"] for c in contrasts if Setting.named(c["convention"], c["weight"]).by == "lambda"}
    text = render(
        "spectral/conclusion.md.j2",
        about=about,
        bind=bind,
        contrasts=contrasts,
        control=verdict["controls"]["positive"],
        fatal=any(warning["fatal"] for warning in verdict["warnings"]),
        has=lambda target: (folder / target).exists(),
        helps=any(c["kind"] == "better" and c["put_down_to"] == "spectral" for c in contrasts),
        memo_equivalent=memo == {"equivalent"},
        stronger=_stronger(contrasts),
        uses=verdict["deployments"],
    )
    return f"Does the spectral loss help? {about['pair']}", text, CUT_OFFS


def _stronger(contrasts: Sequence[Mapping[str, Any]]) -> str:
    """Return what a stronger term does: does harm, is shared, not shown, or nothing."""
    changes = [c for c in contrasts if c["kind"] in ("better", "worse")]
    if any(c["put_down_to"] == "spectral" for c in changes):
        return "harm"
    if changes:
        return "shared"
    return "not shown" if any(c["kind"] == "inconclusive" for c in contrasts) else "nothing"
