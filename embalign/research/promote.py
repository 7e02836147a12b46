"""Promote a complete, clean run into docs/research/, and run a promoted conclusion again."""

import datetime
import io
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import msgspec
import numpy as np
from numpy.typing import NDArray

from embalign.durable import move_all, refuse_links
from embalign.errors import ClaimError, ConclusionError
from embalign.lazy import lazy
from embalign.pairs.provenance import file_digest
from embalign.readers import read_bytes, reading
from embalign.research.claims import LARGEST_RAW, RESTORE, Binder, read_raw
from embalign.research.conclusion import (
    CHECKS,
    MACHINE_READABLE,
    TEXT,
    About,
    Conclusion,
    names_of,
    recorded,
    rerun_words,
    verify,
)
from embalign.research.numbers import reads_as_number
from embalign.runs.artifacts import report_folder
from embalign.runs.checkout import commit, id_if_clean, why_not_clean
from embalign.runs.run import Run

image = lazy("PIL.Image")

# Of a number of the text that another type of machine, or changed code, gives: a share of it, or so much of its unit.
SHARE, UNITS = 0.01, 1e-3
QUERIES = 2  # that may find something else, where similarities differ in their last digits
PICTURE_TOLERANCE = 1.0  # mean difference of the colours of two figures, in steps of 256
NUMBER = re.compile(r"[-+]?\d[\d.,]*")
LEFT_OUT = ("report.md", TEXT, MACHINE_READABLE)
# From the folder with the raw data, the run's provenance, and what binds a number: title, text and names with digits.
Conclude = Callable[[Path, Mapping[str, Any], Callable[..., str]], tuple[str, str, Sequence[str]]]


def check_promotable(run: Run) -> None:
    """Raise ConclusionError if it is certain before the first cell that a run cannot be promoted."""
    refuse_links(run.root, run.root / "docs" / "research")
    if not run.folder.is_relative_to(run.root.resolve()):
        raise ConclusionError(
            f"--promote: the pair {run.pair} lies outside the repository, so its conclusion could not be verified; "
            f"move {run.folder} into benchmark/ and commit"
        )
    if run.experiment.conclusion is None:
        raise ConclusionError(
            f"--promote: the experiment {run.experiment.name} declares no conclusion; give it one, "
            "Experiment(conclusion=...), or select others with -k"
        )


def promote_runs(runs: Sequence[Run], *, passed: bool) -> list[str]:
    """Promote the published reports of runs into docs/research/; return where to. Raises ConclusionError.

    `passed` is whether every case of the session passed.
    """
    if not passed:
        raise ConclusionError("not promoted: a conclusion is made only from a run of which every case passes")
    messages = []
    for run in runs:
        name = f"{run.experiment.name} on {run.pair}"
        if not run.complete:
            found = f"{len(run.missing)} cells missing, {len(run.failed)} failed"
            raise ConclusionError(f"not promoted: {name} is not a complete run ({found})")
        check_promotable(run)
        target = promote(report_folder(run), run.root, cast(Conclude, run.experiment.conclusion))
        messages.append(f"{name}: promoted to {target.relative_to(run.root)}")
    return messages


