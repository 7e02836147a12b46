"""Time what cache and client add to a fetch of 20,000 short texts from a fast server on loopback.

    pip install -c constraints.txt -e .
    python benchmark/fetch_overhead.py [--texts 20000] [--dimension 384] [--milliseconds 50]

The server answers each request of 16 texts after that many milliseconds: 320 texts a second. Its share of a fetch is
timed by bare requests of the same texts whose answers nobody reads. Printed: both times, and the memory at its peak.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import requests

from embalign.embeddings.cache import VectorCache
from embalign.embeddings.fetch import batches, fetch, open_source
from embalign.embeddings.preflight import preflight
from embalign.pairs.config import Model

OWN_VALUES = 8  # of each vector


def serve(dimension: int, seconds: float) -> str:
    """Start the server in a process of its own and return its address."""
    vector = np.random.default_rng(0).standard_normal(dimension - OWN_VALUES)
    shared = json.dumps((vector / np.linalg.norm(vector)).tolist()).removeprefix("[")

    def values(text: str) -> str:
        # A fetch accepts no server that gives different texts one vector.
        own = hashlib.sha256(text.encode()).digest()[:OWN_VALUES]
        return f"[{', '.join(str(byte / 10_000) for byte in own)}, {shared}"

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            texts = json.loads(self.rfile.read(size))["input"]
            time.sleep(seconds)
            entries = ",".join(f'{{"index": {i}, "embedding": {values(text)}}}' for i, text in enumerate(texts))
            body = f'{{"data": [{entries}]}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if os.fork() == 0:
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
        server.serve_forever()
    return f"http://127.0.0.1:{server.server_address[1]}"


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    """Fetch, time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--milliseconds", type=float, default=50.0, help="a request, in the server (default 50)")
    arguments = parser.parse_args()
    url = serve(arguments.dimension, arguments.milliseconds / 1000)
    source = open_source(Model("openai", "fast", "mean", url))
    identity = preflight(source)
    texts = [f"text number {i}" for i in range(arguments.texts)]

    parts = list(batches(texts))
    started = time.perf_counter()
    with requests.Session() as session:
        for part in parts:
            payload = {"model": "fast", "input": part, "encoding_format": "float"}
            session.post(f"{url}/v1/embeddings", json=payload, timeout=60).raise_for_status()
    bare = time.perf_counter() - started

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        cache = VectorCache(Path(folder) / "vectors.sqlite")
        started = time.perf_counter()
        vectors = fetch(source, identity, texts, cache, label="fetch")
        elapsed = time.perf_counter() - started
        cache.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{len(vectors)} vectors of {vectors.shape[1]}, {len(parts)} requests of {arguments.milliseconds:g} ms")
    print(f"bare requests {bare:.1f} s, fetch {elapsed:.1f} s: cache and client {100 * (1 - bare / elapsed):.1f} %")
    print(f"memory: {before / 1024:.0f} MiB before, {peak / 1024:.0f} MiB at the peak; the vectors are ", end="")
    print(f"{vectors.nbytes / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
