"""The pages of docs/ as tests run them: Python blocks, lines for a shell, modules that a page has its reader write."""

import contextlib
import re
import sys

from pair_folders import ROOT

from embalign.runs.source import source_digest


def blocks_of(page):
    """The Python blocks of a page in docs/, in their order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def section(page, heading):
    """The text of a page under a heading, up to the next one of the same level."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |\Z)", text, re.DOTALL | re.MULTILINE)[2]


def shell_lines(page, heading):
    """The lines for a shell under a heading: those of its plain blocks, and the commands in its table's cells."""
    text = section(page, heading)
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    cells = re.findall(r"^\|.*\| `(embalign [^`]*)`", text, re.MULTILINE)
    return [*(line for block in blocks for line in block.splitlines()), *cells]


def executed(block, page):
    """The names that a block leaves behind."""
    names = {"__name__": "page"}
    exec(compile(block, f"docs/{page}", "exec"), names)
    return names


@contextlib.contextmanager
def importable(folder, name, block, monkeypatch):
    """A block as a module that can be imported by that name; yields its path."""
    path = folder / f"{name}.py"
    path.write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    source_digest.cache_clear()
    yield path
    sys.modules.pop(name, None)
    source_digest.cache_clear()
