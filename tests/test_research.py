"""The migration rule: what may be promoted, that a promoted conclusion verifies, and that no mutation of it escapes."""

import json
import re
import shutil
import subprocess
import sys

import light
import numpy as np
import pytest
from pair_folders import ROOT

from embalign.errors import ClaimError, ConclusionError
from embalign.research.claims import check_numbers, parse
from embalign.research.conclusion import read_conclusion, verify
from embalign.research.promote import promote

MUTATIONS = 360
PAIR = "smollm2-mpnet"
EXPERIMENTS = ("elbow", "spectral")


def git(root, *words):
    who = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A checkout with the shipped pair and its committed full-profile reports, under git."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "benchmark" / PAIR, root / "benchmark" / PAIR, ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(ROOT / "docs" / "calibration", root / "docs" / "calibration")
    for name in ("conftest.py", "pytest.ini"):
        shutil.copy(ROOT / name, root / name)
    (root / ".gitignore").write_text(".embalign/\n.pytest_cache/\n__pycache__/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "state")
    return root


@pytest.fixture(scope="module")
def promoted(root):
    """The folders of both experiments' conclusions."""
    folders = {}
    for name in EXPERIMENTS:
        reports = root / "benchmark" / PAIR / "reports" / name
        folders[name] = promote(reports, root, f"embalign.experiments.conclusions:{name}")
    return folders


def check_conclusions(root):
    """Run the checks of every conclusion, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "docs/research", "-q", "-p", "no:randomly"],
        cwd=root,
        env=light.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_promoted_run_is_copied_byte_for_byte_and_verifies(root, promoted, experiment):
    folder = promoted[experiment]
    verify(folder, root)
    source = root / "benchmark" / PAIR / "reports" / experiment
    for path in folder.iterdir():
        if path.name != "README.md":
            assert path.read_bytes() == (source / path.name).read_bytes()
    text = read_conclusion(folder).text
    assert len(re.findall("<!-- claim", text)) > 20
    assert "## Limits" in text


def test_conclusions_are_test_cases_and_import_no_torch(root, promoted):
    run = "code = pytest.main(['docs/research', '-q', '-p', 'no:randomly'])"
    code = f"import sys, pytest; {run}; assert 'torch' not in sys.modules; sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=light.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_a_failing_conclusion_names_what_differs_without_a_traceback(root, promoted):
    path = promoted["elbow"] / "README.md"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text + "\nAn improvement of 12 points.\n", encoding="utf-8")
        done = check_conclusions(root)
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "'12' is bound to no raw data; bind it by a claim" in done.stdout
    assert "Traceback" not in done.stdout


def mutate(folder, generator):
    """Change one thing in a conclusion's folder; return what was done and a function that undoes it."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    body = text.index("+++", 3) + 4
    raw = sorted(path for path in folder.iterdir() if path != readme)
    kind = generator.integers(0, 13)

    def write(new, what):
        assert new != text
        readme.write_text(new, encoding="utf-8")
        return what, lambda: readme.write_text(text, encoding="utf-8")

    def another_digit(match):
        digit = int(match.group())
        return str((digit + int(generator.integers(1, 10))) % 10)

    if kind in (0, 1):  # a digit of the text, inside a claim, its number, a name, a link or the command
        places = [i for i, c in enumerate(text) if c.isdigit() and i >= body]
        at = places[generator.integers(len(places))]
        return write(text[:at] + another_digit(re.match(r"\d", text[at])) + text[at + 1 :], f"digit at {at}")
    if kind == 2:  # a value of the front matter
        places = list(re.finditer(r"^\"?[\w.]+\"? = (.+)$", text[:body], re.MULTILINE))
        chosen = places[generator.integers(len(places))]
        value = chosen.group(1)
        at = [i for i, c in enumerate(value) if c.isalnum()]
        where = at[generator.integers(len(at))]
        new = value[:where] + ("7" if value[where] != "7" else "3") + value[where + 1 :]
        return write(text[: chosen.start(1)] + new + text[chosen.end(1) :], f"front matter {chosen.group(0)[:40]}")
    if kind == 3:  # a claim removed, its number left
        comments = list(re.finditer(r"<!-- claim .*? -->", text))
        chosen = comments[generator.integers(len(comments))]
        return write(text[: chosen.start()] + text[chosen.end() :], "claim removed")
    if kind == 4:  # an unbound number
        at = text.index("\n\n", body + int(generator.integers(0, (len(text) - body) // 2)))
        return write(f"{text[:at]}\n\nIt gains {generator.integers(2, 99)} %.{text[at:]}", "number added")
    if kind == 5:  # a seed left out, or another one
        return write(re.sub(r"^seeds = \[0, ", f"seeds = [{generator.integers(0, 2) * 11}", text, flags=re.M), "seed")
    if kind in (9, 10):  # a claim's number made another one: by a scale, or by what stands beside it
        comments = list(re.finditer(r"(<!-- claim .*?) -->([-+\d.e]+)", text))
        chosen = comments[generator.integers(len(comments))]
        number, beside = chosen.group(2), str(generator.choice(["-", "\u2212", "\u00b1", "1/", "~10", "&minus;"]))
        scaled = f"{chosen.group(1)} scale={generator.choice(['-1', '3.3', '1000'])} -->{number}"
        new = scaled if kind == 9 else beside + chosen.group(0)
        return write(text[: chosen.start()] + new + text[chosen.end() :], new[:40])
    if kind == 11:  # a number in words, in other digits, or where none is looked for
        wrong = ("forty-two", "\u00bd", "\u2163", "a tenfold", "[42](LICENSE at 42)", "```42 percent```")
        at = text.index("\n\n", body + int(generator.integers(0, (len(text) - body) // 2)))
        said = generator.choice(wrong)
        return write(f"{text[:at]}\n\nIt gains {said}.{text[at:]}", f"{said} added")
    if kind == 12:  # a figure not shown, shown in a comment only, or from elsewhere
        images = list(re.finditer(r"!\[[^\]]*\]\(([^)]*)\)", text))
        chosen = images[generator.integers(len(images))]
        image = chosen.group(0)
        other = image.replace(chosen.group(1), f"https://example.org/{chosen.group(1)}")
        new = str(generator.choice([image[1:], f"<!-- {image} -->", other, f"{image} {image}", f"{image} {other}"]))
        return write(text[: chosen.start()] + new + text[chosen.end() :], new)
    victim = raw[generator.integers(len(raw))]
    content = victim.read_bytes()

    def restore():
        victim.write_bytes(content)

    if kind == 6:  # a byte of raw data, a figure or the provenance
        at = int(generator.integers(len(content)))
        victim.write_bytes(content[:at] + bytes([content[at] ^ (1 << int(generator.integers(8)))]) + content[at + 1 :])
        return f"byte {at} of {victim.name}", restore
    if kind == 7:
        victim.unlink()
        return f"{victim.name} removed", restore
    other = victim.with_name(f"renamed-{victim.name}")
    victim.rename(other)
    return f"{victim.name} renamed", lambda: other.rename(victim)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_no_generated_mutation_escapes(root, promoted, experiment):
    """Edited numbers, claims, front matter, raw data, figures and names: each is caught."""
    folder = promoted[experiment]
    generator = np.random.default_rng(EXPERIMENTS.index(experiment))
    escaped = []
    for _ in range(MUTATIONS // 2):
        what, undo = mutate(folder, generator)
        try:
            verify(folder, root)
            escaped.append(what)
        except ConclusionError:
            pass
        finally:
            undo()
    verify(folder, root)
    assert escaped == []


@pytest.mark.parametrize("name", ["README.md", "new/readme.md", "new/deeper/README.md"])
def test_a_text_that_is_no_conclusion_fails(root, promoted, name):
    path = root / "docs" / "research" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("A gain of 42 points.\n", encoding="utf-8")
    try:
        done = check_conclusions(root)
    finally:
        path.unlink()
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert f"{path.name}: belongs to no conclusion" in done.stdout


@pytest.mark.parametrize(
    ("pattern", "new", "message"),
    [
        (r'names = \["', 'names = ["points", "', "'points' is neither the pair"),
        (r'date = "\d+', 'date = "', "the folder is named"),
        (r"\Z", "\n[1]: https://example.org\n", "write the link where it is used"),
    ],
)
def test_front_matter_that_fits_no_run_is_refused(root, promoted, pattern, new, message):
    path = promoted["elbow"] / "README.md"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(re.sub(pattern, new, text, count=1), encoding="utf-8")
        with pytest.raises(ConclusionError, match=message):
            verify(promoted["elbow"], root)
    finally:
        path.write_text(text, encoding="utf-8")


def test_a_conclusion_written_by_hand_is_not_overwritten(root, promoted):
    path = promoted["elbow"] / "README.md"
    text = path.read_text(encoding="utf-8")
    reports = root / "benchmark" / PAIR / "reports" / "elbow"
    assert promote(reports, root, "embalign.experiments.conclusions:elbow") == promoted["elbow"]
    try:
        path.write_text(text + "\nA thought.\n", encoding="utf-8")
        with pytest.raises(ConclusionError, match="holds another conclusion of today"):
            promote(reports, root, "embalign.experiments.conclusions:elbow")
        assert "A thought." in path.read_text(encoding="utf-8")
    finally:
        path.write_text(text, encoding="utf-8")


def test_a_dirty_or_changed_run_is_not_promoted(root, promoted):
    reports = root / "benchmark" / PAIR / "reports" / "elbow"
    marker = root / "conftest.py"
    clean = marker.read_text()
    marker.write_text(clean + "# changed\n")
    with pytest.raises(ConclusionError, match="the tree differs from its commit"):
        promote(reports, root, "embalign.experiments.conclusions:elbow")
    marker.write_text(clean)
    table = reports / "references.csv"
    content = table.read_bytes()
    table.write_bytes(content + b"\n")
    with pytest.raises(ConclusionError, match=r"references\.csv has changed since the run"):
        promote(reports, root, "embalign.experiments.conclusions:elbow")
    table.write_bytes(content)


def test_partial_runs_and_the_gates_small_grid_are_not_promoted(tmp_path, small_pair):
    root = tmp_path / "checkout"
    light.build_root(root, small_pair)
    (root / ".gitignore").write_text(".pytest_cache/\n__pycache__/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "state")
    partial = light.run(root, "--promote", "-k", "seed00")
    assert partial.returncode != 0
    assert re.search(r"cells are not selected, for instance .*; a part is neither promoted", partial.stderr)
    partial = light.run(root, "--promote", "-k", "seed00", "-n", "2")
    assert re.search(r"not promoted: light on small is no complete run .* cells missing", partial.stdout)
    small = light.run(root, "--promote", "--profile", "gate")
    assert small.returncode == pytest.ExitCode.USAGE_ERROR
    assert "too small for a conclusion" in small.stderr
    assert not (root / "docs").exists()


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text("arm,seed,x\na,0,1\na,1,3\nb,0,5\n")
    (tmp_path / "v.json").write_text(json.dumps({"a": [{"0.5": 2.25}], "flag": True}))
    return tmp_path


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("file=t.csv where=arm:a col=x fn=mean format=.1f", "2.0"),
        ("file=t.csv where=arm:a col=x fn=std format=.3f", "1.414"),
        ("file=t.csv where=arm:a col=x fn=max minus=arm:b format=+.0f", "-2"),
        ("file=t.csv where=arm:a,seed:1 col=x over=arm:b format=.2f", "0.60"),
        ("file=t.csv where=arm:a fn=count format=.0f", "2"),
        ("file=v.json path=a/0/0.5 scale=100 format=.3g", "225"),
    ],
)
def test_claims_are_computed_from_raw_data(table, claim, value):
    assert parse(claim).computed(table) == value
    assert check_numbers(f"It is <!-- claim {claim} -->{value} here.", table, []) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<!-- claim file=t.csv where=arm:a col=x fn=mean format=.1f -->2.1",
            "the text says 2.1, the raw data say 2.0",
        ),
        ("<!-- claim file=t.csv where=arm:a col=x format=.1f -->2", "fn=value needs one"),
        ("<!-- claim file=t.csv where=arm:z col=x fn=mean format=.1f -->2", "no row has arm:z"),
        ("<!-- claim file=../t.csv where=arm:a fn=count format=g -->2", "lies outside"),
        ("<!-- claim file=v.json path=flag format=g -->1", "is True, no number"),
        ("<!-- claim file=t.csv colour=x format=g -->1", "unknown 'colour'"),
        ("<!-- claim file=t.csv where=arm:a fn=count format=g --> two", "no number follows"),
        ("A gain of 3 points", "'3' is bound to no raw data"),
        ("A gain of \u00bd a point", "'\u00bd' is bound to no raw data"),
        ("A gain of forty-two per cent", "'forty' is bound to no raw data"),
        ("It is a threefold gain", "'threefold' is bound to no raw data"),
        ("[of size](https://example.org shows 42)", "'42)' is bound to no raw data"),
        ("-<!-- claim file=v.json path=a/0/0.5 format=g -->2.25", "needs space around it"),
        ("<!-- claim file=v.json path=a/0/0.5 format=g -->2.25\u00b2", "needs space around it"),
        (2 * "<!-- claim file=v.json path=a/0/0.5 format=g -->2.25", "needs space around it"),
        ("<!-- claim file=v.json path=a/0/0.5 scale=4 format=g -->9", "scale '4' is neither 1 nor 100"),
        ("<!-- claim file=v.json path=a/0/0.5 format=.0f -->2", "2.25 is not whole"),
        ("v2.1 is a name, 2.1 is not", "'2.1' is bound to no raw data"),
    ],
)
def test_what_does_not_hold_is_quoted(table, text, message):
    with pytest.raises(ClaimError, match=re.escape(message)):
        check_numbers(text, table, ["v2.1"])
