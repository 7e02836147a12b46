"""Turn a run into files: artifacts at their place from a complete grid only, rows so far beside it from a part.

Files are built in a hidden folder next to their place and moved in one by one with `os.replace`, so a reader sees the
old or the new file and never half of one.
"""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from embalign.alignment.device import CPU
from embalign.durable import move_all, own_folder, refuse_links
from embalign.errors import PairError
from embalign.escaping import markdown, shell, visible
from embalign.lazy import lazy
from embalign.pairs.provenance import PROVENANCE, file_digest
from embalign.pairs.texts import ROLES
from embalign.readers import read_json
from embalign.runs import provenance
from embalign.runs.drawing import import_matplotlib
from embalign.runs.run import Run

write_csv = lazy("embalign.experiments.tables").write_csv

MISSING_SHOWN = 8
BUILDING = ".building-"
SWEPT_SECONDS = 3600


def publish(run: Run) -> list[str]:
    """Write the artifacts of a run and return what to tell the user.

    Whether the run covers the grid is decided by the cells with an outcome against the declared grid alone. Raises
    LinkError where that would be through a symbolic link.
    """
    _refuse_links(run)
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
    if run.device != CPU:
        own_folder(base)
    canonical.mkdir(parents=True, exist_ok=True)
    _sweep(base)
    unverified = _unverified(about["data"])
    notes = [*unverified, *_without_commit(about["commit"]), *_on_gpu(about["device"])]
    import_matplotlib(run.root / ".embalign" / "matplotlib")
    with tempfile.TemporaryDirectory(dir=base, prefix=BUILDING) as building:
        headline = run.experiment.report(run.results(), about, Path(building))
        if notes:
            with (Path(building) / "report.md").open("a", encoding="utf-8") as report:
                report.writelines(f"\nNote: {markdown(note)}.\n" for note in notes)
        about["artifacts"] = {path.name: file_digest(path) for path in sorted(Path(building).iterdir())}
        (Path(building) / PROVENANCE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        for path in _outdated(canonical, about["artifacts"]):
            path.unlink()
        # The record first: what a kill leaves between two moves does not match it, and nothing is there without one.
        move_all(Path(building), canonical, first=PROVENANCE)
    partial = _partial_folder(run)
    stale = partial.exists()
    shutil.rmtree(partial, ignore_errors=True)
    failed = f"; {len(run.failed)} cell(s) failed, see the report" if run.failed else ""
    return [
        *_headlines(name, headline.split("\n")),
        f"  {len(run.cells)} cells, report: {_shown(_report(canonical), run.root)}{failed}",
        *([f"  the full report in {_shown(base / run.experiment.name, run.root)} is unchanged"] if aside else []),
        *(f"  {note}" for note in (*unverified, *_without_commit(run.state))),
        *([f"  removed the rows of an earlier partial run from {_shown(partial, run.root)}"] if stale else []),
    ]


def page_hints(runs: Iterable[Run]) -> list[str]:
    """Return for each pair of these runs the command that puts all its reports on one page."""
    words = []
    for run in runs:
        if run.device != CPU:  # the page is of the CPU's reports
            continue
        usual = run.folder.parent == run.root / "benchmark"
        named = ["--pair", run.pair if usual else _shown(run.folder, run.root)]
        aside = ["--reports-dir", _shown(run.reports_dir, run.root)] if run.reports_dir else []
        words.append(shell(["embalign", "report", *named, *aside]))
    return [f"all reports of a pair on one HTML page: {line}" for line in dict.fromkeys(words)]


def _headlines(name: str, answer: list[str]) -> list[str]:
    """The answer after the run's name, or below it where it has several lines."""
    return [f"{name}: {answer[0]}"] if len(answer) == 1 else [f"{name}:", *(f"  {line}" for line in answer)]


def _report(folder: Path) -> Path:
    """The report in a folder, or the folder itself where an experiment of one's own writes none."""
    return folder / "report.md" if (folder / "report.md").is_file() else folder


def report_folder(run: Run) -> Path:
    """Return where the artifacts of a complete run belong: a quick one never replaces those of a full one."""
    base, name = run.reports_base(), run.experiment.name
    there = _record(base / name).get("profile", run.profile)
    return base / "quick" / name if (run.profile, there) == ("quick", "full") else base / name


def _outdated(canonical: Path, artifacts: Collection[str]) -> list[Path]:
    """Return the files that an earlier run recorded as its own and that are not among these artifacts."""
    recorded = _record(canonical).get("artifacts")
    names = set(recorded if isinstance(recorded, dict) else ()).difference(artifacts)
    return [canonical / name for name in sorted(names) if Path(name).name == name and (canonical / name).is_file()]


def _record(folder: Path) -> dict[str, Any]:
    """Return the record of the artifacts in a folder, an empty one where none can be read."""
    try:
        return read_json(folder / PROVENANCE, PairError, "", dict[str, Any])
    except PairError:
        return {}


def _publish_part(run: Run) -> list[str]:
    partial = _partial_folder(run)
    own_folder(partial.parent)
    _sweep(partial.parent)
    with tempfile.TemporaryDirectory(dir=partial.parent, prefix=BUILDING) as name:
        building = Path(name) / partial.name
        building.mkdir()
        for table, results in run.results().items():
            if len(results.frame):
                write_csv(results.frame, building / f"{table}.csv")
        missing = "".join(f"{visible(f'{cell.table} {cell.id}')}\n" for cell in run.missing)
        (building / "missing.txt").write_text(missing, encoding="utf-8")
        # Removed before the new one takes its place: a kill in between leaves no rows, never those of two runs.
        shutil.rmtree(partial, ignore_errors=True)
        building.rename(partial)
    shown = ", ".join(cell.id for cell in run.missing[:MISSING_SHOWN])
    more = ", ..." if len(run.missing) > MISSING_SHOWN else ""
    return [
        f"{run.experiment.name} on {run.pair}: partial, {len(run.missing)} of {len(run.cells)} cells have no row in "
        f"this run ({shown}{more})",
        f"  rows so far: {_shown(partial, run.root)}; artifacts in {_shown(report_folder(run), run.root)} are "
        "unchanged",
    ]


def _refuse_links(run: Run) -> None:
    partial = _partial_folder(run)
    paths = (report_folder(run), partial, *(partial.iterdir() if partial.is_dir() else ()))
    refuse_links(run.reports_dir or run.folder, *paths, remedy="remove the link, or name a folder with --reports-dir")


def _partial_folder(run: Run) -> Path:
    return run.reports_base() / ".partial" / run.experiment.name


def _sweep(folder: Path) -> None:
    """Remove what killed runs were building; one that is still drawn is younger than that."""
    for left in folder.glob(f"{BUILDING}*"):
        with contextlib.suppress(OSError):
            if not left.is_symlink() and time.time() - left.stat().st_mtime > SWEPT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _unverified(data: Mapping[str, Any]) -> list[str]:
    roles = [role for role in ROLES if (data.get(role) or {}).get("verified") is False]
    if not roles:
        return []
    return [f"embeddings of {' and '.join(roles)} come from an unverified server: no digest pins the model's weights"]


def _without_commit(state: Mapping[str, Any]) -> list[str]:
    return [] if state["id"] is not None else [f"no commit is recorded: {state['reason']}"]


def _on_gpu(device: Mapping[str, Any]) -> list[str]:
    if device["kind"] == CPU:
        return []
    return [f"measured on {device['gpu']} with CUDA {device['cuda']}: last digits differ from the CPU's"]


def _shown(path: Path, root: Path) -> str:
    path = path.absolute()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
