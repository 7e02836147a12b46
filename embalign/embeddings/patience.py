"""When a server means "later": which faults may pass, how long it asks to wait, and one limit for all the waiting."""

import datetime
import email.utils
import random
import re
import sys
import time
from collections.abc import Mapping

from embalign.errors import SourceError, StatusError, TransientError
from embalign.lazy import lazy

tqdm = lazy("tqdm").tqdm

DEADLINE_VARIABLE = "EMBALIGN_REQUEST_SECONDS"
FIRST_WAIT, LONGEST_WAIT = 0.25, 20.0  # of those that grow; what a server asks for is another matter
STRANGER_SECONDS = 8.0  # for broken connections to a server that has never answered: it may be the wrong one
CRASH_SECONDS, CRASH_PAUSE = 10.0, 60.0  # for status 500, and how long after that in vain it is tried only once more
SLACK = 1.0  # a server's clock and ours
TOLD_AFTER = 5.0

LATER = frozenset({408, 409, 421, 423, 425, 429})
# 501 not implemented, 505 version, 506 and 508 loops, 510 and 511 conditions, 525 and 526 certificates: for good.
NEVER = frozenset({500, 501, 505, 506, 508, 510, 511, 525, 526})

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_PART = rf"({_NUMBER})\s*(h(?:ours?)?|ms|milliseconds?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?![a-z])"
_DURATION = re.compile(_PART, re.IGNORECASE)
_TRY_AGAIN = re.compile(
    rf"(?:again|available|retry(?:ing|Delay)?|wait)\b[^.\d]{{0,20}}((?:{_PART}\s*)+)", re.IGNORECASE
)
_LATER_WORDS = re.compile(
    r"\b(?:is|still|currently|being|model) loading\b|\bloading model\b|try again|overloaded|rate.?limit"
    r"|too many requests|\bbusy\b|temporar",
    re.IGNORECASE,
)
_BILLING_WORDS = re.compile(r"billing|insufficient[_ ](?:quota|credit|balance)", re.IGNORECASE)

_shown = True


class Later(Exception):  # noqa: N818 - not an error yet
    """A fault that may pass; `error` if it does not within `seconds`, `asked` the seconds that the server asks for."""

    def __init__(self, error: SourceError, seconds: float, asked: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.seconds = seconds
        self.asked = asked


class Patience:
    """The waiting for one request: growing, random waits or those asked for, within `limit` from the first fault."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._started: float | None = None
        self._attempts = 0
        self._told = False

    def wait(self, later: Later) -> None:
        """Wait until the next attempt. Raises StatusError or TransientError where no time is left for one."""
        now = time.monotonic()
        self._started = now if self._started is None else self._started
        limit = min(self._limit, later.seconds)
        left = self._started + limit - now
        growing = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self._attempts, 10)) * random.uniform(0.5, 1.0)
        self._attempts += 1
        if later.asked > max(left, 0) + SLACK:
            raise _ended(
                later.error,
                f"the server asks to wait {_spelled(later.asked)}, and {_spelled(max(left, 0))} are left of "
                f"{DEADLINE_VARIABLE} ({self._limit:g} s); rerun later, or increase it",
            )
        if left <= 0:
            raise _ended(later.error, f"gave up after {_spelled(now - self._started)} and {self._attempts} attempts")
        seconds = min(left, max(later.asked, growing))
        if _shown and not self._told and now + seconds - self._started > TOLD_AFTER:
            self._told = True
            tqdm.write(f"{later.error}; waiting for it, {_spelled(left)} at most", file=sys.stderr)
        time.sleep(seconds)


def show_waits(shown: bool) -> None:
    """Set whether stderr gets a line about a wait of more than 5 seconds."""
    global _shown
    _shown = shown


def means_later(status: int, headers: Mapping[str, str], words: str) -> bool:
    """Return whether an error status says that the same request may succeed later: by its number or by Retry-After.

    Status 500 may mean it or not; the client has less patience with it. A bill that is due is not waited for.
    """
    if _BILLING_WORDS.search(words):
        return False
    if status >= 500:
        return status < 600 and status not in NEVER
    return status in LATER or (status >= 400 and "Retry-After" in headers)


def words_mean_later(words: str) -> bool:
    """Return whether an error message, in an answer whose status says nothing, is about a passing state."""
    return _LATER_WORDS.search(words) is not None


def asked_seconds(headers: Mapping[str, str], words: str) -> float:
    """Return how many seconds a server asks to wait: by header, as seconds or as a date, or in words; 0 for nothing.

    >>> asked_seconds({"Retry-After": "7.9"}, ""), asked_seconds({}, "Please try again in 1m30s.")
    (7.9, 90.0)
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if re.fullmatch(_NUMBER, milliseconds):
        return float(milliseconds) / 1000
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d*)?", value, re.ASCII):
        return float(value)
    if duration := _DURATION.fullmatch(value):
        return _seconds(duration.group())
    date = _timestamp(value)
    if date is not None:
        # By the server's own clock, if it tells it: ours may differ.
        now = _timestamp(headers.get("Date", ""))
        return max(0.0, date - (time.time() if now is None else now))
    found = _TRY_AGAIN.search(words)
    return _seconds(found[1]) if found else 0.0


def _timestamp(value: str) -> float | None:
    """Return the seconds since the epoch of an HTTP date, or None."""
    try:
        date = email.utils.parsedate_to_datetime(value)
        return date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None


def _seconds(duration: str) -> float:
    parts = (found.groups() for found in _DURATION.finditer(duration))
    return sum(float(number) * _UNITS[_unit(word.lower())] for number, word in parts)


def _unit(word: str) -> str:
    return "ms" if word.startswith(("ms", "mil")) else word[0]


def _spelled(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def _ended(error: SourceError, words: str) -> SourceError:
    """Return the error with the words added; one of a status keeps it, so that a batch can be bisected."""
    if isinstance(error, StatusError):
        return StatusError(f"{error}; {words}", error.status, error.detail)
    return TransientError(f"{error}; {words}")
