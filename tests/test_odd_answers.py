"""Every odd answer is an error of one line, and none fills the memory."""

import gc
import gzip
import json
import subprocess
import sys

import light
import pytest
from embedding_clients import failure, openai, sent
from embedding_server import RawServer

pytestmark = pytest.mark.usefixtures("quick_client")


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
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]  # of this process, not its parent
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.parametrize(
    ("layers", "message"), [(1, "the response exceeds 16 MiB"), (2, "compressed as 'gzip, gzip'")], ids=["one", "two"]
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
