"""What can go wrong between a pair.toml and its embeddings: each fault has its message and exit code.

The servers are real sockets, the disk limit is the kernel's, the signals are signals. A run is a pytest process on a
light experiment whose pair has no embeddings yet.
"""

import contextlib
import json
import os
import pickle
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import disk_faults
import light
import pytest
from embedding_server import DIMENSION, EmbeddingServer, RawServer, as_json, drip, read_request, reset, vector
from werkzeug import Response

from embalign.embeddings.asking import BATCH_TEXTS
from embalign.pairs.pair import load_pair

TEXTS = 40
SIDE = '[{role}]\nsource = "{source}"\nmodel = "little"\n{more}\n'


@pytest.fixture
def server(httpserver):
    return EmbeddingServer(httpserver)


class Bench:
    """A root with a light experiment and a pair that has a corpus and no embeddings."""

    def __init__(self, root, items):
        self.root = root
        self.folder = root / "benchmark" / "small"
        seed = root / "seed"
        seed.mkdir()
        lines = [json.dumps({"id": str(i), "text": item.text, "label": item.label}) for i, item in enumerate(items)]
        (seed / "corpus.jsonl").write_text("\n".join(lines) + "\n")
        (seed / "pair.toml").write_text("")
        light.build_root(root, seed, cells=4)
        self.texts = [item.text for item in items]
        self.cache = root / ".embalign" / "embeddings.sqlite"

    def use(self, endpoint, source="ollama", more=""):
        """Write a pair.toml whose both sides ask that endpoint."""
        lines = f'endpoint = "{endpoint}"\n{more}' if endpoint else more
        sides = [SIDE.format(role=role, source=source, more=lines) for role in ("draft", "teacher")]
        (self.folder / "pair.toml").write_text("\n".join(sides))

    def run(self, *options, limit=None, **environment):
        """Run the experiment to its end."""
        settings = {"EMBALIGN_REQUEST_SECONDS": "20", "LIGHT_SECONDS": "0"} | environment
        return subprocess.run(
            light.command(*options),
            cwd=self.root,
            env=light.environment(measured=limit is None, **settings),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limit,
        )

    def start(self, **environment):
        """Start a run and return its process."""
        return subprocess.Popen(
            light.command(),
            cwd=self.root,
            env=light.environment(LIGHT_SECONDS="0", **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=light.listen_to_interrupt,
        )

    def refuse(self, message, *options, **environment):
        """Run; it is a usage error, the message names cause and remedy, and nothing of the pair is written."""
        done = self.run(*options, **environment)
        output = done.stdout + done.stderr
        assert done.returncode == pytest.ExitCode.USAGE_ERROR, output
        assert re.search(message, output), output
        assert "Traceback" not in output
        assert "INTERNALERROR" not in output
        folder = self.folder / "embeddings"
        assert not folder.exists() or list(folder.iterdir()) == []
        return output

    def stored(self):
        """Number of vectors in the cache."""
        return self.count("vectors")

    def count(self, table):
        """Number of rows of a table of the cache."""
        if not self.cache.exists():
            return 0
        with contextlib.closing(sqlite3.connect(self.cache)) as connection:
            tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] if tables else 0

    def finished(self, *options, **environment):
        """Run; the pair is embedded whole and the experiment has its report."""
        done = self.run(*options, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        pair = load_pair(self.folder)
        expected = [vector(item.text) for item in pair.items]
        assert abs(pair.draft - expected).max() < 0.002
        assert abs(pair.teacher - expected).max() < 0.002
        assert (self.folder / "reports" / "light" / "report.md").is_file()
        return done


@pytest.fixture
def bench(tmp_path, smollm2):
    return Bench(tmp_path, smollm2.items[:TEXTS])


def test_a_pair_of_two_model_names_is_embedded_and_measured_by_one_command(bench, server):
    bench.use(server.url)
    bench.finished()
    provenance = json.loads((bench.folder / "embeddings" / "provenance.json").read_text())
    assert provenance["draft"]["verified"] is True
    assert provenance["draft"]["pooling"] == "mean"
    # Both sides are one model here, so the teacher's vectors come from the cache: texts are fetched once and checked
    # once, a few of them alone too.
    assert server.asked_of(bench.texts) == set(bench.texts)
    assert provenance["draft"]["rechecked"] == len(set(bench.texts))
    assert provenance["draft"]["rechecked_lowest_cosine"] > 0.9999
    assert "rechecked" not in provenance["teacher"]
    assert len(server.asked) <= 20


def test_servers_that_speak_openai_are_asked_in_their_own_words_and_kept_in_order(bench, server):
    """A page for people where llama.cpp tells of itself is no reason to refuse a server."""
    server.httpserver.expect_request("/props").respond_with_data("<html>", content_type="text/html")
    bench.use(f"{server.url}/v1", source="openai", more='pooling = "mean"')
    bench.finished()
    assert json.loads((bench.folder / "embeddings" / "provenance.json").read_text())["draft"]["verified"] is False


def test_under_xdist_the_pair_is_embedded_once_before_the_processes_start(bench, server):
    bench.use(server.url)
    bench.finished("-n", "2")
    assert len(server.asked) <= 20  # as without workers


def test_nothing_is_fetched_where_nothing_is_measured(bench, server):
    bench.use(server.url)
    assert bench.run("--collect-only", "-q").returncode == 0
    assert server.asked == []


def test_refresh_fetches_again_what_no_digest_pins_and_reuses_what_one_does(bench, server):
    bench.use(server.url)
    bench.finished()
    first = len(server.asked)
    bench.finished("--refresh")
    assert len(server.asked) == first
    server.show = {"model_info": {"llama.pooling_type": 1}}  # no blob named: the weights could be any
    bench.finished("--refresh")
    bench.finished("--refresh")
    assert len(server.asked) > 2 * first


def test_proxy_variables_are_ignored_for_this_machine(bench, server):
    bench.use(server.url)
    bench.finished(HTTP_PROXY="http://127.0.0.1:1", http_proxy="http://127.0.0.1:1")


def test_ollama_host_is_used_where_pair_toml_names_no_endpoint(bench, server):
    bench.use("")
    bench.finished(OLLAMA_HOST=server.url.removeprefix("http://"))
    bench.folder.joinpath("embeddings", "draft.safetensors").unlink()
    done = bench.run(OLLAMA_HOST="127.0.0.1:1")
    assert re.search(r"http://127.0.0.1:1 \(from OLLAMA_HOST\) refused the connection", done.stderr)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("http://127.0.0.1:{closed}", r"127\.0\.0\.1:\d+ \(from endpoint in pair.toml\) refused the connection; start"),
        ("http://no-such-host.invalid:80", "the host name cannot be resolved"),
        ("ftp://127.0.0.1", "must look like http://host:port"),
        ("http://127.0.0.1:99999", "its port not one from 1 to 65535"),
        ("http://user:secret@127.0.0.1:{closed}", r"http://127\.0\.0\.1:\d+ \(from"),
    ],
)
def test_addresses_that_lead_nowhere_are_named_as_resolved(bench, endpoint, message):
    bench.use(endpoint.format(closed=closed_port()))
    assert "secret" not in bench.refuse(message)


