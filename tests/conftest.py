"""Fixtures that several test modules share."""

import gc

import pytest
from pair_folders import ROOT, write_pair

from embalign.pairs.config import find_pair
from embalign.pairs.pair import load_pair

pytest_plugins = ["pytester"]


@pytest.hookimpl(tryfirst=True)  # before hypothesis looks for the profile that its option names
def pytest_configure():
    """Let no test fail on time: machines are shared, and first calls import libraries."""
    try:
        import hypothesis
    except ModuleNotFoundError:  # as for `pytest --help` where the tests' dependencies are not installed
        return
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")
    # For `--hypothesis-profile mutation`: every mutant faces the same few examples.
    hypothesis.settings.register_profile("mutation", deadline=None, derandomize=True, max_examples=10)


@pytest.fixture(autouse=True)
def no_garbage_is_collected_too_deep(request):
    """Collect what earlier tests left before a decoder is driven to the limit of recursion, where finalizers fail."""
    if any(word in request.node.name for word in ("nested", "deep")):
        gc.collect()


@pytest.fixture(scope="session")
def smollm2():
    """The shipped SmolLM2 to MPNet pair."""
    return load_pair(find_pair("smollm2-mpnet", ROOT))


@pytest.fixture(scope="session")
def debian():
    """The shipped pair with queries of its own: a static encoder to MiniLM."""
    return load_pair(find_pair("debian-static-minilm", ROOT))


@pytest.fixture
def small_pair(smollm2, tmp_path):
    """Return the folder of a pair with 240 items of the shipped pair's real embeddings."""
    return write_pair(tmp_path / "benchmark" / "small", smollm2, 240)


def pytest_terminal_summary(terminalreporter, config):
    """Where the regression check's instrument fails, say what is wrong, by how much, and what to do."""
    failed = terminalreporter.stats.get("failed", [])
    if config.option.markexpr != "instrument" or not failed:
        return
    terminalreporter.section("regression check")
    for report in failed:
        found = getattr(report.longrepr, "reprcrash", None)
        said = " ".join((found.message if found else report.longreprtext).split())
        terminalreporter.line(f"{report.nodeid}: {said[:300]}")
    terminalreporter.line(
        "The code that measures fails these tests, so its metrics mean nothing: fix the code. --update-baseline does "
        "not help here."
    )


@pytest.fixture
def quick_client(monkeypatch):
    """Short waits in the HTTP client, and no key, proxy or certificates of whoever runs the tests."""
    from embalign.embeddings import http, patience

    for name in ("EMBALIGN_API_KEY", "EMBALIGN_API_HOST", "OLLAMA_HOST", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("EMBALIGN_REQUEST_SECONDS", "5")
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(http, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(http, "STRANGER_SECONDS", 0.3)
    monkeypatch.setattr(http, "CRASH_SECONDS", 0.3)
