"""docs/threat-model.md promises nothing that no test holds."""

import ast
import re

import pytest
from pair_folders import ROOT

PAGE = ROOT / "docs" / "threat-model.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def held_in(path):
    """The names of the test functions at the top of a file."""
    tree = ast.parse((ROOT / path).read_bytes())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_that_the_page_names_is_there():
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(named) >= 15
    assert [f"{path}::{name}" for path, name in named if name not in held_in(path)] == []


def test_every_promise_names_a_test():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith(("| promise", "| ---"))]
    assert len(promises) >= 12
    assert [row for row in promises if not NAMED.search(row.rpartition(" | ")[2])] == []


@pytest.mark.parametrize("name", ["test_no_such_promise", "hostile"])
def test_a_test_that_is_not_there_is_noticed(name):
    assert name not in held_in("tests/test_trust.py")


def test_the_page_is_one_page():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 70
