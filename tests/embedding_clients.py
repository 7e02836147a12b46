"""Sources that ask a test's server, and what tests of them share."""

import time

import pytest

from embalign.embeddings.ollama import OllamaSource
from embalign.embeddings.openai import OpenAISource
from embalign.errors import SourceError
from embalign.pairs.config import Model


def openai(url, **more):
    """A source that speaks to /v1/embeddings."""
    return OpenAISource(Model("openai", "little", "mean", url, **more))


def ollama(url, model="little"):
    """A source that speaks to Ollama."""
    return OllamaSource(Model("ollama", model, "mean", url))


def failure(act):
    """The message of what fails, one line that is fit to be printed anywhere."""
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        act()
    assert time.monotonic() - started < 20
    said = str(caught.value)
    assert "\n" not in said
    assert len(said.encode("utf-8")) < 1000
    return said


def answer_first(server, *answers):
    """Let the first requests for embeddings be answered so."""
    left = iter(answers)
    server.fault = lambda texts: next(left, None)


def sent(data):
    """What a server does that sends these bytes and closes."""

    def behave(connection, number):
        connection.recv(65536)
        connection.sendall(data)

    return behave
