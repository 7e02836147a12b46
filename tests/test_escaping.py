"""Text that others wrote reaches a terminal, Markdown, a shell, a build log and a spreadsheet as nothing but text."""

import csv
import io
import re
import shlex
import shutil
import subprocess

import light
import pandas as pd
import pytest
import synthetic_runs
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_folders import write_pair

from embalign.errors import PairError
from embalign.escaping import csv_cell, markdown, one_line, shell, visible, workflow_command
from embalign.experiments.elbow.report import write_report
from embalign.experiments.grid import rerun_command
from embalign.experiments.tables import write_csv
from embalign.regression.words import summary
from embalign.verdicts.regression import RegressionVerdict

HOSTILE = 'a\n::error::x`$(id)` <b>|@me [c](d) \x1b[31m"\u202e'
ORDINARY = [
    "qwen-sentence-align",
    "all-MiniLM-L6-v2",
    "größe",
    "日本語",
    "a_b",
    "1.5 %",
    "x/y:z",
    "Ελληνικά",
    "naïve, yes",
]
TEXTS = st.text(st.characters(codec=None), max_size=12) | st.text(
    "\n\r\t\x1b|`*_<>[]#@-+=:$%,'\"\\!~& a1\u200b\x85", max_size=12
)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text):
    assert visible(text) == markdown(text) == csv_cell(text) == text
    assert shlex.split(shell([text])) == [text]


@settings(max_examples=50)
@given(TEXTS)
def test_a_terminal_gets_one_line_that_it_shows_character_by_character(text):
    shown = visible(text)
    assert shown.isprintable() or not shown.isascii()
    assert len((shown + "x").splitlines()) == 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]", shown)
    assert visible(shown) == shown
    shown.encode()


def test_each_kind_of_unseen_character_is_named():
    assert visible("\x00\x1b\x7f\x9b\u200b\u202e\ufeff\ud800\U000e0041") == (
        r"\x00\x1b\x7f\x9b\u200b\u202e\ufeff\ud800\U000e0041"
    )
    assert visible("##[add-path]/tmp") == r"##\x5b" + "add-path]/tmp"
    assert one_line("  a\nb  ") == r"a\nb"
    assert one_line("x" * 400 + "y" * 400) == "x" * 200 + " ... " + "y" * 100


@settings(max_examples=50)
@given(TEXTS)
def test_markdown_has_no_mark_that_is_not_escaped(text):
    shown = markdown(text)
    plain = re.sub(r"\\([!-/:-@\[-`{-~])|<!-- -->", lambda found: found[1] or "", shown)
    assert plain == visible(text).strip()
    left = re.sub(r"\\[!-/:-@\[-`{-~]|<!-- -->", "", shown)  # what an escape or a comment does not cover
    assert not re.search(r"[`*\[\]<>|~$&\\]", left)
    assert not re.match(r"([-+=]+|#+|>|\d+[.)])(\s|$)", shown)
    assert not re.search(r"(?<!\w)[@#]\w", shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("===", r"\==="),
        ("- - -", r"\- - -"),
        ("<script>", r"\<script\>"),
        ("a | b", r"a \| b"),
        ("![x](https://e.org/t.png)", r"!\[x\](https:<!-- -->//e.org/t.png)"),
        ("see @team and #12", "see @<!-- -->team and #<!-- -->12"),
        ("__init__", r"\_\_init\_\_"),
        ("&lt;", r"\&lt;"),
        ("$x^2$", r"\$x^2\$"),
        ("```", r"\`\`\`"),
        ("www.e.org", "www.<!-- -->e.org"),
    ],
)
def test_markdown_of_each_kind(text, shown):
    assert markdown(text) == shown


