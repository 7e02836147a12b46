"""HTTP requests to an embedding server: bounded in time and size, without redirects or leaked credentials.

One wall-clock deadline covers a whole request, including its body, which is capped. Connection faults and statuses 429
and 503 are retried a few times after random, growing waits, or after the server's Retry-After, up to a cap. Redirects
are rejected, loopback is never proxied, and text from a server is shortened and escaped before it is shown.
"""

from __future__ import annotations

import ipaddress
import json
import os
import queue
import random
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from embalign.errors import AnswerError, SourceError, StatusError, TransientError
from embalign.lazy import lazy

if TYPE_CHECKING:
    import requests
else:
    requests = lazy("requests")

DEADLINE_VARIABLE = "EMBALIGN_REQUEST_SECONDS"
DEADLINE, CONNECT_SECONDS = 120.0, 3.0
ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 5, 0.25, 20.0
LARGEST_BODY = 64 * 2**20
SHOWN = 200


class Client:
    """JSON over HTTP with one server. `origin` says where the URL comes from, for messages."""

    def __init__(self, url: str, origin: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = checked_url(url, origin)
        self.address = without_credentials(self.url)
        self.shown = f"{self.address} (from {origin})"
        self.deadline = _deadline()
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._session = self._new_session()

    def get(self, path: str, deadline: float | None = None) -> Any:
        """Return the JSON response to a GET request. Raises SourceError."""
        return self._ask("GET", path, None, deadline)

    def post(self, path: str, payload: Any, deadline: float | None = None) -> Any:
        """Return the JSON response to a POST of `payload` as JSON. Raises SourceError."""
        return self._ask("POST", path, payload, deadline)

    def _ask(self, method: str, path: str, payload: Any, deadline: float | None) -> Any:
        for attempt in range(ATTEMPTS):
            asked_for = 0.0
            try:
                return self._within(method, path, payload, deadline or self.deadline)
            except TransientError as error:
                if attempt == ATTEMPTS - 1:
                    raise SourceError(f"{error}; gave up after {ATTEMPTS} attempts") from None
                asked_for = error.retry_after
            except StatusError as error:
                # The server restarts a crashed runner at once; a text that crashes it does so again.
                if error.status != 500 or attempt > 0:
                    raise
            # urllib3's own retries cover neither a truncated body nor the deadline.
            growing = random.uniform(0.5, 1.0) * FIRST_WAIT * 2**attempt
            time.sleep(min(LONGEST_WAIT, max(asked_for, growing)))
        raise AssertionError("unreachable")

    def _within(self, method: str, path: str, payload: Any, deadline: float) -> Any:
        """Run one request in its own thread: a read timeout alone never ends a drip-fed response."""
        answers: queue.Queue[Any] = queue.Queue()

        def work() -> None:
            try:
                answers.put(self._once(method, path, payload, deadline))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            found = answers.get(timeout=deadline)
        except queue.Empty:
            self._session = self._new_session()  # the waiting thread keeps the old one
            remedy = (
                f"if the model is slow to load or to run, increase {DEADLINE_VARIABLE} (seconds)"
                if deadline >= self.deadline
                else "a query about the model takes less; check that this is the right server and that it is not stuck"
            )
            raise SourceError(f"{self.shown}{path}: no response within {deadline:g} s; {remedy}") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _once(self, method: str, path: str, payload: Any, deadline: float) -> Any:
        try:
            response = self._session.request(
                method,
                self.url + path,
                json=payload,
                headers=self._headers,
                timeout=(CONNECT_SECONDS, deadline),
                allow_redirects=False,
                stream=True,
            )
            body = self._body(response)
        except requests.exceptions.ContentDecodingError as error:
            raise SourceError(f"{self.shown}{path}: the response body cannot be decoded: {shown(error)}") from None
        except requests.exceptions.ConnectTimeout:
            raise SourceError(
                f"{self.shown}: no connection within {CONNECT_SECONDS:g} s; start the server or correct the address"
            ) from None
        except requests.exceptions.ConnectionError as error:
            raise self._connection_error(path, error) from None
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.Timeout, OSError) as error:
            raise TransientError(f"{self.shown}{path}: the connection broke: {shown(error)}") from None
        return self._decoded(path, response, body)

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = not _is_loopback(self.url)
        return session

    def _body(self, response: requests.Response) -> bytes:
        parts, size = [], 0
        for part in response.iter_content(64 * 1024):
            size += len(part)
            if size > LARGEST_BODY:
                raise SourceError(f"{self.shown}: the response exceeds {LARGEST_BODY // 2**20} MiB; discarded")
            parts.append(part)
        return b"".join(parts)

    def _connection_error(self, path: str, error: Exception) -> SourceError:
        text = str(error)
        if "NameResolutionError" in text or "getaddrinfo" in text:
            return SourceError(f"{self.shown}: the host name cannot be resolved")
        if "Connection refused" in text or "NewConnectionError" in text:
            return SourceError(f"{self.shown} refused the connection; start the server or correct the address")
        return TransientError(f"{self.shown}{path}: the connection broke: {shown(error)}")

    def _decoded(self, path: str, response: requests.Response, body: bytes) -> Any:
        status = response.status_code
        if status == 200:
            try:
                return _parsed(body)
            except (ValueError, RecursionError):
                text = shown(_said(body))
                raise AnswerError(f"{self.shown}{path}: the response is not JSON: {text}") from None
        if 300 <= status < 400:
            target = shown(without_credentials(response.headers.get("Location", "")))
            raise AnswerError(f"{self.shown}{path} redirects to {target}; use that address instead")
        text = shown(_said(body))
        if status in (429, 503):
            wait = response.headers.get("Retry-After", "")
            message = f"{self.shown}{path} is busy (status {status}): {text}"
            raise TransientError(message, float(wait) if wait.isdecimal() else 0.0)
        raise StatusError(f"{self.shown}{path} returned status {status}: {text}", status, text)


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
    scheme, separator, rest = url.partition("://")
    rest = rest if separator else scheme
    authority, slash, path = rest.partition("/")
    clean = authority.rpartition("@")[2] + slash + path.partition("?")[0]
    return f"{scheme}://{clean}" if separator else clean


def shown(text: object) -> str:
    """Return the first 200 characters of a text from a server, control characters escaped."""
    words = str(text).strip()
    cut = words[:SHOWN] + ("..." if len(words) > SHOWN else "")
    return repr(cut)[1:-1] if cut else "(nothing)"


def _parsed(body: bytes) -> Any:
    """Return the parsed JSON. Parsing numbers dominates the client's time; msgspec is several times faster at it."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return json.loads(body)  # accepts NaN, so that the check of the vectors can name the text


def _said(body: bytes) -> str:
    """Return the error message in a JSON body, or the body itself."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return body.decode("utf-8", errors="replace")


def _deadline() -> float:
    value = os.environ.get(DEADLINE_VARIABLE, "")
    if not value:
        return DEADLINE
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SourceError(f"{DEADLINE_VARIABLE} is {value!r}; set it to a number of seconds above 0")
    return seconds


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
