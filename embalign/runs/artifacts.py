"""Turn the rows of a session into files: canonical ones from a complete grid only, partial ones beside.

Files are built in a hidden folder next to their place and moved in one by one with `os.replace`, so a reader sees the
old or the new file and never half of one.
"""

from __future__ import annotations

import json
import pkgutil
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embalign.durable import move_all, own_folder
from embalign.experiments.grid import Cell, Experiment, Row
from embalign.runs import provenance

if TYPE_CHECKING:
    import pandas as pd

MISSING_SHOWN = 8


def publish(
    experiment: Experiment,
    folder: Path,
    root: Path,
    *,
    rows: Mapping[Cell, Row],
    declared: Sequence[Cell],
    profile: str,
    arguments: Sequence[str],
    reports_dir: Path | None,
    state: Mapping[str, Any],
) -> list[str]:
    """Write an experiment's artifacts for the pair in `folder` and return what to tell the user.

    `state` is that of the checkout over the whole run, as :func:`embalign.runs.provenance.commit` tells it.
    Whether the run is complete is decided by the rows present against the declared grid alone.
    """
    from embalign.experiments.tables import write_csv

    base = reports_base(folder, reports_dir)
    canonical, partial = report_folder(base, experiment.name, profile), base / ".partial" / experiment.name
    frames = collect_frames(experiment, rows, declared)
    missing = [cell for cell in declared if cell not in rows]
    if missing:
        own_folder(base / ".partial")
        partial.mkdir(exist_ok=True)
        for name, frame in frames.items():
            if len(frame):
                write_csv(frame, partial / f"{name}.csv")
        (partial / "missing.txt").write_text("".join(f"{cell.table} {cell.id}\n" for cell in missing))
        shown = ", ".join(cell.id for cell in missing[:MISSING_SHOWN])
        return [
            f"{experiment.name} on {folder.name}: partial, {len(missing)} of {len(declared)} cells have no row in this "
            f"run ({shown}{', ...' if len(missing) > MISSING_SHOWN else ''})",
            f"  rows so far: {_shown(partial, root)}; artifacts in {_shown(canonical, root)} are left as they were",
        ]

    if not any(row["status"] == "ok" for row in rows.values()):
        left = f"artifacts in {_shown(canonical, root)} are left as they were"
        return [f"{experiment.name} on {folder.name}: none of its cells could be measured; {left}"]

    about = provenance.describe_run(
        experiment.name,
        folder,
        root,
        measures=experiment.measures(),
        command=["pytest", *arguments],
        profile=profile,
        seeds=sorted({cell.seed for cell in declared}),
        state=state,
    )
    aside = canonical.parent != base
    if aside:
        own_folder(canonical.parent)
    canonical.mkdir(parents=True, exist_ok=True)
    write_report: Callable[[Mapping[str, pd.DataFrame], Mapping[str, Any], Path], str]
    write_report = pkgutil.resolve_name(experiment.report)
    with tempfile.TemporaryDirectory(dir=base, prefix=".building-") as building:
        headline = write_report(frames, about, Path(building))
        if unverified := _unverified(about["data"]):
            with (Path(building) / "report.md").open("a", encoding="utf-8") as report:
                report.write(f"\nNote: {unverified}.\n")
        about["artifacts"] = provenance.digests(list(Path(building).iterdir()))
        (Path(building) / "provenance.json").write_text(json.dumps(about, indent=2) + "\n")
        move_all(Path(building), canonical)
    stale = partial.exists()
    shutil.rmtree(partial, ignore_errors=True)
    failed = sum(row["status"] != "ok" for row in rows.values())
    note = f"; {failed} cell(s) failed, see the report" if failed else ""
    return [
        f"{experiment.name} on {folder.name}: {headline}",
        f"  {len(declared)} cells, report: {_shown(canonical / 'report.md', root)}{note}",
        *([f"  the full report in {_shown(base / experiment.name, root)} is left as it was"] if aside else []),
        *([f"  {unverified}"] if unverified else []),
        *([f"  removed what an earlier partial run had left in {_shown(partial, root)}"] if stale else []),
    ]


def reports_base(folder: Path, reports_dir: Path | None) -> Path:
    """Return the folder of all reports on the pair in `folder`."""
    return reports_dir / folder.name if reports_dir else folder / "reports"


def report_folder(base: Path, experiment: str, profile: str) -> Path:
    """Return where the artifacts of a complete run belong: a quick one never replaces what a full one has given."""
    try:
        there = json.loads((base / experiment / "provenance.json").read_text(encoding="utf-8"))["profile"]
    except (OSError, ValueError, KeyError, TypeError):
        there = profile
    return base / "quick" / experiment if (profile, there) == ("quick", "full") else base / experiment


def collect_frames(
    experiment: Experiment, rows: Mapping[Cell, Row], declared: Sequence[Cell]
) -> dict[str, pd.DataFrame]:
    """Return one frame a table, rows sorted by the order of the declared grid: settings first, then seeds."""
    import pandas as pd

    frames = {}
    for table in experiment.tables:
        cells = [cell for cell in declared if cell.table == table.name]
        place = {settings: i for i, settings in enumerate(dict.fromkeys(cell.settings for cell in cells))}
        present = sorted((cell for cell in cells if cell in rows), key=lambda cell: (place[cell.settings], cell.seed))
        frames[table.name] = pd.DataFrame([{**cell.identity(), **rows[cell]} for cell in present])
    return frames


def _unverified(data: Mapping[str, Any]) -> str:
    roles = [role for role in ("draft", "teacher") if (data.get(role) or {}).get("verified") is False]
    if not roles:
        return ""
    return f"embeddings of {' and '.join(roles)} come from an unverified server: no digest pins the model's weights"


def _shown(path: Path, root: Path) -> str:
    path = path.absolute()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
