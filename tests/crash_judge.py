"""What must hold of a root after a run was killed there, and after one came to its end."""

import contextlib
import json
import sqlite3

import light

from embalign.evaluation.measurement import Measurement
from embalign.pairs.provenance import PROVENANCE, file_digest


def reports(root):
    """The folder of the light experiment's artifacts."""
    return root / "benchmark" / "small" / "reports" / "light"


def stored_names(root):
    """Check the store by SQLite's own means; return the cases that it holds a row of."""
    path = root / ".embalign" / "results.sqlite"
    if not path.exists():
        return set()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        try:
            rows = connection.execute("SELECT content FROM measurements").fetchall()
        except sqlite3.OperationalError:  # killed before the table was made
            return set()
    metrics = [Measurement.from_bytes(content).metrics for (content,) in rows]
    return {f"{found['of_setting']}-seed{found['of_seed']:02d}" for found in metrics}


def check_artifacts(root, earlier, now):
    """Check that no artifact is torn, or of an older run, or unaccounted for.

    Returns whether they are of several runs, and of which versions. `earlier` are the versions that were there before
    the run `now` was started, which then was killed.
    """
    folder = reports(root)
    found = {path.name: _version(path) for path in folder.glob("*.bin")}
    versions = set(found.values())
    assert versions <= {*earlier, now}, f"{found}: not of {earlier} or {now}"
    if not (folder / PROVENANCE).exists():
        assert not earlier, "the record of the artifacts is gone"
        assert not found, f"artifacts without a record: {found}"
        return False, set()
    try:
        recorded = json.loads((folder / PROVENANCE).read_bytes())["artifacts"]
    except ValueError:
        raise AssertionError(f"{PROVENANCE} is torn") from None
    there = {path.name: file_digest(path) for path in folder.iterdir() if path.name != PROVENANCE}
    assert there.keys() <= recorded.keys(), f"artifacts that no record accounts for: {there.keys() - recorded.keys()}"
    assert there != recorded or len(versions) == 1, f"{found} are mixed, and the record accounts for them"
    return there != recorded, versions


def check_complete(root, expected_csv, now):
    """Check the artifacts of a run that came to its end."""
    assert (reports(root) / "light.csv").read_bytes() == expected_csv, "the CSV is not that of an undisturbed run"
    assert check_artifacts(root, {now}, now) == (False, {now}), "the artifacts are not those of the run"


def _version(path):
    """The version of an artifact, every byte of which is looked at."""
    content = path.read_bytes()
    version = int.from_bytes(content[:8], "big")
    assert content == light.large_content(path.name, version), f"{path.name} is torn: {len(content)} bytes"
    return version
