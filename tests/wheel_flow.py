"""What a stranger does with the wheel, in empty folders, by the lines that README and docs print.

python tests/wheel_flow.py    # every line as it stands, in an environment where the wheel is installed: tox -e wheel
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import own_files
import pages
import result_tables

# Each is followed in a folder of its own. A command that is added to one of them is run from then on.
PAGES = (
    ("README.md", "What you have, and the command for it"),
    ("docs/install.md", "Installation"),
    ("docs/regression-check.md", "In a repository of your own"),
)
# What a command prints, by words that its line holds; of several the last.
PRINTED = {
    "embalign ": "",
    "embalign init": "benchmark/test_elbow.py: written",
    "embalign import": "imported 300 items into ",
    "embalign judge": "Recommended ratio: ",
    "embalign compare": "better",
    "git commit": "An experiment to check",
    "pytest ": " passed",
    "--pair mypair": " passed",
    "--update-baseline": "benchmark/baselines/mypair-elbow.json: cosine_mean none -> ",
    "--regression strict": "elbow on mypair, cosine_mean: ok: +0.00000",
}
ENDS_WITH = {"embalign cutover": (0, 10, 11)}  # 0 for all others
# Beside what the pages print: the other two experiments, in the folder that the second page has made.
MORE = ("pytest benchmark/ -k spectral --pair mypair", "pytest benchmark/ -k gate --pair mypair")
AUTHOR = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def bring(folder):
    """Write what the user of the pages has: vectors of two models, labels, a curve and two files of results."""
    own_files.lay_out_many(folder)
    result_tables.write(folder, "curve.csv", result_tables.curve())
    result_tables.write(folder, "baseline.csv", result_tables.results())
    result_tables.write(folder, "new.csv", result_tables.results(0.2))
    return folder


def lines(page, heading, *, shorter):
    """The lines of a page to run where the wheel is installed already; if `shorter`, with few of pytest's cases."""
    for line in pages.shell_lines(page, heading):
        command = line.partition("  #")[0].rstrip()
        if command.startswith("pip ") or not command:
            continue
        if shorter and command.startswith("pytest "):
            command += " -k elbow" if "--profile" in command else " -k 'elbow and reference'"
        yield command


def environment(scripts):
    """The environment of a user's shell: the scripts of one Python first, and nothing of the tests that run this."""
    theirs = ("PYTEST", "PYTHON", "COVERAGE", "GIT_", "VIRTUAL_ENV", "CI")
    own = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return own | AUTHOR | quiet | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def follow(command, folder, scripts):
    """Run a line as a shell does; return what it prints. Raises AssertionError where it does not do what it should."""
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(scripts), capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    expected = next((codes for start, codes in ENDS_WITH.items() if command.startswith(start)), (0,))
    assert done.returncode in expected, f"{command}: exit code {done.returncode}\n{said}"
    assert "Traceback" not in said, said
    words = [printed for held, printed in PRINTED.items() if held in command]
    assert not words or words[-1] in said, f"{command}: {words[-1]!r} is not in\n{said}"
    return said


def main():
    """Follow every line of the pages, and run the other experiments."""
    scripts = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as name:
        for number, (page, heading) in enumerate(PAGES):
            folder = Path(name) / str(number)
            folder.mkdir()
            bring(folder)
            if "git " in pages.section(page, heading):
                follow("git init -q", folder, scripts)
            for command in [*lines(page, heading, shorter=False), *(MORE if number == 1 else ())]:
                print(f"== {page}: {command}", flush=True)
                print(follow(command, folder, scripts)[-1500:], flush=True)


if __name__ == "__main__":
    main()
