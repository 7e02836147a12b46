"""What a server means by "later" is waited for, and nothing else."""

import datetime
import email.utils
import json
import socket
import threading
import time

import pytest
from embedding_clients import answer_first, failure, openai
from embedding_server import EmbeddingServer, as_json, read_request, reset, vector
from werkzeug import Response

from embalign.embeddings import http, patience
from embalign.errors import StatusError

pytestmark = pytest.mark.usefixtures("quick_client")


@pytest.fixture
def server(httpserver):
    return EmbeddingServer(httpserver)


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


@pytest.mark.parametrize("asked", ["3600", http_date(7200), "9" * 400], ids=["seconds", "a date", "a huge number"])
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


def test_an_answer_that_only_says_that_the_model_is_loading_is_waited_for(server):
    answer_first(server, as_json({"error": "the model is loading"}), as_json({"error": {"message": "server busy"}}))
    assert openai(server.url).embed(["text"])
