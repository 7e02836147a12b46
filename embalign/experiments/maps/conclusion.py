"""What the bake-off's conclusion says: the values that conclusion.md.j2 needs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from embalign.escaping import markdown
from embalign.experiments.maps import protocol
from embalign.experiments.maps.protocol import METRIC, System
from embalign.experiments.templates import render
from embalign.verdicts.metrics import PRIMARY, RETRIEVAL, label

# What a text may call things that have a digit in their name.
CUT_OFFS = [label(metric).split()[-1] for metric in (PRIMARY, RETRIEVAL)]


def conclude(folder: Path, about: Mapping[str, Any], bind: Callable[..., str]) -> tuple[str, str, list[str]]:
    """Return title, text and names with digits, from the raw data in `folder` and the run's provenance."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    text = render(
        "maps/conclusion.md.j2",
        about=about,
        bind=bind,
        bakeoffs=verdict["deployments"],
        has=lambda target: (folder / target).exists(),
        metric=METRIC,
        protocol=protocol,
        words=lambda found: System(found["family"], found["search"]).words,
    )
    return f"Which map? {markdown(about['pair'])}", text, CUT_OFFS
