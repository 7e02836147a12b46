"""HTTP requests to an embedding server: bounded in time and size, without redirects or leaked credentials.

One wall-clock deadline covers a whole request, including its body, which is capped. What means "later" is waited for
within the same time again: statuses, broken connections, and a server that is away after it has answered. Redirects
are rejected, this machine is never proxied, and text from a server loses its secrets, is shortened and escaped before
it is shown.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from embalign.embeddings import faults
from embalign.embeddings.addresses import Address, without_credentials, without_shapes
from embalign.embeddings.answers import complaint, objects, parsed, said, shown, spelled
from embalign.embeddings.patience import (
    CRASH_PAUSE,
    CRASH_SECONDS,
    DEADLINE_VARIABLE,
    FIRST_WAIT,
    STRANGER_SECONDS,
    Later,
    Patience,
    asked_seconds,
    means_later,
    words_mean_later,
)
from embalign.embeddings.secrets import credentials
from embalign.errors import AnswerError, SourceError, StatusError, TransientError
from embalign.lazy import lazy

if TYPE_CHECKING:
    import requests
else:
    requests = lazy("requests")

__all__ = ["DEADLINE_VARIABLE", "Client", "objects", "shown", "without_credentials"]

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
DEADLINE, QUERY_SECONDS, OPTIONAL_SECONDS = 120.0, 3.0, 3.0
LARGEST_BODY = 16 * 2**20  # ten times that of a full batch; as nested lists it takes some 400 MB of memory
ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")


class Client:
    """JSON over HTTP with one server.

    `remedy` says what to do about an error status and its detail, for messages. `key` is the user's API key, if any.
    Raises SourceError for an address that must not get it.
    """

    def __init__(self, address: Address, remedy: Callable[[int, str], str], key: str = "") -> None:
        self._headers, self._secrets = credentials(address, key)
        self._address, self._remedy = address, remedy
        self.address = address.shown
        self.shown = f"{address.shown} (from {address.origin})"
        self.deadline = _deadline(DEADLINE)
        self.query_deadline = _deadline(QUERY_SECONDS)
        self._proxies, self._proxy = address.proxies(), address.proxy()
        self._certificates = faults.certificates() if address.scheme == "https" else True
        self._session = self._new_session()
        self.interruptions = 0  # requests that failed and were repeated
        self._answered = False
        self._crashed = -CRASH_PAUSE

    def ask(self, path: str, payload: Any = None, deadline: float | None = None, wanted: str = "") -> dict[str, Any]:
        """Return the JSON response to a POST of `payload`, or to a GET request without one. Raises SourceError.

        `wanted` names what the response must hold: one that holds an error message instead is an error.
        """
        patience = Patience(self.deadline)
        while True:
            try:
                return self._clean(path, payload, deadline or self.deadline, wanted)
            except Later as later:
                try:
                    patience.wait(later)
                except StatusError as ended:
                    if ended.status == 500:
                        self._crashed = time.monotonic()
                    raise
                self.interruptions += 1

    def optional(self, path: str) -> dict[str, Any]:
        """Return the JSON response of an endpoint that not every server has, or an empty one; it is asked once.

        Raises SourceError only where the server cannot be reached at all.
        """
        try:
            return self._clean(path, None, OPTIONAL_SECONDS)
        except (AnswerError, Later, TransientError):
            return {}

    def words(self, text: object) -> str:
        """Return a text from the server fit to be shown and stored: without secrets, short, escaped."""
        return shown(without_shapes(self._secrets.removed(spelled(text))))

    def _clean(self, path: str, payload: Any, deadline: float, wanted: str = "") -> dict[str, Any]:
        """The one way out of the client: nothing that it returns or raises holds a secret."""
        try:
            answer = self._answer(path, payload, deadline, wanted)
        except Later as later:
            raise Later(self._cleaned(later.error), later.seconds, later.asked) from None
        except SourceError as error:
            raise self._cleaned(error) from None
        try:
            clean: dict[str, Any] = self._secrets.removed_from(answer)
        except RecursionError:
            raise AnswerError(f"{self._where(path)}: the response is nested too deeply; discarded") from None
        return clean

    def _cleaned(self, error: SourceError) -> SourceError:
        message = self._secrets.removed(str(error))
        return (
            StatusError(message, error.status, error.detail) if isinstance(error, StatusError) else type(error)(message)
        )

    def _answer(self, path: str, payload: Any, deadline: float, wanted: str) -> dict[str, Any]:
        answer = self._within(path, payload, deadline)
        if wanted and not answer.get(wanted) and (words := complaint(answer)):
            error = AnswerError(f"{self._where(path)} answered with an error: {self.words(words)}")
            if words_mean_later(words):
                raise Later(TransientError(str(error)), self.deadline, asked_seconds({}, words))
            raise error
        return answer

    def _where(self, path: str) -> str:
        through = f" through the proxy {shown(without_credentials(self._proxy))}" if self._proxy else ""
        return f"{self.address}{path} (from {self._address.origin}){through}"

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
        remedy = f"if the model is slow to load or to run, increase {DEADLINE_VARIABLE} (seconds)"
        if not self._answered:
            remedy = f"check that this is the right server and that it is not stuck; {remedy}"
        raise AnswerError(f"{self._where(path)}: no response within {deadline:g} s; {remedy}")

    def _once(self, path: str, payload: Any, deadline: float) -> dict[str, Any]:
        query = f"?{self._address.query}" if self._address.query else ""
        try:
            with self._session.request(
                "GET" if payload is None else "POST",
                self._address.server + self._address.path + path + query,
                json=payload,
                timeout=(faults.CONNECT_SECONDS, deadline + 1),  # the deadline itself is kept by the caller
                allow_redirects=False,
                stream=True,
                proxies=self._proxies,
                verify=self._certificates,
            ) as response:
                body = self._body(path, response)
        except SourceError:
            raise
        except Exception as error:  # whatever a library raises about what a server sent
            raise self._fault(path, error) from None
        return self._decoded(path, response, body)

    def _body(self, path: str, response: "requests.Response") -> bytes:
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ENCODINGS:  # one inside another unpacks to a million times its size
            raise AnswerError(f"{self._where(path)}: the response is compressed as {self.words(encoding)!r}; discarded")
        body = bytearray()
        for part in response.iter_content(64 * 1024):
            body += part
            if len(body) > LARGEST_BODY:
                raise AnswerError(f"{self._where(path)}: the response exceeds {LARGEST_BODY // 2**20} MiB; discarded")
        return bytes(body)

    def _new_session(self) -> "requests.Session":
        session = requests.Session()
        session.trust_env = False  # nor is a key replaced by an entry of ~/.netrc
        session.headers.update({"Accept": "application/json", "Accept-Encoding": "gzip, deflate", **self._headers})
        return session

    def _fault(self, path: str, error: Exception) -> SourceError | Later:
        """Return what to raise for an error of the libraries: an end, or a wait."""
        where = self._where(path)
        reason = self.words(faults.deepest(error))
        if self._proxy and (words := faults.of_proxy(self._proxy, error)):
            return self._passing(f"{where}: {words}")
        if words := faults.of_tls(error, self._address, self._answered):
            return SourceError(f"{where}: {words}")
        if words := faults.of_connecting(error):
            return self._passing(f"{self.shown}{words}")
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return AnswerError(f"{where}: the response body cannot be decoded: {reason}")
        if not self._answered and (words := faults.of_protocol(error, self._address)):
            return SourceError(f"{where}: {words}")
        if not isinstance(error, OSError):  # requests' own errors are OSErrors
            return AnswerError(f"{where}: the response cannot be read ({type(error).__name__}: {reason})")
        return self._broken(path, reason)

    def _broken(self, path: str, reason: str) -> Later:
        """A connection that breaks may be whole the next time; with a server that never answered, for a short while."""
        message = f"{self._where(path)}: the connection broke: {reason}"
        if self._answered:
            return Later(TransientError(message), self.deadline)
        perhaps = f"; if it speaks TLS, {faults.with_tls(self._address)}" if self._address.scheme == "http" else ""
        return Later(TransientError(message + perhaps), STRANGER_SECONDS)

    def _passing(self, message: str) -> SourceError | Later:
        """A server that cannot be reached may come back if it was there before."""
        return Later(TransientError(message), self.deadline) if self._answered else SourceError(message)

    def _object(self, path: str, response: "requests.Response", body: bytes) -> dict[str, Any]:
        try:
            answer = parsed(body)
        except (ValueError, RecursionError):
            words = self.words(said(body))
            if _may_be_cut(response, body):
                raise self._broken(path, f"the response ends early: {words}") from None
            raise AnswerError(
                f"{self._where(path)}: the response is not a JSON object: {words}; check that this is the address of "
                "the right server"
            ) from None
        self._answered = True
        return answer

    def _decoded(self, path: str, response: "requests.Response", body: bytes) -> dict[str, Any]:
        status, where = response.status_code, self._where(path)
        if status == 200:
            return self._object(path, response, body)
        self._answered = True
        if 300 <= status < 400:
            target = self.words(without_credentials(response.headers.get("Location", "")))
            raise AnswerError(f"{where} redirects to {target}; use that address instead")
        words = said(body)
        text = self.words(words)
        if self._address.scheme == "http" and faults.wants_tls(status, words):
            raise SourceError(f"{where} returned status {status}: {text}; {faults.with_tls(self._address)}")
        remedy = self._remedy(status, text)
        message = f"{where} returned status {status}: {text}{remedy and f'; {remedy}'}"
        if means_later(status, response.headers, words):
            busy = StatusError(f"{where} is busy (status {status}): {text}", status, text)
            raise Later(busy, self.deadline, asked_seconds(response.headers, words))
        if status == 500:
            # The server restarts a crashed runner; a text that crashes it does so again, so in a bisection it is
            # asked only once more.
            recent = time.monotonic() - self._crashed < CRASH_PAUSE
            raise Later(StatusError(message, status, text), FIRST_WAIT if recent else CRASH_SECONDS)
        raise StatusError(message, status, text)


def _may_be_cut(response: "requests.Response", body: bytes) -> bool:
    """Whether a body that is no JSON may be the start of one: nothing says how long it was to be."""
    lengths = {"content-length", "transfer-encoding"} & {name.lower() for name in response.headers}
    return not lengths and body.lstrip()[:1] in (b"", b"{")


def _deadline(standard: float) -> float:
    value = os.environ.get(DEADLINE_VARIABLE) or str(standard)
    try:
        return msgspec.convert(value, Seconds, strict=False)
    except msgspec.ValidationError:
        raise SourceError(f"{DEADLINE_VARIABLE} is {value!r}; set it to a number of seconds above 0") from None
