"""The wheel: what is in it, what its metadata say, and that a stranger can use it in an empty folder."""

import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import wheel_flow
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from pair_folders import ROOT

from embalign.runs.source import package_digest

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LARGEST = 2**20  # bytes of a wheel or of an sdist


def build(kind, source, out):
    """Build from a folder; return the file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = out.iterdir()
    assert found.stat().st_size < LARGEST
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def about(wheel):
    """The wheel's metadata."""
    (name,) = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name}
    return metadata.PathDistribution(zipfile.Path(wheel, f"{name}/"))


def test_the_wheel_holds_the_package_and_the_experiments_and_nothing_else(wheel):
    package = [path for path in (ROOT / "embalign").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in package}
    assert {".j2", ".mplstyle", ".py"} < {Path(name).suffix for name in expected}
    assert "embalign/py.typed" in expected
    for name in ("test_elbow.py", "test_spectral.py", "test_maps.py", "test_gate.py"):
        expected[f"embalign/starter_files/{name}.txt"] = (ROOT / "benchmark" / name).read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert sorted(found) == sorted(expected)
    assert found == expected


def test_the_sdist_is_small_and_makes_the_same_wheel(wheel, tmp_path):
    sdist = build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # as of Python 3.11.4
        archive.extractall(tmp_path / "source")
    (source,) = (tmp_path / "source").iterdir()
    again = build("wheel", source, tmp_path / "again")
    assert (again.name, again.read_bytes()) == (wheel.name, wheel.read_bytes())


def test_the_metadata_are_complete(about):
    found = about.metadata
    assert (found["Name"], found["Version"], found["Summary"]) == (
        "embalign",
        PROJECT["version"],
        PROJECT["description"],
    )
    assert (found["License-Expression"], found["License-File"]) == ("MIT", "LICENSE")
    assert (ROOT / "LICENSE").read_text(encoding="utf-8") == about.read_text("licenses/LICENSE")
    assert found["Author"] in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert set(found["Keywords"].split(",")) == set(PROJECT["keywords"])
    assert set(found.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert {str(Requirement(line)) for line in PROJECT["dependencies"]} <= set(about.requires)
    scripts = {(entry.group, entry.name, entry.value) for entry in about.entry_points}
    assert scripts == {
        ("console_scripts", "embalign", "embalign.__main__:main"),
        ("pytest11", "embalign", "embalign.pytest_entry"),
    }


def test_versions_and_systems_are_those_that_the_page_names(about):
    classifiers = about.metadata.get_all("Classifier")
    versions = re.findall(r":: (3\.\d+)$", "\n".join(classifiers), re.MULTILINE)
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert all(version in SpecifierSet(about.metadata["Requires-Python"]) for version in versions)
    assert "3.10" not in SpecifierSet(about.metadata["Requires-Python"])
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert "Linux or macOS and Python 3.11 to 3.14" in page
    assert [version for version in versions if f"| Python {version} on Linux |" not in page] == []
    assert {line for line in classifiers if line.startswith("Operating System")} == {
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
    }


def test_the_readme_of_an_index_leads_to_no_file_and_shows_no_picture(about):
    text = about.metadata.get_payload()
    assert about.metadata["Description-Content-Type"] == "text/markdown"
    assert text.startswith("# embalign\n")
    assert "\n```\nembalign init " in text
    assert re.findall(r"\]\((?!https?:)", text) == []
    headings = re.findall(r"^#+ .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"^#+ .*$", text, re.MULTILINE) == headings


def test_the_page_names_the_file(wheel):
    assert set(re.findall(r"embalign-[\d.]+-py3\S*\.whl", (ROOT / "docs" / "install.md").read_text())) == {wheel.name}


def required(name, seen):
    """The distributions that one needs, itself among them."""
    if name not in seen:
        seen[name] = metadata.distribution(name)
        for line in seen[name].requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                required(needed.name.lower().replace("_", "-"), seen)
    return seen


@pytest.fixture(scope="module")
def scripts(wheel, about, tmp_path_factory):
    """The scripts of an environment that has the wheel, what it says it depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    needed = {}
    for line in about.requires:
        if "extra ==" not in line:
            required(Requirement(line).name, needed)
    for distribution in needed.values():
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(distribution.locate_file(top)))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True, capture_output=True)
    script = f"#!{folder}/bin/python\nimport sys\n\nfrom pytest import console_main\n\nsys.exit(console_main())\n"
    (folder / "bin" / "pytest").write_text(script)
    (folder / "bin" / "pytest").chmod(0o755)
    return folder / "bin"


def test_the_environment_holds_the_wheel_alone(scripts, tmp_path):
    place = wheel_flow.follow("python -c 'import embalign; print(embalign.__file__)'", tmp_path, scripts)
    assert place.startswith(str(scripts.parent))
    wheel_flow.follow("! python -c 'import hypothesis' 2> here", tmp_path, scripts)


def test_the_wheel_measures_with_the_same_source_as_the_checkout(scripts, tmp_path):
    """So either may be a worker of the other, and provenance names one digest."""
    line = "from embalign.runs.source import package_digest; print(package_digest())"
    assert wheel_flow.follow(f"python -c '{line}'", tmp_path, scripts).strip() == package_digest()


@pytest.mark.parametrize(("page", "heading"), wheel_flow.PAGES, ids=lambda word: word.split("/")[-1])
def test_every_line_of_the_page_does_what_it_says_in_an_empty_folder(page, heading, scripts, tmp_path):
    wheel_flow.bring(tmp_path)
    if "git " in wheel_flow.pages.section(page, heading):
        wheel_flow.follow("git init -q", tmp_path, scripts)
    followed = list(wheel_flow.lines(page, heading, shorter=True))
    assert len(followed) >= 3
    for command in followed:
        wheel_flow.follow(command, tmp_path, scripts)
