"""What servers and gateways say and take: errors, options, base URLs, optional paths, names of models."""

import base64
import json
import struct
import threading
import time

import pytest
import requests
from embedding_clients import failure, ollama, openai
from embedding_server import EmbeddingServer, as_json, vector
from werkzeug import Response

from embalign.embeddings import http

pytestmark = pytest.mark.usefixtures("quick_client")


@pytest.fixture
def server(httpserver):
    return EmbeddingServer(httpserver)


COMPLAINTS = [
    {"error": "No models loaded"},
    {"error": {"message": "No models loaded", "code": 404}},
    {"error": [{"msg": "No models loaded"}]},
    {"errors": [{"message": "No models loaded"}]},
    {"detail": [{"loc": ["body"], "msg": "No models loaded"}]},
    {"detail": "No models loaded"},
    {"object": "error", "message": "No models loaded"},
    {"error": {"type": "No models loaded"}},
    {"error": "No models loaded", "data": []},
    {"error": True, "message": "No models loaded"},
]


@pytest.mark.parametrize("body", COMPLAINTS, ids=json.dumps)
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("kind", [openai, ollama])
def test_what_a_server_says_of_an_error_is_shown_whatever_its_form_and_status(server, body, status, kind):
    server.fault = lambda texts: as_json(body, status)
    assert "No models loaded" in failure(lambda: kind(server.url).embed(["text"]))


