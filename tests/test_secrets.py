"""Secrets stay where they belong: in no message, file or log, in whatever form, and with no host but those named."""

import base64
import json
import logging
import re
import socket
from urllib.parse import quote, quote_plus

import pytest
from embedding_server import EmbeddingServer, RawServer, as_json
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug import Response

from embalign.embeddings import patience
from embalign.embeddings.addresses import parse_address, without_credentials, without_shapes
from embalign.embeddings.ollama import OllamaSource
from embalign.embeddings.ollama import address as ollama_address
from embalign.embeddings.openai import OpenAISource
from embalign.embeddings.secrets import Secrets
from embalign.errors import SourceError
from embalign.pairs.config import Model

SECRET = 'p4ss+w/rd="x'
KEY = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def alone(quick_client, monkeypatch):
    monkeypatch.setenv("EMBALIGN_REQUEST_SECONDS", "1")


@pytest.fixture
def server(httpserver):
    return EmbeddingServer(httpserver)


def source_of(endpoint, kind=OpenAISource):
    return kind(Model("openai" if kind is OpenAISource else "ollama", "little", "mean", endpoint))


def failure(act):
    with pytest.raises(SourceError) as caught:
        act()
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hush-hush@host:99999",
        "http://user:hush@hush@host",
        "http://user:hush/hush@host",
        "http://user:hush?hush@host/v1",
        "http://user:hush#hush@host/v1",
        "http://user:12/hush@host",
        "http://user:hush hush@host",
        "http://user:hush\thush@host",
        "http://user:hush\\hush@host",
        "http://user:hush://hush@host",
        "user:hush@host",
        "//user:hush@host",
        "http:user:hush@host",
        "http://user:hush@[bad",
        "http://user:hush@",
        "ftp://user:hush@host/path;type=hush?key=hush",
        "http://:hush",
        "http://host:hush",
        "http://[bad?key=hush",
        "http://host;key=hush",
        "host?token=hush",
        "http://ho st/v1#hush",
    ],
)
def test_an_address_that_is_none_shows_no_password(url):
    for said in (failure(lambda: parse_address(url, "pair.toml")), without_credentials(url)):
        assert "hush" not in said


@pytest.mark.parametrize(
    "value", ["user:hush@hush@box", "http://user:hush/hush@box", "u:hush?x@box", "u:hush://x@box", "u:hu sh@box:1"]
)
def test_nor_does_ollama_host(value):
    assert "hu" not in failure(lambda: ollama_address("", {"OLLAMA_HOST": value}))


def test_what_looks_like_a_key_or_a_user_is_hidden_even_if_it_is_not_ours():
    text = "asked https://me:theirs@other/v1?x=1&api_key=theirs&token=theirs for mail@box with monkey=5"
    assert without_shapes(text) == "asked https://***@other/v1?x=1&api_key=***&token=*** for mail@box with monkey=5"


@settings(max_examples=40)
@given(st.text(st.characters(codec="utf-8", min_codepoint=33), min_size=11, max_size=40), st.text(max_size=5))
def test_a_secret_is_removed_in_each_form_that_others_write_it_in(secret, before):
    hide = Secrets([secret]).removed
    spelled = base64.b64encode((before + secret + "more").encode()).decode()
    assert hide(spelled) != spelled
    plain = (secret, quote(secret, safe=""), quote_plus(secret).lower(), json.dumps(secret)[1:-1], repr(secret)[1:-1])
    for form in plain:
        assert form not in hide(f"{before} {form} more")
    assert secret[:10] not in hide(f"cut: {secret[:10]}")


def repeated(secret):
    return " ".join([secret, quote(secret, safe=""), base64.b64encode(f"user:{secret}".encode()).decode(), secret[:9]])


