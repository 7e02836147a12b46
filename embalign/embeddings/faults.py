"""What went wrong with a connection, by the errors that the libraries raise: its cause and remedy in one line each."""

import errno
import http.client
import os
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from embalign.embeddings.addresses import Address, variable_of_proxy, without_credentials
from embalign.embeddings.answers import shown
from embalign.errors import SourceError
from embalign.lazy import lazy

exceptions = lazy("requests.exceptions")
LocationParseError = lazy("urllib3.exceptions").LocationParseError  # of a host name that none can be

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
CONNECT_SECONDS = 3.0
_NO_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_TLS_RECORDS = ("\x15\x03", "\x16\x03", "\\x15\\x03", "\\x16\\x03")
_WANTS_TLS = re.compile(
    r"http request (?:was sent )?to (?:an? )?(?:https|tls)|plain http request|plain http to an ssl", re.IGNORECASE
)


def certificates() -> str | bool:
    """Return the file of trusted certificates that the environment names, or True for the library's own.

    Raises SourceError for a file that cannot be used.
    """
    for variable in BUNDLES:
        if path := os.environ.get(variable):
            try:
                folder = Path(path).is_dir()
                ssl.create_default_context(cafile=None if folder else path, capath=path if folder else None)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, FileNotFoundError) else "no certificates in PEM format"
                raise SourceError(
                    f"{variable} is {shown(path)!r}, which cannot be used ({reason}); set it to a file of certificates "
                    "in PEM format, or unset it"
                ) from None
            return path
    return True


def wants_tls(status: int, words: str) -> bool:
    """Return whether an error status over plain HTTP says that the server speaks TLS."""
    return status in (400, 403, 426, 497) and _WANTS_TLS.search(words) is not None


def of_tls(error: BaseException, address: Address, answered: bool) -> str:
    """Return cause and remedy of a fault of TLS, or an empty string for another fault.

    A handshake that breaks may pass if the server has `answered` before.
    """
    plain = f"write {address.server.replace('https://', 'http://')}"
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _of_certificate(cause.verify_message)
        broken = isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        if broken or (isinstance(cause, TimeoutError) and "handshake" in str(cause)):
            return "" if answered else f"the TLS handshake broke ({shown(cause)}); if the server speaks no TLS, {plain}"
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or ""
            if reason in _NO_TLS:
                return f"the server speaks no TLS; {plain}"
            return f"TLS cannot be agreed on ({shown(reason or cause)}); check the server's certificate and TLS version"
    return ""


def _of_certificate(reason: str) -> str:
    reason = reason.rstrip(".")
    if "mismatch" in reason.lower():
        remedy = "use the host name that its certificate is for"
    elif "expired" in reason or "not yet valid" in reason:
        remedy = "renew it, and check this machine's clock"
    else:
        remedy = f"if you trust the server, set {BUNDLES[0]} to the path of its certificate or of its authority's"
    return f"its certificate is not trusted ({shown(reason)}); {remedy}"


def of_protocol(error: BaseException, address: Address) -> str:
    """Return what a server said that speaks no HTTP, with the remedy, or an empty string for another fault."""
    for cause in causes(error):
        if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, http.client.RemoteDisconnected):
            line = str(cause.args[0]).strip("'\"")
            if line.startswith(_TLS_RECORDS):
                return f"the server speaks TLS; {with_tls(address)}"
            return f"the response is not HTTP: {shown(line)}; check that this is the address of the right server"
    return ""


def with_tls(address: Address) -> str:
    """Return the remedy for plain HTTP with a server that speaks TLS."""
    return f"write {address.server.replace('http://', 'https://')}"


def of_connecting(error: BaseException) -> str:
    """Return why no connection came about, with the remedy, or an empty string if one did."""
    for cause in causes(error):
        if isinstance(cause, (socket.gaierror, exceptions.InvalidURL.resolve(), LocationParseError.resolve())):
            return ": the host name cannot be resolved; correct it"
        if isinstance(cause, ConnectionRefusedError):
            return " refused the connection; start the server or correct the address"
        if isinstance(cause, OSError) and cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN):
            return f" cannot be reached ({cause.strerror}); check the network or correct the address"
    if isinstance(error, exceptions.ConnectTimeout.resolve()):
        return f": no connection within {CONNECT_SECONDS:g} s; start the server or correct the address"
    return ""


def of_proxy(proxy: str, error: BaseException) -> str:
    """Return what is wrong with a proxy, with the remedy, or an empty string if it is not to blame."""
    name = f"the proxy {shown(without_credentials(proxy))} (from {variable_of_proxy(proxy)})"
    remedy = "correct that variable, or add the host to NO_PROXY"
    text = str(error)
    if "failed: 407" in text:  # of a tunnel; of plain HTTP it is the response's status
        return f"{name} asks for a user: write http://user:password@host:port there"
    if isinstance(error, exceptions.ProxyError.resolve()) or "SOCKS" in text:
        reason = of_connecting(error).partition(";")[0].removeprefix(":").strip() or shown(deepest(error))
        return f"{name} cannot be used ({reason}); {remedy}"
    if isinstance(error, exceptions.InvalidURL.resolve()):
        return f"{name} is not an address; {remedy}"
    return ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it stems from: the libraries wrap the system's errors several times."""
    waiting, seen = [error], set()
    while waiting:
        found = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        inner = (getattr(found, "reason", None), *found.args, found.__cause__, found.__context__)
        waiting += [cause for cause in inner if isinstance(cause, BaseException)]


def deepest(error: BaseException) -> BaseException:
    """Return the innermost cause, whose words are the shortest and say most."""
    *_, last = causes(error)
    return last
