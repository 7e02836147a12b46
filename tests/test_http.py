"""The HTTP client against real servers: what is waited for, which gateways work, and one line for every odd answer."""

import base64
import datetime
import email.utils
import gc
import gzip
import json
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import light
import pytest
from embedding_server import EmbeddingServer, RawServer, as_json, read_request, reset, vector
from werkzeug import Response

from embalign.embeddings import http, patience
from embalign.embeddings.addresses import is_local, parse_address
from embalign.embeddings.ollama import OllamaSource
from embalign.embeddings.openai import OpenAISource
from embalign.errors import SourceError, StatusError
from embalign.pairs.config import Model


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No key and no proxy of whoever runs the tests; short waits."""
    for name in ("EMBALIGN_API_KEY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EMBALIGN_REQUEST_SECONDS", "5")
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(http, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(http, "STRANGER_SECONDS", 0.3)
    monkeypatch.setattr(http, "CRASH_SECONDS", 0.3)


@pytest.fixture
def server(httpserver):
    return EmbeddingServer(httpserver)


def openai(url, **more):
    return OpenAISource(Model("openai", "little", "mean", url, **more))


def ollama(url, model="little"):
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


LATER = [408, 409, 421, 423, 425, 429, 502, 503, 504, 507, 520, 521, 522, 523, 524, 527, 529, 530, 598, 599]


@pytest.mark.parametrize("status", [*LATER, 500])
def test_a_status_that_means_later_is_waited_for(server, status):
    answer_first(server, *[Response("<html>later", status)] * 2)
    assert openai(server.url).embed(["text"]) == [vector("text")]


@pytest.mark.parametrize("status", [402, 406, 410, 451, 501, 505, 506, 508, 511, 526])
def test_a_status_that_means_never_is_told_at_once(server, status):
    server.fault = lambda texts: as_json({"error": {"message": "no"}}, status)
    assert f"status {status}: no" in failure(lambda: openai(server.url).embed(["text"]))
    assert len(server.asked) == 1


def test_a_limit_that_only_a_payment_lifts_is_told_at_once(server):
    server.fault = lambda texts: as_json({"error": {"message": "quota exceeded, check your billing details"}}, 429)
    assert "billing" in failure(lambda: openai(server.url).embed(["text"]))
    assert len(server.asked) == 1


def test_a_temporary_refusal_says_so_by_retry_after_whatever_its_status(server):
    answer_first(server, Response("too many at once", 403, {"Retry-After": "0.05"}))
    assert openai(server.url).embed(["text"])


def http_date(seconds, of=email.utils.format_datetime):
    return of(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "words", "seconds"),
    [
        ({"Retry-After": "7"}, "", 7),
        ({"Retry-After": "7.9"}, "", 7.9),
        ({"Retry-After": " 8s "}, "", 8),
        ({"Retry-After": "-3"}, "", 0),
        ({"Retry-After": "nan"}, "", 0),
        ({"Retry-After": "soon"}, "", 0),
        ({"Retry-After": "9" * 400}, "", float("inf")),
        ({"Retry-After": "1_0"}, "", 0),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, "", 1.5),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, "", 0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:30 GMT"}, "", 7),
        ({"Retry-After": "Sunday, 06-Nov-94 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:36 GMT"}, "", 1),
        ({"Retry-After": "Sun Nov  6 08:49:37 1994", "Date": "Sun, 06 Nov 1994 08:49:35 GMT"}, "", 2),
        ({"Retry-After": "Sun, 99 Nov 1994 08:49:37 GMT"}, "", 0),
        ({}, "Please try again in 8s.", 8),
        ({}, "Rate limit: Limit 900, Used 800. Please try again in 1.2s", 1.2),
        ({}, "try again in 8.5 seconds", 8.5),
        ({}, "Please retry after 30 seconds.", 30),
        ({}, "Retry in 500ms", 0.5),
        ({}, "again in 1m30s", 90),
        ({}, "again in 1h2m3s", 3723),
        ({}, '"retryDelay": "34.07s"', 34.07),
        ({}, "Request was throttled. Expected available in 5 seconds.", 5),
        ({}, "try again later: 3 items of 20 m", 0),
    ],
)
def test_the_time_that_a_server_asks_for_is_read_in_each_form(headers, words, seconds):
    assert patience.asked_seconds(headers, words) == pytest.approx(seconds)


def test_a_date_without_the_servers_clock_is_read_by_ours():
    assert patience.asked_seconds({"Retry-After": http_date(30)}, "") == pytest.approx(30, abs=5)


@pytest.mark.parametrize("more", [{"Retry-After": "1.2"}, {"retry-after-ms": "1200"}, {}])
def test_the_time_asked_for_is_waited(server, more):
    answer_first(server, Response("try again in 1.2s", 429, more))
    started = time.monotonic()
    assert openai(server.url).embed(["text"])
    assert time.monotonic() - started > 1.1
    assert len(server.asked) == 2


@pytest.mark.parametrize("asked", ["3600", http_date(7200), "9" * 400])
def test_a_wait_beyond_the_deadline_is_told_at_once(server, asked):
    server.fault = lambda texts: Response("busy", 503, {"Retry-After": asked})
    said = failure(lambda: openai(server.url).embed(["text"]))
    assert "the server asks to wait " in said
    assert "EMBALIGN_REQUEST_SECONDS (5 s); rerun later, or increase it" in said
    assert len(server.asked) == 1


def test_a_server_that_is_away_for_a_while_after_it_has_answered_is_waited_for():
    """Away: nobody listens, then connections break, then it is back."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    good = json.dumps({"data": [{"index": 0, "embedding": [1.0]}]}).encode()

    def serve(listener, behave):
        with listener:
            connection, _ = listener.accept()
            with connection:
                read_request(connection)
                behave(connection)

    def answer(connection):
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(good)}\r\n\r\n"
        connection.sendall(head.encode() + good)

    def all_of_it():
        serve(listener, answer)
        time.sleep(0.4)
        for behave in (reset, lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le"), answer):
            serve(socket.create_server(("127.0.0.1", port)), behave)

    thread = threading.Thread(target=all_of_it, daemon=True)
    thread.start()
    source = openai(f"http://127.0.0.1:{port}")
    assert source.embed(["text"]) == [[1.0]]
    assert source.embed(["text"]) == [[1.0]]
    thread.join(timeout=10)


def test_one_that_never_answered_is_not(server):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = time.monotonic()
    said = failure(lambda: openai(f"http://127.0.0.1:{port}").identify())
    assert "refused the connection; start the server" in said
    assert time.monotonic() - started < 4


def test_a_text_that_crashes_the_runner_is_waited_for_once_and_not_in_each_part_of_a_bisection(server, monkeypatch):
    monkeypatch.setattr(http, "CRASH_SECONDS", 1.0)
    server.fault = lambda texts: as_json({"error": "runner crashed"}, 500) if "bad" in texts else None
    source = openai(server.url)
    for texts in (["good", "bad"], ["bad"], ["bad", "worse"]):
        with pytest.raises(StatusError, match="runner crashed"):
            source.embed(texts)
        assert source.embed(["good"])
    waits = [len([texts for texts in server.asked if texts == asked]) for asked in (["good", "bad"], ["bad"])]
    assert waits[0] > 3 >= waits[1]


def test_a_long_wait_is_told_unless_the_run_is_quiet(server, monkeypatch, capsys):
    monkeypatch.setattr(patience, "TOLD_AFTER", 0.05)
    for shown in (True, False):
        patience.show_waits(shown)
        answer_first(server, *[Response("busy", 503, {"Retry-After": "0.1"})] * 2)
        openai(server.url).embed(["text"])
        told = capsys.readouterr().err
        assert told.count("is busy (status 503): busy; waiting for it, 5 s at most") == shown
    patience.show_waits(True)


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


def test_an_answer_that_only_says_that_the_model_is_loading_is_waited_for(server):
    answer_first(server, as_json({"error": "the model is loading"}), as_json({"error": {"message": "server busy"}}))
    assert openai(server.url).embed(["text"])


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


OPTIONAL = {
    "503": lambda request: Response("no healthy upstream", 503),
    "401": lambda request: as_json({"error": "management routes only"}, 401),
    "hangs": lambda request: time.sleep(1),
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
    for path in ("/props", "/v1/models"):
        httpserver.expect_request(path).respond_with_handler(OPTIONAL[fault])
    source = openai(httpserver.url_for(""))
    found = source.identify()
    assert source.identify() == found
    assert len(httpserver.log) <= 4


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


@pytest.fixture
def dead_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://me:hush-hush@127.0.0.1:9")


HERE = ["0.0.0.0", "[::ffff:0.0.0.0]", "0", "127.0.0.1", "127.1", "127.0.0.2", "2130706433", "[::ffff:7f00:1]", ""]


@pytest.mark.parametrize("host", [*HERE, "localhost", "localhost."])
@pytest.mark.parametrize("kind", [openai, ollama])
def test_this_machine_is_never_proxied_and_a_bind_address_is_loopback(httpserver, dead_proxy, host, kind):
    with socket.create_server(("0.0.0.0", 0)) as listener:
        answers = RawServer.__new__(RawServer)
        answers.listener, answers.connections = listener, 0
        body = b'{"data": [{"index": 0, "embedding": [1.0]}], "embeddings": [[1.0]]}'

        def behave(connection, number):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        answers.behave = behave
        threading.Thread(target=answers.serve, daemon=True).start()
        assert kind(f"http://{host}:{listener.getsockname()[1]}").embed(["text"]) == [[1.0]]


def test_so_are_its_own_names_and_addresses():
    own = socket.gethostname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    assert all(map(is_local, (own.lower(), own.lower().partition(".")[0], address, "::1", "box.localhost")))
    assert not any(map(is_local, ("192.0.2.1", "2001:db8::1", "example", "127.0.0.1.example", "localhost.example")))
    assert parse_address("http://[::]:7", "here").shown == "http://[::1]:7"


@pytest.mark.parametrize("endpoint", ["http://box.example:7", "https://box.example"])
def test_a_proxy_that_fails_is_named(dead_proxy, endpoint):
    said = failure(lambda: openai(endpoint).identify())
    assert "the proxy http://127.0.0.1:9 (from http" in said
    assert "refused the connection" in said
    assert "add the host to NO_PROXY" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    "proxy", ["http://[bad", "socks9://127.0.0.1:1", "http://no-such-host.invalid:1", "http://h:x"]
)
def test_so_is_one_that_is_none(monkeypatch, proxy):
    monkeypatch.setenv("http_proxy", proxy)
    assert "http_proxy" in failure(lambda: openai("http://box.example").identify())


def test_a_proxy_that_wants_a_user_is_named(monkeypatch):
    def behave(connection, number):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    raw = RawServer(behave)
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", raw.url)
        said = failure(lambda scheme=scheme: openai(f"{scheme}://box.example").embed(["text"]))
        assert raw.url in said
        assert "407" in said or "asks for a user" in said
    raw.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "a..b", "-"])
