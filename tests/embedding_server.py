"""A real HTTP server on loopback that answers as Ollama and as OpenAI-compatible servers do, with faults to order.

Its vectors are a digest of the text, so that a client's mistakes show and a test needs no model.
"""

import contextlib
import hashlib
import json
import socket
import threading
import time

import numpy as np
from werkzeug import Request, Response

from embalign.embeddings.source import PROBES

DIMENSION = 24
WEIGHTS, MANIFEST = "a" * 64, "b" * 64


def vector(text, dimension=DIMENSION):
    """The unit vector of a text, as JSON numbers."""
    digest = hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()
    values = np.random.default_rng(list(digest)).standard_normal(dimension)
    return (values / np.linalg.norm(values)).tolist()


class EmbeddingServer:
    """Answers of a healthy server; `fault(texts)` may return another answer.

    `asked` holds the texts and `payloads` the whole body of each request but the probes.
    """

    def __init__(self, httpserver):
        self.httpserver = httpserver
        self.url = httpserver.url_for("").rstrip("/")
        self.asked = []
        self.payloads = []
        self.fault = lambda texts: None
        self.version = "0.24.0"
        self.names = [""]  # that responses state as the model's: the first ten the first one, then the last one
        self.answers = 0
        self.models = [{"name": "little:latest", "digest": MANIFEST}]
        self.listed = [{"id": "little"}]
        self.show = {"modelfile": f"FROM /models/blobs/sha256-{WEIGHTS}\n", "model_info": {"llama.pooling_type": 1}}
        for path, answer in (
            ("/api/version", lambda: {"version": self.version}),
            ("/api/tags", lambda: {"models": self.models}),
            ("/api/show", lambda: self.show),
            ("/v1/models", lambda: {"data": self.listed}),
        ):
            httpserver.expect_request(path).respond_with_handler(lambda _, answer=answer: as_json(answer()))
        httpserver.expect_request("/api/embed").respond_with_handler(self.embed)
        httpserver.expect_request("/v1/embeddings").respond_with_handler(self.embed)

    def embed(self, request: Request):
        """Answer with one vector a text, unless a fault is ordered."""
        texts = json.loads(request.data)["input"]
        if texts[0] not in PROBES:
            self.asked.append(texts)
            self.payloads.append(json.loads(request.data))
        found = self.fault(texts)
        if isinstance(found, Response):
            return found
        vectors = [vector(text) for text in texts] if found is None else found
        self.answers += 1
        name = self.names[0 if self.answers <= 10 else -1]
        stated = {"model": name} if name else {}
        if request.path == "/api/embed":
            return as_json({"embeddings": vectors} | stated)
        return as_json({"data": [{"index": i, "embedding": v} for i, v in reversed(list(enumerate(vectors)))]} | stated)

    def asked_of(self, texts):
        """Those of the texts that were asked for; the checks of a fetch ask for variants of texts too."""
        return {text for batch in self.asked for text in batch} & set(texts)

    def after_probes(self, answer):
        """Order a fault for the corpus alone: preflight passes."""
        self.fault = lambda texts: None if texts[0] in PROBES else answer(texts)


def as_json(content, status=200):
    """A JSON response, NaN and Infinity spelled as Python spells them."""
    return Response(json.dumps(content), status, content_type="application/json")


class RawServer:
    """A server of raw bytes: `behave(connection, number)` is called for each connection, numbered from 0."""

    def __init__(self, behave):
        self.behave = behave
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self.handle, args=(connection, number), daemon=True).start()

    def handle(self, connection, number):
        with connection, contextlib.suppress(OSError), contextlib.suppress(OSError):
            self.behave(connection, number)

    def close(self):
        self.listener.close()


def read_request(connection):
    """Return head and body of a request, read to its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head, body


def reset(connection):
    """Close with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def drip(connection, seconds=30.0):
    """Send a header a byte at a time."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000:
        connection.sendall(bytes([byte]))
        time.sleep(seconds / 300)
