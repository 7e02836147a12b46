"""Connections to this machine, through proxies and over TLS: who is asked, and what is told where it fails."""

import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from embedding_clients import failure, ollama, openai, sent
from embedding_server import EmbeddingServer, RawServer, read_request
from werkzeug import Response

from embalign.embeddings.addresses import is_local, parse_address

pytestmark = pytest.mark.usefixtures("quick_client")


@pytest.fixture
def server(httpserver):
    return EmbeddingServer(httpserver)


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
subjectKeyIdentifier = hash
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
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