def test_a_name_that_no_server_has_is_told_at_once(host):
    assert "the host name cannot be resolved; correct it" in failure(lambda: openai(f"http://{host}").identify())


def test_no_proxy_is_honoured(dead_proxy, monkeypatch):
    monkeypatch.setenv("no_proxy", "box.invalid")
    assert "the host name cannot be resolved" in failure(lambda: openai("http://box.invalid").identify())


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return a function that makes key and certificate for a host."""

    def make(host, start="20260101000000Z", end="20990101000000Z"):
        folder = tmp_path_factory.mktemp("tls")
        (folder / "ca.conf").write_text(AUTHORITY.format(host=host))
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01")
        names = ["-subj", f"/CN={host}", "-keyout", "key.pem", "-out", "request.pem"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        signed = ["-selfsign", "-keyfile", "key.pem", "-in", "request.pem", "-out", "cert.pem"]
        for command in (
            ["req", "-new", *kind, *names],
            ["ca", "-batch", "-notext", "-config", "ca.conf", "-startdate", start, "-enddate", end, *signed],
        ):
            subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
        return folder

    return make


AUTHORITY = """
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:{host}
"""


def tls_server(folder):
    """A server that speaks TLS and answers every request with a vector."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    body = b'{"data": [{"index": 0, "embedding": [1.0]}]}'

    def behave(connection, number):
        with context.wrap_socket(connection, server_side=True) as secure:
            read_request(secure)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    return RawServer(behave)


