"""What a server answered: its JSON, its own words about an error in whichever form they come, and text fit to show."""

import json
from typing import Any

import msgspec

SHOWN = 200
DEEPEST = 8  # of objects within each other in which an error message is looked for
_OF_ERRORS = ("error", "errors", "detail", "message", "msg", "error_message", "error_description", "reason", "title")


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises ValueError or RecursionError if it is none.

    Parsing numbers dominates the client's time; msgspec is several times faster at it.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        # json accepts NaN, so that the check of the vectors can name the text
        return msgspec.convert(json.loads(body), dict[str, Any])


def complaint(answer: Any, deepest: int = DEEPEST) -> str:
    """Return the error message in a JSON answer, or an empty string if it has none.

    Servers write it as a string, as an object with a message, as a list of these, under `error`, `detail` (FastAPI) or
    `message`.

    >>> complaint({"error": {"message": "No models loaded", "code": 5}})
    'No models loaded'
    >>> complaint({"detail": [{"loc": ["body", "input"], "msg": "Field required"}]})
    'body.input: Field required'
    """
    if isinstance(answer, str):
        return answer
    if isinstance(answer, list) and deepest:
        return "; ".join(words for entry in answer[:5] if (words := complaint(entry, deepest - 1)))
    if not isinstance(answer, dict) or not deepest:
        return ""
    place = answer.get("loc")
    before = ".".join(map(str, place)) + ": " if isinstance(place, list) else ""
    for name in _OF_ERRORS:
        if words := complaint(answer.get(name), deepest - 1):
            return before + words
    error = answer.get("error")
    return spelled(error) if error else ""


def said(body: bytes) -> str:
    """Return the error message in a JSON body, or the body itself."""
    try:
        answer = json.loads(body)
        words = complaint(answer) if isinstance(answer, dict) else complaint(objects(answer))
    except (ValueError, RecursionError):
        words = ""
    return words or body.decode("utf-8", errors="replace")


def shown(text: object) -> str:
    """Return the first 200 characters of a text from a server, control characters escaped."""
    words = spelled(text).strip()
    cut = words[:SHOWN] + ("..." if len(words) > SHOWN else "")
    return repr(cut)[1:-1] if cut else "(nothing)"


def spelled(value: object) -> str:
    """Return str() of a value, or its type where that cannot be: for lists deep within each other, for huge numbers."""
    try:
        return str(value)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__}"


def objects(found: Any) -> list[dict[str, Any]]:
    """Return the JSON objects of a list in a response, none if it is no list."""
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
