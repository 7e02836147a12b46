"""Numbers in a text, each bound to the raw data it is computed from.

A claim is a comment before its number:

    <!-- claim file=data.csv where="policy:random,ratio:1.0" col=cosine_mean fn=mean format=.4f -->0.8770
    <!-- claim file=verdict.json path=primary/recommended_ratio scale=100 format=.3g -->70

`where` picks rows of a CSV and `minus` or `over` a second set, for a difference or ratio; `fn` is value (one row),
mean, std, min, max or count. `path` walks a JSON file. The value, times a `scale` of 100 for percent, must print as the
number that stands there, by itself. Everything else with a digit must be on the conclusion's list of names: models,
pairs, metrics at a cut-off. What only words say ("refuted") is the author's. Imports the standard library only.
"""

from __future__ import annotations

import csv
import functools
import json
import math
import re
import shlex
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embalign.errors import ClaimError

COMMENT = re.compile(r"<!-- claim (.*?) -->")
NUMBER = re.compile(r"[-+\u2212]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
BEFORE = re.compile(r"(?:^|[\s(*])\Z")  # what may stand before a claim, and after its number: no sign and no unit
AFTER = re.compile(r"[.,;:)*]*(?:\s|\Z)")
# Numbers in words. "One" is an article too often; fractions and folds are numbers all the same.
WORDS = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty"
    r"|dozens?|hundreds?|thousands?|[mb]illions?|half|halves|halved|thirds?|quarters?|twice|thrice|doubled?|tripled?"
    r"|(?:two|three|four|five|six|seven|eight|nine|ten|hundred|thousand)-?fold)\b",
    re.IGNORECASE,
)
LINK_TARGET = r"\]\([^()\s]+\)"  # checked as a file elsewhere
FUNCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "std": statistics.stdev,
    "min": min,
    "max": max,
    "count": len,
}
# Few formats, so that each number has one way to be printed: digits after the point, or three that count.
FORMAT = re.compile(r"\+?\.[0-5]f|\.3g|g")
KNOWN = {"file", "where", "minus", "over", "col", "fn", "path", "scale", "format"}


@dataclass(frozen=True)
class Claim:
    """One bound number: how it is computed, and how it is printed."""

    fields: Mapping[str, str]

    def computed(self, folder: Path) -> str:
        """Return the number as the raw data in `folder` give it. Raises ClaimError."""
        try:
            if self.fields.get("scale", "1") not in ("1", "100"):
                raise ValueError(f"scale {self.fields['scale']!r} is neither 1 nor 100")
            value = self._value(folder) * float(self.fields.get("scale", "1"))
            if not math.isfinite(value):
                raise ValueError(f"it is {value}")
            if not FORMAT.fullmatch(self.fields["format"]):
                raise ValueError(
                    f"format {self.fields['format']!r} is not one of .0f to .5f, with + or without, .3g, g"
                )
            if self.fields["format"].endswith(".0f") and value != round(value):
                raise ValueError(f"{value!r} is not whole; {self.fields['format']} would round it")
            return format(value, self.fields["format"])
        except (KeyError, ValueError, TypeError, IndexError, OSError, ZeroDivisionError) as error:
            raise ClaimError(f"{self}: cannot be computed ({type(error).__name__}: {error})") from None

    def __str__(self) -> str:
        return "claim " + " ".join(f"{name}={shlex.quote(value)}" for name, value in self.fields.items())

    def _value(self, folder: Path) -> float:
        path = folder / self.fields["file"]
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError("the file lies outside the conclusion's folder")
        if "path" in self.fields:
            return _walk(_json(path), self.fields["path"])
        first = self._reduced(path, self.fields["where"])
        if "minus" in self.fields:
            return first - self._reduced(path, self.fields["minus"])
        if "over" in self.fields:
            return first / self._reduced(path, self.fields["over"])
        return first

    def _reduced(self, path: Path, where: str) -> float:
        rows = _selected(path, where)
        function = self.fields.get("fn", "value")
        if not rows:
            raise ValueError(f"no row has {where}")
        if function == "count":
            return float(len(rows))
        values = [float(row[self.fields["col"]]) for row in rows]
        if function == "value":
            if len(values) != 1:
                raise ValueError(f"{len(values)} rows have {where}; fn=value needs one")
            return values[0]
        return float(FUNCTIONS[function](values))


def parse(comment: str) -> Claim:
    """Return the claim that a comment's words make. Raises ClaimError."""
    try:
        fields = dict(word.split("=", 1) for word in shlex.split(comment))
    except ValueError:
        raise ClaimError(f"claim {comment}: expected name=value words") from None
    if unknown := set(fields) - KNOWN:
        raise ClaimError(f"claim {comment}: unknown {sorted(unknown)[0]!r}; known are {', '.join(sorted(KNOWN))}")
    return Claim(fields)


def bind(folder: Path, **fields: str) -> str:
    """Return a claim and its number, as they stand in a text."""
    claim = Claim(fields)
    words = " ".join(
        f'{name}="{value}"' if re.search(r"[\s,]", value) else f"{name}={value}" for name, value in fields.items()
    )
    return f"<!-- claim {words} -->{claim.computed(folder)}"


def check_numbers(text: str, folder: Path, claims_nothing: Sequence[str]) -> int:
    """Return how many numbers of `text` are bound and right. Raises ClaimError for the first that is not.

    `claims_nothing` are words with digits that the conclusion lists as names.
    """
    bound = 0
    position = 0
    spared = re.compile(
        "|".join([LINK_TARGET, *(re.escape(word) for word in sorted(claims_nothing, key=len, reverse=True))])
    )
    for comment in COMMENT.finditer(text):
        _no_number(text[position : comment.start()], spared)
        number = NUMBER.match(text, comment.end())
        if number is None:
            raise ClaimError(f"{comment.group(0)}: no number follows")
        if not BEFORE.search(text[: comment.start()]) or not AFTER.match(text[number.end() :]):
            raise ClaimError(
                f"{comment.group(0)}{number.group(0)}: needs space around it, or it reads as another number"
            )
        expected = parse(comment.group(1)).computed(folder)
        if number.group(0).replace("\u2212", "-") != expected:
            raise ClaimError(f"{comment.group(0)}: the text says {number.group(0)}, the raw data say {expected}")
        bound += 1
        position = number.end()
    _no_number(text[position:], spared)
    return bound


def _no_number(text: str, spared: re.Pattern[str]) -> None:
    rest = spared.sub(" ", text)
    numbers = [word for word in rest.split() if any(character.isnumeric() for character in word)]
    if found := numbers + WORDS.findall(rest):
        raise ClaimError(f"{found[0]!r} is bound to no raw data; bind it by a claim, or list it as a name")


def _walk(content: Any, path: str) -> float:
    for step in path.split("/"):
        content = content[int(step)] if isinstance(content, list) else content[step]
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise ValueError(f"{path} is {content!r}, no number")
    return float(content)


def _selected(path: Path, where: str) -> list[dict[str, str]]:
    conditions = [condition.split(":", 1) for condition in where.split(",")]
    return [row for row in _csv(path) if all(_same(row[name], value) for name, value in conditions)]


def _same(found: str, wanted: str) -> bool:
    try:
        return float(found) == float(wanted)
    except ValueError:
        return found == wanted


def _csv(path: Path) -> Sequence[dict[str, str]]:
    return _read_csv(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.lru_cache(maxsize=64)
def _read_csv(path: Path, changed: int, size: int) -> Sequence[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def claims_of(text: str) -> Iterator[Claim]:
    """Yield every claim of a text."""
    for comment in COMMENT.finditer(text):
        yield parse(comment.group(1))