@settings(max_examples=20)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), max_size=30))
def test_a_shell_reads_the_words_that_were_meant(words):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    line = shell(words)
    assert len((line + "x").splitlines()) == 1
    done = subprocess.run([bash, "-c", f"printf '%s\\0' {line} end"], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [*words, "end"]


def test_a_shell_gets_the_bytes_of_a_name_that_is_not_utf8():
    assert shell([b"caf\xe9 \n".decode("utf-8", "surrogateescape")]) == r"$'caf\xe9 \n'"


@settings(max_examples=50)
@given(TEXTS, TEXTS)
def test_a_build_log_reads_one_command(title, message):
    line = workflow_command("error", message, title=title)
    found = re.fullmatch(r"::error title=([^,:\r\n]*)::([^\r\n]*)", line)

    def decoded(text):
        return re.sub("%([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), text)

    assert (decoded(found[1]), decoded(found[2])) == (visible(title), visible(message))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\u3000=", "＝", "＋", "－", "＠"])
def test_text_that_a_spreadsheet_would_run_is_quoted_and_numbers_are_not(tmp_path, start):
    text = f'{start}HYPERLINK("x")'
    write_csv(pd.DataFrame({"pair": [text, "a"], "value": [-1.5, 2e-7]}), tmp_path / "t.csv")
    content = (tmp_path / "t.csv").read_bytes().decode()
    assert list(csv.reader(io.StringIO(content, newline=""))) == [
        ["pair", "value"],
        [f"'{text}", "-1.5"],
        ["a", "2e-07"],
    ]


def test_an_error_is_one_line_whatever_it_quotes():
    assert str(PairError(f"pair {HOSTILE}")) == f"pair {visible(HOSTILE)}"


def test_the_summary_of_a_job_stays_a_table():
    lines = summary([(HOSTILE, "elbow", RegressionVerdict("mrr", "missing", detail=HOSTILE))]).split("\n")
    (row,) = [line for line in lines if line.startswith("| elbow")]
    assert re.sub(r"\\.", "", row).count("|") == 8
    assert not any(line.startswith("::") or "<b>" in line for line in lines)


def test_a_report_shows_a_name_and_a_reason_as_they_are(tmp_path):
    about = synthetic_runs.about("elbow", pair=HOSTILE, folder=f"else/{HOSTILE}")
    found = synthetic_runs.elbow()
    table = "data_ratio_vs_metrics"
    found[table] = synthetic_runs.with_failures(found[table], HOSTILE, seed=0, ratio=1.0)
    write_report(found, about, tmp_path)
    lines = (tmp_path / "report.md").read_text(encoding="utf-8").split("\n")
    assert lines[0] == f"# Data-efficiency elbow: {markdown(HOSTILE)}"
    assert any(line.startswith("- ") and line.endswith(markdown(HOSTILE)) for line in lines)
    assert rerun_command("elbow", about) in lines
    lines.remove(rerun_command("elbow", about))
    assert not any(line.startswith("::") or "<b>" in line for line in lines)


def test_a_run_on_a_pair_with_a_hostile_name_in_a_locale_that_lacks_its_letters(tmp_path, smollm2):
    """A part of a grid with such letters in its settings: no command in the build log, and files in UTF-8."""
    name = HOSTILE.replace("/", "") + "größe"
    root = tmp_path / "root"
    light.build_root(root, write_pair(tmp_path / "pair" / "small", smollm2, 60), cells=4)
    path = root / "benchmark" / "test_light.py"
    path.write_text(path.read_text().replace("list(range(2))", '["zufällig", "größte"]'), encoding="utf-8")
    (root / "benchmark" / "small").rename(root / "benchmark" / name)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    build = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "LIGHT_SECONDS": "0"}
    options = ("-v", "-k", "seed00", "--regression", "report", "-rA")
    command = [name if word == "small" else word for word in light.command(*options)]
    environment = light.environment(**build, **ascii_only)
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    missing = root / "benchmark" / name / "reports" / ".partial" / "light" / "missing.txt"
    assert "zufällig" in missing.read_text(encoding="utf-8")
    lines = done.stdout.splitlines() + (tmp_path / "summary.md").read_text(encoding="utf-8").splitlines()
    assert not any(line.lstrip().startswith("::") for line in lines)
    assert "\x1b[31m" not in "".join(lines)