@needs_openssl
def test_a_certificate_that_cannot_be_trusted_is_told_once_with_its_remedy(certificate, monkeypatch):
    folder = certificate("localhost")
    raw = tls_server(folder)
    url = raw.url.replace("http://127.0.0.1", "https://localhost")
    said = failure(lambda: openai(url).identify())
    assert "not trusted (self-signed certificate); if you trust the server, set REQUESTS_CA_BUNDLE to the path" in said
    assert raw.connections == 1
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "cert.pem"))
    assert openai(url).embed(["text"]) == [[1.0]]
    assert "use the host name" in failure(lambda: openai(url.replace("localhost", "127.0.0.1")).embed(["text"]))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate("localhost") / "cert.pem"))
    assert "not trusted" in failure(lambda: openai(url).embed(["text"]))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "key.pem"))
    assert "REQUESTS_CA_BUNDLE is " in failure(lambda: openai(url))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    assert "cannot be used (No such file or directory); set it to a file" in failure(lambda: openai(url))
    raw.close()


@needs_openssl
def test_an_expired_certificate_is_told_as_one(certificate, monkeypatch):
    folder = certificate("localhost", start="20200101000000Z", end="20200201000000Z")
    raw = tls_server(folder)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(folder / "cert.pem"))
    said = failure(lambda: openai(raw.url.replace("http://127.0.0.1", "https://localhost")).identify())
    assert "not trusted (certificate has expired); renew it" in said
    raw.close()