def headers(length, *more):
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {length}", *more, "", ""]
    return "\r\n".join(lines).encode()


BREAKS = {
    "reset": lambda connection: reset(connection),
    "empty close": lambda connection: None,
    "truncated body": lambda connection: connection.sendall(headers(500) + b'{"version": "0.2'),
    "cut chunk": lambda connection: connection.sendall(
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"version"'
    ),
}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_connection_that_breaks_is_tried_again_for_a_while(bench, fault):
    def behave(connection, number):
        read_request(connection)
        BREAKS[fault](connection)

    raw = RawServer(behave)
    bench.use(raw.url)
    bench.refuse(r"the connection broke.*gave up after .* s and \d+ attempts", EMBALIGN_REQUEST_SECONDS="2")
    assert raw.connections >= 3
    raw.close()


@pytest.mark.parametrize("fault", BREAKS)
def test_a_connection_that_breaks_once_costs_nothing(bench, server, fault):
    """Every fourth connection breaks; the others are passed on to a healthy server."""

    def behave(connection, number):
        if number % 4 == 0:
            read_request(connection)
            BREAKS[fault](connection)
            return
        forward(connection, server.httpserver.port)

    raw = RawServer(behave)
    bench.use(raw.url)
    bench.finished()
    raw.close()


def forward(connection, port):
    """Pass one request on and its answer back."""
    head, body = read_request(connection)
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection"))
    with socket.create_connection(("127.0.0.1", port)) as upstream:
        upstream.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
        while part := upstream.recv(65536):
            connection.sendall(part)


