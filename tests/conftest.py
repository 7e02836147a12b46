"""Fixtures that several test modules share."""

import importlib

import pytest
from pair_folders import ROOT, write_pair

from embalign.embeddings.pair import find_pair, load_pair

pytest_plugins = ["pytester"]

# An inner in-process pytest forgets the modules that it was the first to import. Compiled ones do not survive a second
# import in one process (torch then computes wrongly or crashes), so the outer session imports all of them first.
for module in ("embalign.runs.measure", "embalign.reporting.elbow", "embalign.reporting.spectral", "matplotlib.pyplot"):
    importlib.import_module(module)
for module in ("sklearn.cluster", "sklearn.linear_model", "sklearn.neighbors", "scipy.stats", "distributed", "loky"):
    importlib.import_module(module)


@pytest.fixture(scope="session")
def smollm2():
    """The shipped SmolLM2 to MPNet pair."""
    return load_pair(find_pair("smollm2-mpnet", ROOT))


@pytest.fixture
def small_pair(smollm2, tmp_path):
    """Return the folder of a pair with 240 items of the shipped pair's real embeddings."""
    return write_pair(tmp_path / "benchmark" / "small", smollm2, 240)