@needs_openssl
def test_plain_http_to_a_server_that_speaks_tls_is_told(certificate):
    raw = tls_server(certificate("localhost"))
    assert f"speaks TLS, write {raw.url.replace('http', 'https')}" in failure(lambda: openai(raw.url).embed(["text"]))
    raw.close()
    raw = RawServer(sent(b"\x15\x03\x03\x00\x02\x02\x46"))
    assert f"speaks TLS; write {raw.url.replace('http', 'https')}" in failure(lambda: openai(raw.url).embed(["text"]))
    assert raw.connections <= 3
    raw.close()


@pytest.mark.parametrize(
    "words",
    [
        "Client sent an HTTP request to an HTTPS server.",
        "<html>The plain HTTP request was sent to HTTPS port",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.",
    ],
)
def test_so_is_one_that_says_it_itself(server, words):
    server.fault = lambda texts: Response(words, 400)
    said = failure(lambda: openai(server.url).embed(["text"]))
    assert f"write {server.url.replace('http', 'https')}" in said


def sent(data):
    """What a server does that sends these bytes and closes."""

    def behave(connection, number):
        connection.recv(65536)
        connection.sendall(data)

    return behave


@pytest.mark.parametrize(
    "behave",
    [sent(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), sent(b""), sent(b"SSH-2.0-x\r\n")],
    ids=["HTTP", "nothing", "SSH"],
)
def test_https_to_a_server_that_speaks_none_is_told_at_once(behave):
    raw = RawServer(behave)
    said = failure(lambda: openai(raw.url.replace("http", "https")).identify())
    assert f"speaks no TLS{';' if 'broke' not in said else ','} write {raw.url}" in said
    assert raw.connections == 1
    raw.close()