@pytest.mark.parametrize("behave", [lambda c, n: drip(c), lambda c, n: time.sleep(30)], ids=["drips", "hangs"])
def test_one_deadline_ends_a_request_that_drips_or_hangs(bench, behave):
    raw = RawServer(behave)
    bench.use(raw.url)
    bench.refuse("no response within 2 s; check that this is the right server", EMBALIGN_REQUEST_SECONDS="2")
    raw.close()


def test_the_deadline_can_be_set_and_must_be_a_number(bench, server):
    server.after_probes(lambda texts: time.sleep(3))
    bench.use(server.url)
    bench.refuse(
        "no response within 1 s; if the model is slow.*increase EMBALIGN_REQUEST_SECONDS", EMBALIGN_REQUEST_SECONDS="1"
    )
    bench.refuse("EMBALIGN_REQUEST_SECONDS is 'soon'; set it to a number", EMBALIGN_REQUEST_SECONDS="soon")


def answer_with(*arguments, **options):
    return lambda texts: Response(*arguments, **options)


UNUSABLE = {
    "redirect": (answer_with("", 302, {"Location": "http://elsewhere/x"}), "redirects to http://elsewhere/x; use that"),
    "html": (answer_with("<html>\x1b[31mSign in</html>"), r"not a JSON object: <html>\\x1b\[31mSign in"),
    "not utf-8": (answer_with(b"\xff\xfe{", content_type="application/json"), "not a JSON object"),
    "no gzip": (answer_with(b"no gzip", headers={"Content-Encoding": "gzip"}), "cannot be decoded"),
    "a key": (lambda texts: as_json({"error": "x"}, 401), "status 401"),
    "another shape": (lambda texts: as_json({"x": []}), "has no list of embeddings"),
    "a list": (lambda texts: as_json(["x"]), r"not a JSON object: \['x'\]|not a JSON object: \[\"x"),
    "no model": (lambda texts: as_json({"error": "model 'little' not found"}, 404), "ollama pull little"),
    "no embeddings": (
        lambda texts: as_json({"error": "This server does not support embeddings"}, 501),
        r"returned status 501: This server does not .*Either use .*pooling_type",
    ),
    "one fewer": (lambda texts: [vector(t) for t in texts][:-1], f"{BATCH_TEXTS - 1} vectors for {BATCH_TEXTS} texts"),
    "one more": (
        lambda texts: [vector(t) for t in (*texts, "x")],
        f"{BATCH_TEXTS + 1} vectors for {BATCH_TEXTS} texts",
    ),
    "none": (lambda texts: [], f"returned 0 vectors for {BATCH_TEXTS} texts"),
    "nan": (lambda texts: [[float("nan")] * DIMENSION for _ in texts], "NaN or infinite values for the text"),
    "infinite": (lambda texts: [[float("inf")] * DIMENSION for _ in texts], "NaN or infinite values for the text"),
    "huge": (lambda texts: [[10**400] * DIMENSION for _ in texts], "NaN or infinite values for the text"),
    "null numbers": (lambda texts: [[None] * DIMENSION for _ in texts], "not a number"),
    "strings": (lambda texts: [["1.0"] * DIMENSION for _ in texts], "not a number"),
    "null": (lambda texts: [None for _ in texts], "None instead of a vector"),
    "zero": (lambda texts: [[0.0] * DIMENSION for _ in texts], "all-zero vector for the text"),
    "length 2": (lambda texts: [[2 * x for x in vector(t)] for t in texts], "a vector of length 2 instead of 1"),
    "by token": (lambda texts: [[vector(t)] for t in texts], "one vector per token instead of one per text"),
    "two dimensions": (
        lambda texts: [vector(t, DIMENSION + (t == texts[-1])) for t in texts],
        f"dimension {DIMENSION + 1} .* after vectors of dimension {DIMENSION}",
    ),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_answers_that_cannot_be_used_are_refused_and_nothing_is_kept(bench, server, fault):
    answer, message = UNUSABLE[fault]
    server.after_probes(answer)
    bench.use(server.url)
    bench.refuse(message)
    assert bench.stored() == 0
    assert len(server.asked) == 1  # no retry, no second batch


def test_a_dimension_that_changes_in_mid_run_names_both(bench, server):
    server.after_probes(lambda texts: None if len(server.asked) == 1 else [vector(t, 13) for t in texts])
    bench.use(server.url)
    bench.refuse(f"dimension 13 .* after vectors of dimension {DIMENSION}")
    assert bench.stored() == 0


def test_a_busy_server_is_given_the_time_it_asks_for(bench, server):
    def busy(texts):
        return Response("busy", 503, {"Retry-After": "1"}) if len(server.asked) in (1, 2) else None

    server.after_probes(busy)
    bench.use(server.url)
    started = time.monotonic()
    bench.finished()
    assert time.monotonic() - started > 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_stays_busy_is_given_up(bench, server, status):
    server.after_probes(answer_with("too many requests", status))
    bench.use(server.url)
    bench.refuse(
        rf"busy \(status {status}\): too many requests; gave up after .* s and \d+ attempts",
        EMBALIGN_REQUEST_SECONDS="2",
    )
    assert len(server.asked) >= 3


def test_texts_that_break_the_runner_are_named_and_the_rest_is_kept(bench, server):
    in_order = sorted(bench.texts, key=len, reverse=True)  # longest first
    bad = set(in_order[20:22])
    server.after_probes(lambda texts: as_json({"error": "runner crashed"}, 500) if bad & set(texts) else None)
    bench.use(server.url)
    first, second = (bench.texts.index(text) + 1 for text in in_order[20:22])
    output = bench.refuse(
        rf"cannot embed 2 of \d+ texts: text {first} .*runner crashed.*; text {second} ", EMBALIGN_REQUEST_SECONDS="2"
    )
    assert in_order[20][:40] in output
    assert bench.stored() >= BATCH_TEXTS


def test_an_over_long_text_is_named_with_its_place_and_length_and_never_cut(bench, server):
    long = bench.texts[5]
    too_long = as_json({"error": "the input length exceeds the context length"}, 400)
    server.after_probes(lambda texts: too_long if long in texts else None)
    bench.use(server.url)
    bench.refuse(rf"text 6 \({len(long)} characters\) .*exceeds the context length")


def test_vectors_that_depend_on_their_batch_are_refused_with_the_likely_setting(bench, server):
    def parallel(texts):
        return [vector(text + str(len(texts))) for text in texts]

    server.fault = parallel
    bench.use(server.url)
    bench.refuse(r"cosine -?0\.\d+ to itself embedded alone.*--parallel 1")


def test_models_and_poolings_that_do_not_fit_have_their_own_messages(bench, server):
    bench.use(server.url, more='pooling = "last"')
    bench.refuse("pooling is 'mean', but pair.toml says 'last'")
    server.show = {"modelfile": f"FROM sha256-{'c' * 64}\n", "model_info": {}}
    bench.use(server.url)
    bench.refuse("does not report its pooling; set pooling =")
    server.models = []
    bench.refuse("no such model; get it: ollama pull little")
    bench.use(server.url, source="openai")
    bench.refuse("does not report its pooling")
    bench.use("", source="openai")
    bench.refuse("source openai needs an endpoint")


def test_an_unverified_server_is_named_in_provenance_and_can_be_used(bench, server):
    server.models = [{"name": "little:latest", "digest": "sha256:" + "0" * 64}]
    server.show = {"modelfile": "FROM little\n", "model_info": {"llama.pooling_type": 3}}
    bench.use(server.url)
    done = bench.finished()
    assert "unverified server" in done.stdout
    assert "unverified server" in (bench.folder / "reports" / "light" / "report.md").read_text()
    assert json.loads((bench.folder / "embeddings" / "provenance.json").read_text())["teacher"]["verified"] is False


def flip(path, old=b"", new=b""):
    content = path.read_bytes()
    assert content.count(old) >= 1
    path.write_bytes(content.replace(old, new, 1))


def test_damaged_cache_rows_are_fetched_again(bench, server):
    import numpy as np

    bench.use(server.url)
    bench.finished()
    (bench.folder / "embeddings" / "draft.safetensors").unlink()
    with sqlite3.connect(bench.cache) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        key, blob = connection.execute("SELECT key, vector FROM vectors LIMIT 1").fetchone()
        flipped = bytes([blob[0] ^ 1]) + blob[1:]
        connection.execute("UPDATE vectors SET vector = ? WHERE key = ?", (flipped, key))
        other = connection.execute("SELECT key FROM vectors LIMIT 1 OFFSET 1").fetchone()[0]
        planted = pickle.dumps(np.zeros(3))
        connection.execute("UPDATE vectors SET vector = ?, dimension = 1 WHERE key = ?", (planted, other))
    connection.close()
    server.asked.clear()
    bench.finished()
    assert len(server.asked_of(bench.texts)) == 2


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, None], ids=["empty", "another file", "torn"])
def test_a_cache_that_is_no_database_is_set_aside_and_fetched_anew(bench, server, content):
    bench.use(server.url)
    bench.finished()
    (bench.folder / "embeddings" / "draft.safetensors").unlink()
    with sqlite3.connect(bench.cache) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = bench.cache.read_bytes()
    bench.cache.write_bytes(whole[: len(whole) // 2 - 100] if content is None else content)
    bench.finished()
    assert bench.stored() == len(set(bench.texts))


def test_a_cache_of_a_newer_version_is_refused_and_left_alone(bench, server):
    bench.cache.parent.mkdir()
    with sqlite3.connect(bench.cache) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = bench.cache.read_bytes()
    bench.use(server.url)
    bench.refuse("written by a newer embalign .*update embalign or move the file away")
    assert bench.cache.read_bytes() == before


def test_a_cache_folder_that_cannot_be_made_is_named(bench, server):
    (bench.root / ".embalign").write_text("in the way")
    bench.use(server.url)
    done = bench.run()
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert re.search(r"embeddings\.sqlite: .*(exists|Not a directory)", done.stderr)


# A filter that lets a system call fail is a thing of Linux, and calls have their numbers by processor.
needs_filter = pytest.mark.skipif(disk_faults.SYNC_CALLS is None, reason="no filter of system calls on this machine")


@pytest.fixture(
    params=[
        pytest.param(disk_faults.files_stay_small, id="full"),
        pytest.param(disk_faults.syncing_fails, id="EIO", marks=needs_filter),
    ]
)
def bad_disk(request):
    return request.param


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bad_disk_leaves_the_old_embeddings_as_they_were(bench, server, bad_disk):
    bench.use(server.url)
    bench.finished()
    before = contents(bench.folder / "embeddings")
    (bench.folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"id": str(i), "text": f"other {i}", "label": str(i % 5)}) + "\n" for i in range(TEXTS))
    )
    done = bench.run("--refresh", limit=bad_disk)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert re.search(r"embeddings\.sqlite: .*(disk|full|large|I/O)", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert contents(bench.folder / "embeddings") == before


def test_a_bad_disk_leaves_the_old_reports_as_they_were(bench, server, bad_disk):
    """Cells are measured again; neither their rows nor the report can be saved."""
    bench.use(server.url)
    bench.finished()
    before = contents(bench.folder / "reports")
    (bench.root / ".embalign" / "results.sqlite").unlink()
    done = bench.run(limit=bad_disk)
    output = done.stdout + done.stderr
    assert done.returncode != 0, output
    assert re.search(r"results\.sqlite: .*(disk|full|large|I/O).*; finished cells are saved", output), output
    assert "another exception" not in output
    assert "Traceback" not in output
    assert contents(bench.folder / "reports") == before


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["serial", "workers"])
def test_a_disk_that_fills_up_in_mid_run_ends_it_and_keeps_what_is_stored(bench, server, options, tmp_path):
    """The store's log outgrows the limit after some rows."""
    bench.use(server.url)
    bench.finished()
    root = tmp_path / "more"
    light.build_root(root, bench.folder)
    done = subprocess.run(
        light.command(*options),
        cwd=root,
        env=light.environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: disk_faults.files_stay_small(96),
    )
    output = done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.INTERRUPTED, output
    assert re.search(r"results\.sqlite: .*; finished cells are saved: fix this and rerun the same command", output), (
        output
    )
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
    with sqlite3.connect(root / ".embalign" / "results.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM measurements").fetchone()[0] > 0
    assert "60 cells measured" in light.run(root).stdout


