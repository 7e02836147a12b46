"""Secrets of an address and of the environment: where they may go, and how they are kept out of every text.

A pair is data, perhaps a stranger's, and names the address that texts are sent to. So the user's key goes only to hosts
that the user named, and no secret leaves this machine unencrypted. Every text that leaves the client has its secrets
removed by value, in the forms in which servers and libraries repeat them; what only looks like one is removed by shape.
"""

import base64
import html
import itertools
import json
import logging
import os
import re
import weakref
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from embalign.embeddings.addresses import HIDDEN, PORTS, Address, without_shapes
from embalign.errors import SourceError

KEY_VARIABLE, HOSTS_VARIABLE = "EMBALIGN_API_KEY", "EMBALIGN_API_HOST"
SHORTEST = 4  # of a secret that is removed by value: a shorter one would be found in every text
CUT = 8  # so many first characters of a secret are removed where its rest is missing, too
LONGEST_TEXT = 4000  # of which only a part is ever shown


class Secrets:
    """The secrets that one client holds."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = {value for value in values if len(value) >= SHORTEST}
        forms = {form for value in self._values for form in _forms(value) if len(form) >= SHORTEST}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None
        self._starts = sorted({form for form in forms if len(form) > CUT})
        _LOGGED.add(self)

    def removed(self, text: str) -> str:
        """Return the first 4000 characters of a text without the secrets, whole or cut."""
        text = text[:LONGEST_TEXT]
        if self._pattern:
            text = self._pattern.sub(HIDDEN, text)
            for form in self._starts:
                while (at := text.find(form[:CUT])) >= 0:
                    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(text[at:], form, strict=False))
                    text = text[:at] + HIDDEN + text[at + len(list(same)) :]
        return text

    def removed_from(self, value: Any) -> Any:
        """Return a JSON value whose strings have the secrets removed; the text of an encoded vector stays."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.removed(value) if self._pattern.search(value) else value
        if isinstance(value, list):
            return [self.removed_from(entry) if isinstance(entry, str | list | dict) else entry for entry in value]
        if isinstance(value, dict):
            return {
                key: entry if key == "embedding" and isinstance(entry, str) else self.removed_from(entry)
                for key, entry in value.items()
            }
        return value


class _InLogs(logging.Filter):
    """Removes secrets from what the HTTP library writes into logs: it names the whole URL at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for secrets in list(_LOGGED):
            text = secrets.removed(text)
        record.msg, record.args = without_shapes(text), ()
        return True


_LOGGED: weakref.WeakSet[Secrets] = weakref.WeakSet()
_IN_LOGS = _InLogs()
for _name in ("connection", "connectionpool", "poolmanager", "response", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(_IN_LOGS)


def credentials(address: Address, key: str = "") -> tuple[dict[str, str], Secrets]:
    """Return the header with the key, or with the address's own user, and the secrets of address and environment.

    `key` is the user's, from the environment. Raises SourceError if it would go to a host that the user has not named,
    or a secret unencrypted to another machine.
    """
    if not (key.isascii() and key.isprintable()):
        raise SourceError(f"{KEY_VARIABLE} contains characters that an HTTP header cannot; set it to the key alone")
    if key and not address.is_local and not _is_named(address):
        raise SourceError(
            f"{KEY_VARIABLE} is set, and {address.server} (from {address.origin}) is not a host that you named, so the "
            f"key is not sent there; if it is meant for it, set {HOSTS_VARIABLE}={_host_and_port(address)}, otherwise "
            f"unset {KEY_VARIABLE}"
        )
    in_address = "its user and password" if address.user_info else "its query" if address.query_is_secret else ""
    held = KEY_VARIABLE if key else in_address
    if held and address.scheme != "https" and not address.is_local:
        raise SourceError(
            f"{address.shown} (from {address.origin}): {held} would go there unencrypted; write https://, or remove it"
        )
    user, _, password = address.user_info.partition(":")
    basic = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    header = {}
    if key:
        # Azure's own paths take a key by this name alone.
        name, value = ("api-key", key) if "/openai/deployments/" in address.path else ("Authorization", f"Bearer {key}")
        header = {name: value}
    elif address.user_info:
        header = {"Authorization": f"Basic {basic}"}
    of_proxy = re.match("(?:[^/]*//)?([^/]*)@", address.proxy())
    values = (key, key_of_environment(), basic, *_of_user(of_proxy[1] if of_proxy else ""))
    return header, Secrets([*values, *_of_user(address.user_info), *_of_query(address.query)])


def key_of_environment() -> str:
    """Return the user's API key, or an empty string."""
    return os.environ.get(KEY_VARIABLE, "").strip()


def _is_named(address: Address) -> bool:
    """Whether the user named the host, with this port or with none."""
    for entry in os.environ.get(HOSTS_VARIABLE, "").lower().split(","):
        name = re.sub("^https?://", "", entry.strip()).partition("/")[0].rstrip(".")
        if name and name in {address.host, f"[{address.host}]", _host_and_port(address, explicit=True)}:
            return True
    return False


def _host_and_port(address: Address, *, explicit: bool = False) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    port = address.port or (PORTS[address.scheme] if explicit else None)
    return f"{host}:{port}" if port else host


def _of_user(user_info: str) -> Iterator[str]:
    """Yield what is secret of a user name and password; a name alone, or a long one, may be a token."""
    user, _, password = user_info.partition(":")
    yield from (user_info, password, unquote(password))
    if len(user) > CUT or not password:
        yield from (user, unquote(user))


def _of_query(query: str) -> Iterator[str]:
    for part in query.split("&"):
        value = part.partition("=")[2]
        yield from (value, unquote_plus(value))


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as servers and libraries may spell it: encoded for a URL, in JSON, in Python, or in base64."""
    yield from (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), html.escape(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    raw = secret.encode("utf-8", errors="replace")
    for skipped in range(3):  # base64 of a longer text that holds the secret differs by where it begins
        # Of these characters each depends on the secret alone.
        encoded = base64.b64encode(bytes(skipped) + raw)[(0, 2, 3)[skipped] :].rstrip(b"=")
        whole = encoded if skipped == 0 and (len(raw) % 3) == 0 else encoded[:-1]
        if skipped == 0 or len(whole) >= CUT:
            yield from (whole.decode(), whole.decode().replace("+", "-").replace("/", "_"))