def response(body, *headers, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def vectors(**more):
    return json.dumps({"data": [{"index": 0, "embedding": [1.0]} | more]}).encode()


ODD = {
    "deep lists": response(b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep objects": response(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "deep error": response(b'{"error":' * 100_000 + b"1" + b"}" * 100_000, status="400 No"),
    "lists too deep for a message": response(b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "objects too deep for a message": response(b'{"error":' * 900 + b"1" + b"}" * 900),
    "endless number": response(b'{"data": ' + b"9" * 100_000 + b"}"),
    "empty": response(b""),
    "null": response(b"null"),
    "text": response(b'"data"'),
    "not UTF-8": response(b'{"data": "\xff\xfe"}'),
    "half a surrogate": response(b'{"error": "\\ud800 no \\udfff"}', status="400 No"),
    "terminal codes": response(b'{"error": "\\u001b[2J\\n::error::x"}', status="400 No"),
    "data is an object": response(b'{"data": {"embedding": [1.0]}}'),
    "data is text": response(b'{"data": "x"}'),
    "index is true": response(vectors(index=True)),
    "index is false": response(vectors(index=False)),
    "index is a float": response(vectors(index=0.0)),
    "index is text": response(vectors(index="0")),
    "index is null": response(vectors(index=None)),
    "index is a list": response(vectors(index=[0])),
    "index is negative": response(vectors(index=-1)),
    "index is huge": response(vectors(index=10**400)),
    "index from 1": response(vectors(index=1)),
    "index NaN": response(vectors(index=float("nan"))),
    "204": response(b"", status="204 No Content"),
    "206": response(vectors(), status="206 Partial Content"),
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "103 and no more": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "status 999": response(b"", status="999 Odd"),
    "status abc": response(b"", status="abc"),
    "status of four digits": response(b"", status="2000 OK"),
    "no status": b"hello\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9\r\n",
    "zeros": b"\0" * 5000,
    "a long line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 300 + b"\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
    "chunks of garbage": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nx\r\n",
    "a redirect to nowhere": b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n",
    "a redirect to bytes": b"HTTP/1.1 301 Moved\r\nLocation: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    "an unknown encoding": response(b"x", "Content-Encoding: br"),
    "many encodings": response(b"x", "Content-Encoding: " + ", ".join(["gzip"] * 50)),
    "half a gzip": response(gzip.compress(b'{"data": []}' * 1000)[:30], "Content-Encoding: gzip"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("odd", ODD)
def test_every_odd_answer_is_an_error_of_one_line(odd):
    raw = RawServer(sent(ODD[odd]))
    said = failure(lambda: openai(raw.url).embed(["text"]))
    assert raw.url in said
    assert said.isprintable()
    raw.close()
    gc.collect()  # urllib3 leaves the socket of some of these open


@pytest.mark.parametrize("odd", ["a header without colon", "no index", "an unknown charset", "a long gzip"])
def test_what_is_odd_and_does_no_harm_is_accepted(odd):
    body = vectors()
    answers = {
        "a header without colon": response(body, "X-Odd"),
        "no index": response(b'{"data": [{"embedding": [1.0]}]}'),
        "an unknown charset": response(body, "Content-Type: application/json; charset=no-such"),
        "a long gzip": response(gzip.compress(body + b" " * 2**20), "Content-Encoding: gzip"),
    }
    raw = RawServer(sent(answers[odd]))
    assert openai(raw.url).embed(["text"]) == [[1.0]]
    raw.close()


BOMB = """
import resource, sys
from embalign.embeddings.openai import OpenAISource
from embalign.errors import SourceError
from embalign.pairs.config import Model
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
try:
    OpenAISource(Model("openai", "little", "mean", sys.argv[1])).embed(["text"])
except SourceError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize(
    ("layers", "message"), [(1, "the response exceeds 64 MiB"), (2, "compressed as 'gzip, gzip'")], ids=["one", "two"]
)
def test_a_response_that_unpacks_without_end_is_given_up_before_it_fills_the_memory(layers, message):
    bomb = gzip.compress(bytes(2**20)) * 400  # members one after another are one stream
    bomb = gzip.compress(bomb) if layers == 2 else bomb
    raw = RawServer(sent(response(bomb, "Content-Encoding: " + ", ".join(["gzip"] * layers))))
    done = subprocess.run(
        [sys.executable, "-c", BOMB, raw.url], env=light.environment(), capture_output=True, text=True, check=True
    )
    said, peak = done.stdout.splitlines()
    assert message in said
    assert int(peak) < 300
    raw.close()
