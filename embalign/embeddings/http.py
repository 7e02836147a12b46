"""Requests to an embedding server that cannot hang, run away, leak or be led astray.

One wall-clock deadline covers a whole request, a capped body included. Connection faults, 429 and 503 are tried again a
few times with growing, random waits, as long as the server asks for (Retry-After) but no longer than a cap. Redirects
are refused, proxies are not used for this machine, and what a server says is shortened and escaped before it is shown.
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
    """JSON over HTTP to one server. `origin` says where the URL came from, for messages."""

    def __init__(self, url: str, origin: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = checked_url(url, origin)
        self.address = without_credentials(self.url)
        self.shown = f"{self.address} (from {origin})"
        self.deadline = _deadline()
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._session = self._new_session()

    def get(self, path: str, deadline: float | None = None) -> Any:
        """Return the JSON that the server answers to GET. Raises SourceError."""
        return self._ask("GET", path, None, deadline)

    def post(self, path: str, payload: Any, deadline: float | None = None) -> Any:
        """Return the JSON that the server answers to a JSON body. Raises SourceError."""
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
                # A crashed runner is started again at once; a text that crashes it crashes it each time.
                if error.status != 500 or attempt > 0:
                    raise
            # urllib3's own retries see neither a body that breaks off nor the deadline.
            growing = random.uniform(0.5, 1.0) * FIRST_WAIT * 2**attempt
            time.sleep(min(LONGEST_WAIT, max(asked_for, growing)))
        raise AssertionError("unreachable")

    def _within(self, method: str, path: str, payload: Any, deadline: float) -> Any:
        """One request in a thread of its own: a read timeout alone never ends a server that drips."""
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
            self._session = self._new_session()  # the old one belongs to the thread that still waits
            remedy = (
                f"if the model is slow to load or to run, set {DEADLINE_VARIABLE} to more seconds"
                if deadline >= self.deadline
                else "a question about the model itself needs no longer: is the server stuck, or another one there?"
            )
            raise SourceError(f"{self.shown}{path} did not answer within {deadline:g} s; {remedy}") from None
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
            raise SourceError(f"{self.shown}{path} sent a body that cannot be decoded: {shown(error)}") from None
        except requests.exceptions.ConnectTimeout:
            raise SourceError(f"{self.shown} does not answer; is a server running there?") from None
        except requests.exceptions.ConnectionError as error:
            raise self._connection_error(path, error) from None
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.Timeout, OSError) as error:
            raise TransientError(f"{self.shown}{path} broke off: {shown(error)}") from None
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
                raise SourceError(f"{self.shown} sent more than {LARGEST_BODY // 2**20} MiB in one answer")
            parts.append(part)
        return b"".join(parts)

    def _connection_error(self, path: str, error: Exception) -> SourceError:
        text = str(error)
        if "NameResolutionError" in text or "getaddrinfo" in text:
            return SourceError(f"{self.shown}: the host name cannot be resolved")
        if "Connection refused" in text or "NewConnectionError" in text:
            return SourceError(f"{self.shown} refused the connection; start the server, or correct the address")
        return TransientError(f"{self.shown}{path} broke off: {shown(error)}")

    def _decoded(self, path: str, response: requests.Response, body: bytes) -> Any:
        status = response.status_code
        if status == 200:
            try:
                return _parsed(body)
            except (ValueError, RecursionError):
                text = shown(_said(body))
                raise AnswerError(f"{self.shown}{path} answered with something that is not JSON: {text}") from None
        if 300 <= status < 400:
            target = shown(without_credentials(response.headers.get("Location", "")))
            raise AnswerError(f"{self.shown}{path} redirects to {target}; name that address itself")
        text = shown(_said(body))
        if status in (429, 503):
            wait = response.headers.get("Retry-After", "")
            message = f"{self.shown}{path} is busy (status {status}): {text}"
            raise TransientError(message, float(wait) if wait.isdecimal() else 0.0)
        raise StatusError(f"{self.shown}{path} answered with status {status}: {text}", status, text)


def checked_url(url: str, origin: str) -> str:
    """Return the URL without a slash at its end. Raises SourceError for a scheme, host or port that cannot be used."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SourceError(f"{without_credentials(url)!r} (from {origin}) is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SourceError(f"{without_credentials(url)!r} (from {origin}) must look like http://host:port")
    return url.rstrip("/")


def without_credentials(url: str) -> str:
    """Return a URL with user name, password and query left out: fit to be shown or stored."""
    scheme, separator, rest = url.partition("://")
    rest = rest if separator else scheme
    authority, slash, path = rest.partition("/")
    clean = authority.rpartition("@")[2] + slash + path.partition("?")[0]
    return f"{scheme}://{clean}" if separator else clean


def shown(text: object) -> str:
    """Return the first 200 characters of what a server said, control characters escaped."""
    words = str(text).strip()
    cut = words[:SHOWN] + ("..." if len(words) > SHOWN else "")
    return repr(cut)[1:-1] if cut else "(nothing)"


def _parsed(body: bytes) -> Any:
    """What a body says. Numbers are most of a fetch's own time: msgspec reads them several times as fast."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return json.loads(body)  # takes NaN too: the check of the vectors can then name the text


def _said(body: bytes) -> str:
    """The error that a JSON body names, else the body itself."""
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
        raise SourceError(f"{DEADLINE_VARIABLE} is {value!r}; give a number of seconds above 0")
    return seconds


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