@needs_filter
def test_a_file_that_cannot_be_synced_replaces_nothing(tmp_path):
    for name, text in (("new", "of this run"), ("old", "of the last run")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.md").write_text(text)
    code = "import pathlib; from embalign.durable import move_all; move_all(pathlib.Path('new'), pathlib.Path('old'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=light.environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=disk_faults.syncing_fails,
    )
    assert "Input/output error" in done.stderr
    assert (tmp_path / "old" / "report.md").read_text() == "of the last run"


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=["INT", "TERM", "KILL"]
)
def test_an_interrupted_fetch_goes_on_from_its_last_batch(bench, server, signum, code):
    """Whatever ends it, running again asks for at most one batch a second time."""

    def slow(texts):
        time.sleep(0.3)

    server.after_probes(slow)
    bench.use(server.url)
    process = bench.start()
    while bench.count("pending") == 0:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    time.sleep(0.15)
    process.send_signal(signum)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "Traceback" not in output
    if signum != signal.SIGKILL:
        assert "rerun the same command to resume" in output
    kept = bench.stored()
    assert kept >= len(server.asked_of(bench.texts)) - BATCH_TEXTS
    assert bench.count("pending") == kept  # until the check at the end
    server.after_probes(lambda texts: None)
    bench.finished()
    assert bench.count("pending") == 0