@pytest.mark.parametrize(
    "words",
    [
        {"error": {"message": "UnsupportedParamsError: {'encoding_format': 'float'}"}},
        {"detail": [{"loc": ["body", "encoding_format"], "msg": "Extra inputs are not permitted"}]},
        {"error": "unknown parameter"},
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_an_option_that_a_gateway_refuses_is_left_out_from_then_on(server, words, status):
    server.fault = lambda texts: as_json(words, status) if "encoding_format" in server.payloads[-1] else None
    source = openai(server.url)
    for _ in range(2):
        assert source.embed(["text"]) == [vector("text")]
    assert len(server.payloads) == 3


def test_so_are_dimensions_and_other_refusals_are_told_as_they_are(server):
    refusals = {"dimensions": "dimensions is not supported", "encoding_format": "encoding_format: unknown"}

    def refuse(texts):
        for name, words in refusals.items():
            if name in server.payloads[-1]:
                return as_json({"error": words}, 400)
        return None

    server.fault = refuse
    assert openai(server.url, dimensions=8).embed(["text"]) == [vector("text")]
    server.fault = lambda texts: as_json({"error": "too many tokens"}, 400)
    assert "too many tokens" in failure(lambda: openai(server.url).embed(["text"]))


def test_vectors_in_base64_are_decoded_and_what_is_none_is_quoted(server):
    spelled = base64.b64encode(struct.pack("<3f", 1.0, -0.5, 0.25)).decode()
    server.fault = lambda texts: as_json({"data": [{"index": 0, "embedding": spelled}]})
    assert openai(server.url).embed(["text"]) == [[1.0, -0.5, 0.25]]
    for odd in ("no base64!", "QUJD", ""):
        server.fault = lambda texts, odd=odd: as_json({"data": [{"index": 0, "embedding": odd}]})
        (found,) = openai(server.url).embed(["text"])
        assert found in (odd, "(nothing)", [])


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ("", "/v1/embeddings"),
        ("/", "/v1/embeddings"),
        ("/v1", "/v1/embeddings"),
        ("/v1//", "/v1/embeddings"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("/v1beta/openai/", "/v1beta/openai/embeddings"),
        ("/api/paas/v4", "/api/paas/v4/embeddings"),
        ("/compatible-mode/v1", "/compatible-mode/v1/embeddings"),
        ("/engines/v1?key=1", "/engines/v1/embeddings?key=1"),
        ("/v1?api-version=1", "/v1/embeddings?api-version=1"),
        ("/openai/deployments/x?api-version=1", "/openai/deployments/x/embeddings?api-version=1"),
        ("/inference", "/inference/embeddings"),
        ("/inference/embeddings", "/inference/embeddings"),
        ("/v1/proxy", "/v1/proxy/v1/embeddings"),
        ("#fragment", "/v1/embeddings"),
    ],
)
def test_the_base_urls_of_gateways_lead_to_their_embeddings(httpserver, endpoint, asked):
    path, _, query = asked.partition("?")
    good = {"data": [{"index": 0, "embedding": [1.0]}]}
    httpserver.expect_request(path, query_string=query or None).respond_with_json(good)
    models = path.replace("/embeddings", "/models")
    httpserver.expect_request(models).respond_with_json({"data": [{"id": "little", "meta": {"size": 7}}]})
    httpserver.expect_request("").respond_with_json({"error": "no route"}, 404)
    source = openai(httpserver.url_for("").rstrip("/") + endpoint)
    found = source.identify()
    for _ in range(2):
        assert source.embed(["text"]) == [[1.0]]
    assert source.identify() == found
    assert len([1 for request, _ in httpserver.log if request.method == "POST"]) <= 3


def test_where_none_is_the_url_that_was_asked_is_told(httpserver):
    httpserver.expect_request("").respond_with_json({"error": "no route"}, 404)
    said = failure(lambda: openai(httpserver.url_for("/here/")).embed(["text"]))
    assert "/here/v1/embeddings (from endpoint in pair.toml) returned status 404" in said
    assert "endpoint is what comes before /embeddings, such as http://host:port/v1" in said


OVER = threading.Event()  # for a request that hangs: the server answers one after the other, in all tests
OPTIONAL = {
    "503": lambda request: Response("no healthy upstream", 503),
    "401": lambda request: as_json({"error": "management routes only"}, 401),
    "hangs": lambda request: OVER.wait(2) and Response(""),
    "is a page": lambda request: Response("<html>"),
    "is a list": lambda request: as_json([1]),
    "redirects": lambda request: Response("", 302, {"Location": "/login"}),
    "is no gzip": lambda request: Response("x", 200, {"Content-Encoding": "gzip"}),
    "asks for an hour": lambda request: Response("", 429, {"Retry-After": "3600"}),
    "has odd types": lambda request: as_json({"data": {"id": 1}, "build_info": [1]}),
}


@pytest.mark.parametrize("fault", OPTIONAL)
def test_what_not_every_server_has_is_left_out_and_asked_for_once(httpserver, monkeypatch, fault):
    monkeypatch.setattr(http, "OPTIONAL_SECONDS", 0.3)
    asked = []
    OVER.clear()

    def answer(request):
        asked.append(request.path)
        return OPTIONAL[fault](request)

    for path in ("/props", "/v1/models"):
        httpserver.expect_request(path).respond_with_handler(answer)
    source = openai(httpserver.url_for(""))
    found = source.identify()
    again = source.identify()
    OVER.set()
    requests.get(httpserver.url_for("/last"), timeout=10)  # answered after those that hang
    assert again == found
    assert 1 <= len(asked) <= (4 if fault == "has odd types" else 2)


def test_what_a_server_tells_once_and_not_again_is_no_change(server):
    source = openai(server.url)
    server.listed = [{"id": "little", "meta": {"size": 7}}]
    found = source.identify()
    server.httpserver.expect_oneshot_request("/v1/models").respond_with_json({"error": "busy"}, 503)
    assert source.identify() == found
    server.listed = [{"id": "little", "meta": {"size": 8}}]
    assert source.identify() != found


def test_a_refused_key_is_told_by_what_needs_it(server, monkeypatch):
    server.httpserver.expect_request("/props").respond_with_json({"error": "no"}, 401)
    source = openai(server.url)
    source.identify()
    assert source.embed(["text"])
    server.fault = lambda texts: as_json({"error": "no"}, 401)
    assert "requires an API key; set EMBALIGN_API_KEY" in failure(lambda: openai(server.url).embed(["text"]))
    monkeypatch.setenv("EMBALIGN_API_KEY", "wrong")
    assert "rejects the key in EMBALIGN_API_KEY" in failure(lambda: openai(server.url).embed(["text"]))


def test_queries_about_a_model_get_the_time_that_the_user_gives(server, monkeypatch):
    monkeypatch.setattr(http, "QUERY_SECONDS", 0.2)
    server.httpserver.clear()
    EmbeddingServer(server.httpserver)

    def slow(request):
        time.sleep(0.5)
        return as_json(server.show)

    server.httpserver.expect_oneshot_request("/api/show").respond_with_handler(slow)
    assert ollama(server.url).identify().verified
    monkeypatch.delenv("EMBALIGN_REQUEST_SECONDS")
    server.httpserver.clear()
    server.httpserver.expect_request("/api/version").respond_with_handler(slow)
    assert "no response within 0.2 s" in failure(lambda: ollama(server.url).identify())


@pytest.mark.parametrize(
    ("listed", "asked"),
    [
        ("Little:latest", "little"),
        ("little:latest", "LITTLE:Latest"),
        ("hf.co/org/Little-GGUF:Q8_0", "hf.co/org/little-gguf:q8_0"),
        ("little:latest", "library/little"),
        ("little:latest", "registry.ollama.ai/library/little"),
        ("library/little:latest", "little"),
        ("org/little:1b", "registry.ollama.ai/org/little:1B"),
    ],
)
def test_ollamas_names_are_read_as_ollama_reads_them(server, listed, asked):
    server.models = [{"name": "other:latest", "digest": "c" * 64}, {"name": listed, "digest": "b" * 64}]
    source = ollama(server.url, asked)
    assert source.identify().manifest == "b" * 64
    source.embed(["text"])
    assert server.payloads[-1]["model"] == listed


@pytest.mark.parametrize("asked", ["little:2b", "org/little", "hf.co/library/little", "litle"])
def test_another_name_is_not_there_and_the_near_ones_are_told(server, asked):
    server.models = [{"name": "unlike", "digest": "c" * 64}, {"model": "Little:1b", "digest": "b" * 64}]
    said = failure(lambda: ollama(server.url, asked).identify())
    assert f"no such model; get it: ollama pull {asked} (the server has: " in said
    assert "Little:1b" in said


def test_a_name_that_a_shell_would_read_is_quoted(server):
    said = failure(lambda: ollama(server.url, "x; rm -rf ~\x1b").identify())
    assert "ollama pull 'x; rm -rf ~\\x1b'" in said