ECHOES = {
    "error": lambda words: as_json({"error": {"message": words}}, 400),
    "not JSON": lambda words: Response(f"<p>{words}"),
    "status 200": lambda words: as_json({"error": words}),
    "status 401": lambda words: as_json({"detail": words}, 401),
    "busy": lambda words: as_json({"error": f"{words}; try again in 9 s"}, 429),
    "far into the text": lambda words: Response("x" * 190 + words, 400),
    "redirect": lambda words: Response("", 307, {"Location": f"http://h/{quote(words)}"}),
    "instead of a vector": lambda words: as_json({"data": [{"index": words, "embedding": words}]}),
    "encoding": lambda words: Response("{}", 200, {"Content-Encoding": quote(words)}),
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("place", ["key", "user", "query"])
def test_what_a_server_repeats_of_a_secret_is_not_shown(server, monkeypatch, echo, place):
    secret = KEY if place == "key" else SECRET
    url = server.url.replace("localhost", "127.0.0.1")
    if place == "key":
        monkeypatch.setenv("EMBALIGN_API_KEY", KEY)
    elif place == "user":
        url = url.replace("http://", f"http://user:{quote(secret, safe='')}@")
    else:
        url += f"/v1?key={quote(secret, safe='')}"
    server.fault = lambda texts: ECHOES[echo](repeated(secret))
    said = failure(lambda: source_of(url).embed(["text"]))
    for form in repeated(secret).split():
        assert form[:9] not in said, said
    assert secret[:9] not in said


def test_nor_is_it_part_of_an_identity(server, monkeypatch):
    monkeypatch.setenv("EMBALIGN_API_KEY", KEY)
    server.listed = [{"id": f"models/{KEY}", "meta": {"path": KEY, KEY: 1}}]
    server.httpserver.expect_request("/props").respond_with_json({"build_info": f"b1 {KEY}"})
    url = server.url.replace("http://", f"http://user:{KEY}@") + f"/v1?token={KEY}"
    assert KEY[:9] not in repr(source_of(url).identify())
    server.show = {"modelfile": f"FROM {KEY}", "model_info": {"llama.pooling_type": 1}}
    server.models = [{"name": "little:latest", "digest": KEY}]
    assert KEY[:9] not in repr(source_of(server.url.replace("http://", f"http://{KEY}@"), OllamaSource).identify())


def test_nor_does_it_reach_a_log_or_a_line_about_waiting(server, monkeypatch, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(patience, "TOLD_AFTER", 0.0)
    monkeypatch.setattr(patience, "_shown", True)
    answers = iter([as_json({"error": f"{KEY} is throttled"}, 503)])
    server.fault = lambda texts: next(answers, None)
    assert source_of(f"{server.url}/v1?key={KEY}&version=1").embed(["text"])
    logged = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("urllib3"))
    assert "POST /v1/embeddings?key=***&version=1" in logged
    assert KEY[:9] not in logged
    told = capsys.readouterr().err
    assert "is throttled; waiting for it" in told
    assert KEY[:9] not in told


@pytest.fixture
def outside(monkeypatch):
    """A server that stands for all others: the proxy of every address beyond this machine."""
    heads = []

    def behave(connection, number):
        heads.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")

    raw = RawServer(behave)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, raw.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    yield heads
    raw.close()


@pytest.mark.parametrize(
    ("endpoint", "hosts", "message"),
    [
        ("https://api.example", "", "is not a host that you named.*set EMBALIGN_API_HOST=api.example, otherwise unset"),
        ("https://api.example:8443", "api.example:443", "set EMBALIGN_API_HOST=api.example:8443"),
        ("https://api.example.evil", "api.example", "EMBALIGN_API_HOST=api.example.evil"),
        ("https://evil/api.example", "api.example", "EMBALIGN_API_HOST=evil"),
        ("https://api.example@evil", "api.example", "EMBALIGN_API_HOST=evil"),
        ("https://localhost.evil", "", "EMBALIGN_API_HOST=localhost.evil"),
        ("https://127.0.0.1.evil", "", "EMBALIGN_API_HOST=127.0.0.1.evil"),
        ("http://api.example", "api.example", "EMBALIGN_API_KEY would go there unencrypted; write https://"),
        ("http://10.255.255.1:8080", "10.255.255.1", "would go there unencrypted; write https://"),
    ],
)
def test_a_key_is_sent_to_no_host_that_the_user_has_not_named(outside, monkeypatch, endpoint, hosts, message):
    monkeypatch.setenv("EMBALIGN_API_KEY", KEY)
    monkeypatch.setenv("EMBALIGN_API_HOST", hosts)
    said = failure(lambda: source_of(endpoint))
    assert re.search(message, said), said
    assert KEY not in said
    assert outside == []


@pytest.mark.parametrize("endpoint", ["http://user:hush-hush@box.example", "http://box.example/v1?api-key=hush-hush"])
@pytest.mark.parametrize("kind", [OpenAISource, OllamaSource])
def test_nor_does_an_address_carry_its_own_secret_there_unencrypted(outside, endpoint, kind):
    said = failure(lambda: source_of(endpoint, kind))
    assert "would go there unencrypted; write https://" in said
    assert "hush" not in said
    assert outside == []


def test_without_a_key_an_address_is_used_as_named(outside):
    assert "status 400" in failure(lambda: source_of("http://box.example/v1?api-version=1").embed(["text"]))
    assert b"POST http://box.example/v1/embeddings?api-version=1 " in outside[0]
    assert b"uthorization" not in outside[0]


@pytest.mark.parametrize("hosts", ["api.example", "other, API.example:443", "https://api.example/v1"])
def test_a_key_goes_to_a_host_that_the_user_named(outside, monkeypatch, hosts):
    monkeypatch.setenv("EMBALIGN_API_KEY", KEY)
    monkeypatch.setenv("EMBALIGN_API_HOST", hosts)
    failure(lambda: source_of("https://api.example/v1").embed(["text"]))
    assert outside[0].startswith(b"CONNECT api.example:443")
    assert KEY.encode() not in outside[0]  # that is for the server behind the proxy


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_a_key_goes_to_this_machine_and_netrc_does_not_replace_it(server, tmp_path, monkeypatch, host):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("EMBALIGN_API_KEY", KEY)
    assert source_of(server.url.replace("localhost", host)).embed(["text"])
    ((request, _),) = server.httpserver.log
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_a_password_in_the_address_is_sent_as_one_and_without_it_netrc_sends_none(server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    source_of(server.url.replace("http://", "http://user:p%40ss@")).embed(["text"])
    source_of(server.url).embed(["text"])
    first, second = (request for request, _ in server.httpserver.log)
    assert first.authorization.password == "p@ss"
    assert "Authorization" not in second.headers


def test_azures_own_paths_get_the_key_by_their_own_name(httpserver, monkeypatch):
    monkeypatch.setenv("EMBALIGN_API_KEY", KEY)
    path = "/openai/deployments/little/embeddings"
    httpserver.expect_request(path, query_string="api-version=1", headers={"api-key": KEY}).respond_with_json(
        {"data": [{"index": 0, "embedding": [1.0]}]}
    )
    endpoint = httpserver.url_for("/openai/deployments/little?api-version=1")
    assert source_of(endpoint).embed(["text"]) == [[1.0]]


def test_this_machines_own_name_is_this_machine_and_a_name_that_only_resolves_to_it_is_not():
    assert parse_address(f"http://{socket.gethostname()}", "here").is_local
    assert not parse_address("http://localhost.example", "here").is_local