def promote(source: Path, root: Path, conclude: Conclude) -> Path:
    """Copy the artifacts in `source` to docs/research/<date>-<experiment>-<pair>/ with a conclusion; return the folder.

    `conclude` writes title, text and names from the copied files.
    """
    provenance = read_raw(source / "provenance.json")
    for state in (commit(root), provenance["commit"]):
        if id_if_clean(state) is None:
            raise ConclusionError(f"not promoted: {why_not_clean(state)}")
    date = datetime.date.today().isoformat()
    target = root / "docs" / "research" / f"{date}-{provenance['experiment']}-{provenance['pair']}"
    refuse_links(root, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Built beside its place, so that links in its text lead where they will lead from there.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.") as name:
        building = Path(name)
        copy_artifacts(source, building, provenance["artifacts"])
        try:
            write_conclusion(building, provenance, date, conclude)
        except ClaimError as error:
            raise ConclusionError(f"not promoted: {error}") from None
        verify(building, root)
        for file in (TEXT, MACHINE_READABLE):
            if (there := target / file).exists() and there.read_bytes() != (building / file).read_bytes():
                raise ConclusionError(
                    f"not promoted: {target.relative_to(root)} holds another conclusion of today; remove that first"
                )
        target.mkdir(exist_ok=True)
        move_all(building, target)
    return target


def copy_artifacts(source: Path, folder: Path, artifacts: Mapping[str, str]) -> None:
    """Copy a run's raw data, figures and provenance. Raises ConclusionError for one that is not as the run wrote it."""
    for file in sorted(set(artifacts) - set(LEFT_OUT)):
        shutil.copyfile(source / file, folder / file)
        if file_digest(folder / file) != artifacts[file]:
            raise ConclusionError(f"not promoted: {file} has changed since the run wrote it")
    shutil.copyfile(source / "provenance.json", folder / "provenance.json")


def write_conclusion(folder: Path, provenance: Mapping[str, Any], date: str, conclude: Conclude) -> None:
    """Write README.md and conclusion.toml beside the raw data in `folder`. Raises ClaimError."""
    digests = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    bind = Binder(folder)
    title, text, names = conclude(folder, provenance, bind)
    held = [name for name in names_of(provenance) if name and name in f"{title} {text}" and reads_as_number(name)]
    about = About(
        title=title,
        date=date,
        raw=[file for file in digests if not file.endswith(".png") and file != "provenance.json"],
        figures=[file for file in digests if file.endswith(".png")],
        names=list(dict.fromkeys([*held, *names])),
        sha256=digests,
        claims=bind.claims,
        **recorded(provenance),
    )
    (folder / MACHINE_READABLE).write_text(_toml(about), encoding="utf-8")
    again = f"## Run it again\n\n```\n{about.command}\n```"
    (folder / TEXT).write_text(f"# {title}\n\n{text.strip()}\n\n{again}\n", encoding="utf-8")


def reverify(found: Conclusion, root: Path) -> str:
    """Measure a conclusion's grid again with its recorded seeds and compare; return in words how it compared.

    Its static checks come first, and the command is built from what they have checked. With the recorded code on the
    recorded type of machine tables and verdicts must be equal to the byte, arrays to 2^-13, figures to the eye: the
    last two may have been written in another format. Otherwise verdicts must have the same words, and each number of
    the text must come out within 1 %, or within 0.001 or what two queries change. Raises ConclusionError.
    """
    for check in CHECKS.values():
        check(found, root)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [*rerun_words(found.about), f"--reports-dir={name}", "--workers=auto", "-q"]
        command = [sys.executable, "-m", "pytest", "-p", "embalign.plugin", *words]
        done = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", errors="replace", check=False)
        fresh = folder / found.about.pair / found.about.experiment
        if done.returncode != 0 or not (fresh / "provenance.json").is_file():
            raise ConclusionError(f"the run did not finish: {done.stdout[-500:]}{done.stderr[-500:]}")
        before, after = (read_raw(each / "provenance.json") for each in (found.folder, fresh))
        if _origin(before) != _origin(after):
            return _agree(found, fresh, after)
        for file in (*found.about.raw, *found.about.figures):
            if not _is_same(found.folder / file, fresh / file):
                raise ConclusionError(f"{file}: the same code on the same type of machine does not give it again")
    return "equal"


def _origin(about: Mapping[str, Any]) -> tuple[object, ...]:
    """The type of machine and the code of a run."""
    known = about["machine"] if isinstance(about.get("machine"), dict) else {}
    return known.get("processor"), known.get("architecture"), about.get("source_sha256")


def _agree(found: Conclusion, fresh: Path, about: Mapping[str, Any]) -> str:
    """Compare what was measured by other code, or elsewhere; return how near it must be. Raises ConclusionError."""
    asking = about["data"].get("split", {}).get("asking", math.inf)
    near = max(UNITS, QUERIES / asking)
    for file in found.about.raw:
        old, new = found.folder / file, fresh / file
        if file.endswith(".csv") and len(read_raw(old)) != len(read_raw(new)):
            raise ConclusionError(f"{file}: {len(read_raw(new))} rows measured again, {len(read_raw(old))} promoted")
        if file.endswith(".json") and (at := where_words_differ(read_raw(old), read_raw(new))):
            raise ConclusionError(f"{file}: {at}, measured again, is another verdict")
    for claim in found.about.claims:
        again = claim.computed(fresh)
        if not math.isclose(float(again), float(claim.text), rel_tol=SHARE, abs_tol=claim.scale * near):
            raise ConclusionError(f"{TEXT} says {claim.text}, and measured again it is {again}: {claim}")
    return (
        f"other code, or another type of machine: the same verdicts, numbers within {100 * SHARE:g} % or {near:.2g} of "
        "their unit"
    )


def where_words_differ(old: object, new: object, at: str = "") -> str:
    """Return where a verdict, measured again, says something else, numbers aside; nothing where it does not.

    The other code may say more than the old one did.
    """
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() <= new.keys():
        return next(filter(None, (where_words_differ(old[key], new[key], f"{at}/{key}") for key in old)), "")
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next(filter(None, (where_words_differ(*both, f"{at}/{place}") for place, both in pairs)), "")
    if isinstance(old, str) and isinstance(new, str):
        return "" if re.sub(NUMBER, "", old) == re.sub(NUMBER, "", new) else at
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (old, new))
    return "" if numbers or old == new else at or "/"


