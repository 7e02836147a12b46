"""Text files are UTF-8, whatever the locale."""

import ast

import pytest
from pair_folders import ROOT

OF_BYTES = {"os", "Image", "image", "tarfile", "zipfile", "archive"}  # modules whose open() opens no text


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
