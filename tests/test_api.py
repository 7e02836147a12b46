"""The public functions: each has an example that runs, docs/api.md shows them, and mistakes are told in words."""

import doctest
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from pair_folders import ROOT

import embalign

NAMES = {name: getattr(embalign, name) for name in embalign.__all__}


def globs():
    return {"np": np, "pd": pd, "torch": torch, **NAMES}


@pytest.mark.parametrize("name", embalign.__all__)
def test_the_example_of_a_public_name_runs(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    (found,) = doctest.DocTestFinder(recurse=False).find(NAMES[name], name, globs=globs())
    assert found.examples
    report = []
    doctest.DocTestRunner(verbose=False).run(found, out=report.append)
    assert not report, "".join(report)


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.S | re.M)


def test_the_examples_of_the_page_run_one_after_another(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = {"__name__": "page"}
    for block in blocks("api.md"):
        exec(compile(block, "docs/api.md", "exec"), names)
    assert len(capsys.readouterr().out.splitlines()) >= 10


def test_the_page_names_every_public_name_and_is_short():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert not [name for name in embalign.__all__ if f"`{name}`" not in page]
    assert len(page.splitlines()) <= 200