def test_two_runs_at_once_share_one_cache_and_both_finish(bench, server, tmp_path):
    server.after_probes(lambda texts: time.sleep(0.05))
    bench.use(server.url)
    processes = [bench.start() for _ in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert bench.stored() == len(set(bench.texts))
    bench.finished("--refresh")


def test_duplicate_texts_are_embedded_once(bench, server):
    lines = (bench.folder / "corpus.jsonl").read_text().splitlines()
    fields = json.loads(lines[0])
    (bench.folder / "corpus.jsonl").write_text("\n".join([*lines, json.dumps(fields | {"id": "again"})]) + "\n")
    bench.use(server.url)
    bench.finished()
    assert all(len(batch) == len(set(batch)) for batch in server.asked)
    assert server.asked_of(bench.texts) == set(bench.texts)
    recorded = json.loads((bench.folder / "embeddings" / "provenance.json").read_text())["draft"]
    assert (recorded["vectors"], recorded["distinct_texts"]) == (TEXTS + 1, len(set(bench.texts)))


def test_a_corpus_that_has_changed_since_is_refused_and_refresh_fetches_only_what_is_new(bench, server):
    bench.use(server.url)
    bench.finished()
    with (bench.folder / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "a new text", "label": "new"}) + "\n")
    done = bench.run()
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert re.search("SHA-256 is .* records .*--refresh", done.stderr, re.DOTALL)
    server.asked.clear()
    bench.finished("--refresh")
    assert server.asked_of([*bench.texts, "a new text"]) == {"a new text"}