def _is_same(before: Path, after: Path) -> bool:
    try:
        return same_artifact(before, after)
    except Exception as error:  # whatever a promoted file does to NumPy or Pillow
        raise ConclusionError(f"{before.name}: cannot be compared ({type(error).__name__}: {error})") from None


def same_artifact(before: Path, after: Path) -> bool:
    """Return whether two artifacts hold the same: tables to the byte, arrays and figures in whatever format."""
    if before.suffix == ".npz":
        old, new = _arrays(before), _arrays(after)
        return set(old) == set(new) and all(_near(old[name], new[name]) for name in old)
    if before.suffix == ".png":
        left, right = _picture(before), _picture(after)
        return left.shape == right.shape and float(np.abs(left - right).mean()) <= PICTURE_TOLERANCE
    return file_digest(before) == file_digest(after)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file. Raises ConclusionError for any other file, and for values to be unpickled."""
    with reading(path, ConclusionError, RESTORE, "not arrays of numbers"):
        file = io.BytesIO(read_bytes(path, ConclusionError, RESTORE, LARGEST_RAW))
        if (size := sum(entry.file_size for entry in ZipFile(file).infolist())) > LARGEST_RAW:
            raise ValueError(f"{size} bytes unpacked; the limit is {LARGEST_RAW}")
        with np.load(file, allow_pickle=False) as held:
            found = dict(held)
        if odd := [name for name, values in found.items() if values.dtype.kind not in "fiub"]:
            raise ValueError(f"{odd[0]} holds {found[odd[0]].dtype}")
    return found


def _near(before: NDArray[Any], after: NDArray[Any]) -> bool:
    return before.shape == after.shape and np.allclose(before, after, rtol=0, atol=2.0**-13, equal_nan=True)


def _picture(path: Path) -> NDArray[np.float32]:
    with reading(path, ConclusionError, RESTORE, "not a picture"):
        file = io.BytesIO(read_bytes(path, ConclusionError, RESTORE, LARGEST_RAW))
        return np.asarray(image.open(file, formats=["PNG"]).convert("RGB"), dtype=np.float32)


def _toml(about: About) -> str:
    values = msgspec.to_builtins(about)
    tables = [(f"[{name}]", values.pop(name)) for name in ("config", "sha256")]
    tables += [("[[claims]]", claim) for claim in values.pop("claims")]
    parts = [_toml_lines(values), *(f"{header}\n{_toml_lines(table)}" for header, table in tables)]
    return "\n".join(parts)


def _toml_lines(table: Mapping[str, Any]) -> str:
    keys = {name: name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name) for name in table}
    # A value in JSON is one in TOML, but for the character DEL.
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in table.items()}
    return "".join(f"{keys[name]} = {value}\n".replace("\x7f", "\\u007f") for name, value in values.items())
