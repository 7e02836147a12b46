"""Text files are UTF-8 and output has no character that stops a run, in any locale."""

import ast
import io
import subprocess

import light
import pytest
from pair_folders import ROOT, write_pair

from embalign.__main__ import main

OF_BYTES = {"os", "Image", "image", "tarfile", "zipfile", "archive"}  # modules whose open() opens no text
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def undecided(path):
    """Calls that read or write text in whatever encoding the locale has, by line."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call) or "encoding" in (named := {word.arg: word.value for word in node.keywords}):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = function.value.id if isinstance(getattr(function, "value", None), ast.Name) else ""
        words = [word.value for word in (*node.args, *named.values()) if isinstance(word, ast.Constant)]
        binary = any(isinstance(word, str) and "b" in word and len(word) <= 3 for word in words)
        if (
            (isinstance(function, ast.Attribute) and name in ("read_text", "write_text"))
            or (name in ("open", "fdopen", "NamedTemporaryFile") and not binary and owner not in OF_BYTES)
            or (named.keys() & {"text", "universal_newlines"} and owner == "subprocess")
        ):
            yield node.lineno


def test_every_text_is_read_and_written_as_utf8():
    files = [path for folder in ("embalign", "benchmark") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    assert [f"{path.relative_to(ROOT)}:{line}" for path in files for line in undecided(path)] == []


@pytest.mark.parametrize("call", ["p.write_text('x')", "open(p)", "subprocess.run(x, text=True)", "p.open('a')"])
def test_a_text_without_encoding_is_noticed(tmp_path, call):
    (tmp_path / "m.py").write_text(call)
    assert list(undecided(tmp_path / "m.py")) == [1]


def test_a_part_of_a_grid_is_written_in_a_locale_without_its_letters(tmp_path, smollm2):
    """And the pair, its report and the terminal's lines, too."""
    root = tmp_path / "root"
    light.build_root(root, write_pair(tmp_path / "pair" / "small", smollm2, 60), cells=4)
    path = root / "benchmark" / "test_light.py"
    path.write_text(path.read_text().replace("list(range(2))", '["zufällig", "größte"]'), encoding="utf-8")
    (root / "benchmark" / "small").rename(root / "benchmark" / "größe")
    command = ["größe" if word == "small" else word for word in light.command("-q", "-k", "seed00")]
    environment = light.environment(LIGHT_SECONDS="0", **ASCII)
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    missing = root / "benchmark" / "größe" / "reports" / ".partial" / "light" / "missing.txt"
    assert "zufällig" in missing.read_text(encoding="utf-8")


def test_the_command_line_prints_what_the_terminal_cannot(tmp_path, smollm2, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", out)
    folder = write_pair(tmp_path / "größe", smollm2, 60)
    assert main(["export", "--pair", str(folder), "--out", str(tmp_path / "größe")]) == 0
    out.flush()
    assert rb"gr\xf6\xdfe" in out.buffer.getvalue()
