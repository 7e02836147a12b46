"""Turn a run into files: artifacts at their place from a complete grid only, rows so far beside it from a part.

Files are built in a hidden folder next to their place and moved in one by one with `os.replace`, so a reader sees the
old or the new file and never half of one.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embalign.durable import move_all, own_folder
from embalign.errors import PairError
from embalign.lazy import lazy
from embalign.pairs.provenance import file_digest
from embalign.pairs.texts import ROLES
from embalign.readers import read_json
from embalign.runs import provenance
from embalign.runs.run import Run

write_csv = lazy("embalign.experiments.tables").write_csv

MISSING_SHOWN = 8


def publish(run: Run) -> list[str]:
    """Write the artifacts of a run and return what to tell the user.

    Whether the run covers the grid is decided by the cells with an outcome against the declared grid alone.
    """
    if run.missing:
        return _publish_part(run)
    name, canonical = f"{run.experiment.name} on {run.pair}", report_folder(run)
    if len(run.failed) == len(run.outcomes):
        left = f"artifacts in {_shown(canonical, run.root)} are unchanged"
        return [f"{name}: none of its cells could be measured; {left}"]
    base, about = run.reports_base(), provenance.describe(run)
    aside = canonical.parent != base
    if aside:
        own_folder(canonical.parent)
    canonical.mkdir(parents=True, exist_ok=True)
    unverified = _unverified(about["data"])
    with tempfile.TemporaryDirectory(dir=base, prefix=".building-") as building:
        headline = run.experiment.report(run.results(), about, Path(building))
        if unverified:
            with (Path(building) / "report.md").open("a", encoding="utf-8") as report:
                report.write(f"\nNote: {unverified}.\n")
        about["artifacts"] = {path.name: file_digest(path) for path in sorted(Path(building).iterdir())}
        (Path(building) / "provenance.json").write_text(json.dumps(about, indent=2) + "\n")
        move_all(Path(building), canonical)
    partial = _partial_folder(run)
    stale = partial.exists()
    shutil.rmtree(partial, ignore_errors=True)
    failed = f"; {len(run.failed)} cell(s) failed, see the report" if run.failed else ""
    return [
        *_headlines(name, headline.split("\n")),
        f"  {len(run.cells)} cells, report: {_shown(canonical / 'report.md', run.root)}{failed}",
        *([f"  the full report in {_shown(base / run.experiment.name, run.root)} is unchanged"] if aside else []),
        *([f"  {unverified}"] if unverified else []),
        *([f"  removed the rows of an earlier partial run from {_shown(partial, run.root)}"] if stale else []),
    ]


def _headlines(name: str, answer: list[str]) -> list[str]:
    """The answer after the run's name, or below it where it has several lines."""
    return [f"{name}: {answer[0]}"] if len(answer) == 1 else [f"{name}:", *(f"  {line}" for line in answer)]


def report_folder(run: Run) -> Path:
    """Return where the artifacts of a complete run belong: a quick one never replaces those of a full one."""
    base, name = run.reports_base(), run.experiment.name
    try:
        there = read_json(base / name / "provenance.json", PairError, "", dict[str, Any]).get("profile")
    except PairError:  # not the record of a full run
        there = run.profile
    return base / "quick" / name if (run.profile, there) == ("quick", "full") else base / name


def _publish_part(run: Run) -> list[str]:
    partial = _partial_folder(run)
    own_folder(partial.parent)
    partial.mkdir(exist_ok=True)
    for name, results in run.results().items():
        if len(results.frame):
            write_csv(results.frame, partial / f"{name}.csv")
    (partial / "missing.txt").write_text("".join(f"{cell.table} {cell.id}\n" for cell in run.missing))
    shown = ", ".join(cell.id for cell in run.missing[:MISSING_SHOWN])
    more = ", ..." if len(run.missing) > MISSING_SHOWN else ""
    return [
        f"{run.experiment.name} on {run.pair}: partial, {len(run.missing)} of {len(run.cells)} cells have no row in "
        f"this run ({shown}{more})",
        f"  rows so far: {_shown(partial, run.root)}; artifacts in {_shown(report_folder(run), run.root)} are "
        "unchanged",
    ]


def _partial_folder(run: Run) -> Path:
    return run.reports_base() / ".partial" / run.experiment.name


def _unverified(data: Mapping[str, Any]) -> str:
    roles = [role for role in ROLES if (data.get(role) or {}).get("verified") is False]
    if not roles:
        return ""
    return f"embeddings of {' and '.join(roles)} come from an unverified server: no digest pins the model's weights"


def _shown(path: Path, root: Path) -> str:
    path = path.absolute()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
