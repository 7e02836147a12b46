"""What -k selects by, for a run in which it has selected nothing: the experiments, and the nearest known words."""

import difflib
import re
from collections.abc import Collection, Iterable

OPERATORS = ("and", "or", "not")
LEAST_ALIKE = 0.6  # difflib's ratio


def explain_empty(expression: str, experiments: Collection[str], ids: Iterable[str]) -> str:
    """Return why no case matches a -k expression, and what would; `ids` are those of the cases there are.

    >>> explain_empty("elbw", ["elbow", "gate"], ["test_elbow[ratio0.10-random-tuned-seed00]"])
    "no case matches -k 'elbw': did you mean elbow? Experiments: elbow, gate. For instance: -k 'elbow and ratio0.10'"
    """
    ids = list(ids)
    known = [*experiments, *dict.fromkeys(word for each in ids for word in re.split(r"[\[\]-]+", each) if word)]
    text = " ".join(ids).lower()
    unknown = [word for word in _words(expression) if word.lower() not in text]
    near = {word: close[0] for word in unknown if (close := _close(word, known))}
    if near:
        cause = f"did you mean {' and '.join(near.values())}?"
    elif unknown:
        cause = f"no case has {' or '.join(unknown)} in its name."
    else:
        cause = "each word matches a case, and no case matches all of it."
    return f"no case matches -k {expression!r}: {cause} {valid(experiments, ids)}"


def valid(experiments: Collection[str], ids: Iterable[str]) -> str:
    """Return the experiments there are, and one expression that selects a part of one."""
    first = next(iter(sorted(experiments)), "")
    ratio = next((found[0] for each in ids if (found := re.search(r"ratio[\d.]+", each))), "seed00")
    return f"Experiments: {', '.join(sorted(experiments))}. For instance: -k '{first} and {ratio}'"


def _words(expression: str) -> list[str]:
    return [word for word in re.findall(r"[^\s()]+", expression) if word not in OPERATORS]


def _close(word: str, known: Iterable[str]) -> list[str]:
    by_lower = {each.lower(): each for each in known}
    return [by_lower[each] for each in difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=LEAST_ALIKE)]