def test_labels_that_no_experiment_can_use_are_refused_before_anything_is_fetched(bench, server):
    bench.use(server.url)
    path = bench.folder / "corpus.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("\n".join(json.dumps(line | {"label": line["id"]}) for line in lines) + "\n")
    bench.refuse("none of the .* held-out label groups has a second item.*the same label")
    assert bench.stored() == 0


def test_refresh_needs_a_pair_by_name(bench):
    command = [word for word in light.command("--refresh") if word not in ("--pair", "small")]
    done = subprocess.run(command, cwd=bench.root, env=light.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--refresh needs --pair" in done.stderr


def test_credentials_are_neither_shown_nor_stored(bench, server):
    """Not in the pair, the cache or the reports either, nor in a log of all that the libraries tell."""
    bench.use(server.url.replace("http://", "http://user:secret@") + "?key=secret-key")
    done = bench.finished("-o", "log_file=all.log", "-o", "log_file_level=DEBUG", "-rA")
    assert "secret" not in done.stdout + done.stderr
    assert "POST /api/embed?key=***" in (bench.root / "all.log").read_text()
    written = {path for path in bench.root.rglob("*") if path.is_file()} - {bench.folder / "pair.toml"}
    assert [path for path in written if b"secret" in path.read_bytes()] == []


def test_a_models_identity_is_its_own_and_no_other_models(bench, server):
    """What else a server has loaded, and in which order it lists it, changes no key of the cache."""
    from embalign.embeddings.fetch import open_source
    from embalign.pairs.config import Model

    own, other = {"id": "little", "meta": {"n_params": 7}}, {"id": "large", "meta": {"n_params": 70}}
    found = []
    for server.listed in ([own], [other, own], [own, other]):
        found.append(open_source(Model("openai", "little", "mean", server.url)).identify())
    assert found[0].weights == "n_params=7"
    assert found == [found[0]] * 3
    server.listed = [other]  # llama.cpp lists the one model it has by its path
    assert open_source(Model("openai", "little", "mean", server.url)).identify().weights == "n_params=70"


def test_one_model_name_on_two_servers_is_two_models(bench, server):
    """Neither says more of itself than the name: only the address tells whose vectors the cache has."""
    from embalign.embeddings.fetch import open_source
    from embalign.pairs.config import Model

    addresses = (server.url, server.url.replace("localhost", "127.0.0.1"))
    assert addresses[0] != addresses[1]
    draft, teacher = (open_source(Model("openai", "little", "mean", address)).identify() for address in addresses)
    assert draft != teacher


def test_a_key_that_no_header_can_hold_is_never_shown(bench, server):
    bench.use(server.url, source="openai", more='pooling = "mean"')
    output = bench.refuse("EMBALIGN_API_KEY contains characters", EMBALIGN_API_KEY="sk-se\rcret")
    assert "cret" not in output
    bench.finished(EMBALIGN_API_KEY="sk-secret\r\n")


def test_under_xdist_a_pair_that_does_not_fit_is_refused_and_its_report_stays(bench, server):
    bench.use(server.url)
    bench.finished()
    before = contents(bench.folder / "reports")
    with (bench.folder / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "one more", "label": "0"}) + "\n")
    done = bench.run("-n", "2")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert "rerun with --refresh" in done.stderr
    assert contents(bench.folder / "reports") == before


def test_the_environment_needs_no_home(bench, server):
    bench.use(server.url)
    bench.finished(HOME=os.devnull)
