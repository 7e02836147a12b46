"""HTTP requests to an embedding server: bounded in time and size, without redirects or leaked credentials.

One wall-clock deadline covers a whole request, including its body, which is capped. Connection faults and statuses 429
and 503 are retried a few times after random, growing waits, or after the server's Retry-After, up to a cap. Redirects
are rejected, loopback is never proxied, and text from a server is shortened and escaped before it is shown.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec

from embalign.errors import AnswerError, SourceError, StatusError, TransientError
from embalign.lazy import lazy

if TYPE_CHECKING:
    import requests
else:
    requests = lazy("requests")

DEADLINE_VARIABLE = "EMBALIGN_REQUEST_SECONDS"
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
DEADLINE, QUERY_SECONDS, CONNECT_SECONDS = 120.0, 3.0, 3.0
ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 5, 0.25, 20.0
LARGEST_BODY = 64 * 2**20
SHOWN = 200


class Client:
    """JSON over HTTP with one server.

    `origin` says where the URL comes from and `remedy` what to do about an error status and its detail, for messages.
    """

    def __init__(
        self, url: str, origin: str, remedy: Callable[[int, str], str], headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = checked_url(url, origin)
        self.address = without_credentials(self.url)
        self.shown = f"{self.address} (from {origin})"
        self.deadline = _deadline()
        self.interruptions = 0  # requests that failed and were repeated
        self._remedy = remedy
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._session = self._new_session()

    def ask(self, path: str, payload: Any = None, deadline: float | None = None) -> dict[str, Any]:
        """Return the JSON response to a POST of `payload`, or to a GET request without one. Raises SourceError."""
        for attempt in range(ATTEMPTS):
            asked_for = 0.0
            try:
                return self._within(path, payload, deadline or self.deadline)
            except TransientError as error:
                if attempt == ATTEMPTS - 1:
                    raise SourceError(f"{error}; gave up after {ATTEMPTS} attempts") from None
                asked_for = error.retry_after
            except StatusError as error:
                # The server restarts a crashed runner at once; a text that crashes it does so again.
                if error.status != 500 or attempt > 0:
                    raise
            self.interruptions += 1
            # urllib3's own retries cover neither a truncated body nor the deadline.
            growing = random.uniform(0.5, 1.0) * FIRST_WAIT * 2**attempt
            time.sleep(min(LONGEST_WAIT, max(asked_for, growing)))
        raise AssertionError("unreachable")

    def _within(self, path: str, payload: Any, deadline: float) -> dict[str, Any]:
        """Run one request in its own thread: a read timeout alone never ends a drip-fed response."""
        future: Future[dict[str, Any]] = Future()

        def work() -> None:
            try:
                future.set_result(self._once(path, payload, deadline))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            return future.result(timeout=deadline)
        except TimeoutError:
            self._session = self._new_session()  # the waiting thread keeps the old one
            remedy = (
                f"if the model is slow to load or to run, increase {DEADLINE_VARIABLE} (seconds)"
                if deadline >= self.deadline
                else "a query about the model takes less; check that this is the right server and that it is not stuck"
            )
            raise SourceError(f"{self.shown}{path}: no response within {deadline:g} s; {remedy}") from None

    def _once(self, path: str, payload: Any, deadline: float) -> dict[str, Any]:
        try:
            response = self._session.request(
                "GET" if payload is None else "POST",
                self.url + path,
                json=payload,
                timeout=(CONNECT_SECONDS, deadline),
                allow_redirects=False,
                stream=True,
            )
            body = bytearray()
            for part in response.iter_content(64 * 1024):
                body += part
                if len(body) > LARGEST_BODY:
                    raise SourceError(f"{self.shown}: the response exceeds {LARGEST_BODY // 2**20} MiB; discarded")
        except OSError as error:  # requests' own errors are among them
            raise self._fault(path, error) from None
        return self._decoded(f"{self.shown}{path}", response, bytes(body))

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.headers.update(self._headers)
        session.trust_env = not _is_loopback(self.url)
        return session

    def _fault(self, path: str, error: OSError) -> SourceError:
        text = str(error)
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return SourceError(f"{self.shown}{path}: the response body cannot be decoded: {shown(error)}")
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return SourceError(
                f"{self.shown}: no connection within {CONNECT_SECONDS:g} s; start the server or correct the address"
            )
        if "NameResolutionError" in text or "getaddrinfo" in text:
            return SourceError(f"{self.shown}: the host name cannot be resolved")
        if "Connection refused" in text or "NewConnectionError" in text:
            return SourceError(f"{self.shown} refused the connection; start the server or correct the address")
        return TransientError(f"{self.shown}{path}: the connection broke: {shown(error)}")

    def _decoded(self, where: str, response: requests.Response, body: bytes) -> dict[str, Any]:
        status = response.status_code
        if status == 200:
            try:
                return _parsed(body)
            except (ValueError, RecursionError):
                raise AnswerError(
                    f"{where}: the response is not a JSON object: {shown(_said(body))}; check that this is the address "
                    "of the right server"
                ) from None
        if 300 <= status < 400:
            target = shown(without_credentials(response.headers.get("Location", "")))
            raise AnswerError(f"{where} redirects to {target}; use that address instead")
        text = shown(_said(body))
        if status in (429, 503):
            wait = response.headers.get("Retry-After", "")
            message = f"{where} is busy (status {status}): {text}"
            raise TransientError(message, float(wait) if wait.isdecimal() else 0.0)
        remedy = self._remedy(status, text)
        raise StatusError(f"{where} returned status {status}: {text}{remedy and f'; {remedy}'}", status, text)


def checked_url(url: str, origin: str) -> str:
    """Return the URL without a trailing slash. Raises SourceError for an invalid scheme, host or port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SourceError(f"{without_credentials(url)!r} (from {origin}) is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SourceError(f"{without_credentials(url)!r} (from {origin}) must look like http://host:port")
    return url.rstrip("/")


def without_credentials(url: str) -> str:
    """Return a URL without user name, password and query, fit to be shown or stored."""
    return re.sub("^(.*?://)?[^/]*@", r"\1", url).partition("?")[0]


def shown(text: object) -> str:
    """Return the first 200 characters of a text from a server, control characters escaped."""
    words = str(text).strip()
    cut = words[:SHOWN] + ("..." if len(words) > SHOWN else "")
    return repr(cut)[1:-1] if cut else "(nothing)"


def objects(found: Any) -> list[dict[str, Any]]:
    """Return the JSON objects of a list in a response, none if it is no list."""
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object. Parsing numbers dominates the client's time; msgspec is several times faster at it."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        # json accepts NaN, so that the check of the vectors can name the text
        return msgspec.convert(json.loads(body), dict[str, Any])


def _said(body: bytes) -> str:
    """Return the error message in a JSON body, or the body itself."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return body.decode("utf-8", errors="replace")


def _deadline() -> float:
    value = os.environ.get(DEADLINE_VARIABLE) or str(DEADLINE)
    try:
        return msgspec.convert(value, Seconds, strict=False)
    except msgspec.ValidationError:
        raise SourceError(f"{DEADLINE_VARIABLE} is {value!r}; set it to a number of seconds above 0") from None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
