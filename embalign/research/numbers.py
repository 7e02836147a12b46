"""The numbers of a text, held to their claims one by one, in reading order.

Every word with a digit in it is a number, except a listed name (models, pairs, metrics at a cut-off) and the target of
a link. It must stand by itself, without sign, unit or letter beside it, and be the `text` of the next claim. Numbers in
words cannot be bound and fail. What other words say ("refuted") is the author's.
"""

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embalign.errors import ClaimError
from embalign.research.claims import Claim

# What may stand around a number within its word: brackets, emphasis and the punctuation of a sentence.
NUMBER = re.compile(r"[(*]*(?P<number>[-+\u2212]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?)[.,;:)*]*")
# Numbers in words. "One" is an article too often; fractions and folds are numbers all the same.
WORDS = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty"
    r"|dozens?|hundreds?|thousands?|[mb]illions?|half|halves|halved|thirds?|quarters?|twice|thrice|doubled?|tripled?"
    r"|(?:two|three|four|five|six|seven|eight|nine|ten|hundred|thousand)-?fold)\b",
    re.IGNORECASE,
)
LINK_TARGET = r"\]\([^()\s]+\)"  # checked as a file elsewhere
SPARED = "\ufffc"  # stands for each character of a name or target: no space, so that a digit beside it is seen
SENTENCE_END = re.compile(r"[.:;!?]\s+")
LONGEST_QUOTE, LONGEST_SENTENCE = 160, 600
COMPARED = 64  # numbers from the first difference on that are compared with claims


@dataclass(frozen=True)
class Number:
    """A number as it stands in a text, with an ASCII minus, and the sentence or table row around it."""

    text: str
    sentence: str


def check_numbers(text: str, claims: Sequence[Claim], folder: Path, names: Sequence[str]) -> None:
    """Raise ClaimError unless the numbers of `text` are those of `claims`, in order, and of the raw data."""
    numbers = numbers_of(text, names)
    pairs = zip(numbers, claims, strict=False)
    same = sum(1 for _ in itertools.takewhile(lambda both: both[0].text == both[1].text, pairs))
    near = slice(same, same + COMPARED)  # comparing all takes cubic time
    compared = difflib.SequenceMatcher(None, [n.text for n in numbers[near]], [c.text for c in claims[near]])
    for operation, first, _, place, _ in compared.get_opcodes():
        first, place = first + same, place + same
        if operation == "delete":
            raise _unbound(numbers[first].text, numbers[first].sentence)
        if operation == "insert":
            raise ClaimError(
                f"conclusion.toml, claim {place + 1} ({claims[place]}): README.md has no such number at this place; "
                "remove the claim, or sort the claims in reading order"
            )
        if operation == "replace":
            _check_number(numbers[first], claims[place], place, folder)
    for place, (number, claim) in enumerate(zip(numbers, claims, strict=True)):
        _check_number(number, claim, place, folder)


def numbers_of(text: str, names: Sequence[str]) -> list[Number]:
    """Return the numbers of a text in reading order. Raises ClaimError for one in words or not by itself."""
    longest_first = [re.escape(name) for name in sorted(names, key=len, reverse=True)]
    spared = re.compile("|".join([LINK_TARGET, *longest_first]))
    bare = spared.sub(lambda found: SPARED * len(found.group()), text)
    if in_words := WORDS.search(bare):
        raise _unbound(in_words.group(), _sentence(text, in_words.start()))
    numbers = []
    for word in re.finditer(r"\S+", bare):
        if not any(character.isnumeric() for character in word.group()):
            continue
        shown, sentence = text[word.start() : word.end()], _sentence(text, word.start())
        found = NUMBER.fullmatch(word.group())
        if found is None:
            raise ClaimError(
                f"README.md, {sentence!r}: {shown!r} is no number by itself; set it apart by spaces and bind it with a "
                "claim in conclusion.toml, or remove it"
            )
        numbers.append(Number(found["number"].replace("\u2212", "-"), sentence))
    return numbers


def reads_as_number(name: str) -> bool:
    """Return whether a name must be listed, because it holds a digit or a number in words."""
    return any(character.isnumeric() for character in name) or WORDS.search(name) is not None


def _check_number(number: Number, claim: Claim, place: int, folder: Path) -> None:
    where = f"README.md, {number.sentence!r}"
    try:
        computed = claim.computed(folder)
    except ClaimError as error:
        raise ClaimError(f"{where}: claim {place + 1} of conclusion.toml: {error}") from None
    if not number.text == claim.text == computed:
        raise ClaimError(
            f"{where}: the text says {number.text}, claim {place + 1} of conclusion.toml {claim.text or 'no text'}, "
            f"the raw data {computed}; correct README.md and conclusion.toml to the raw data ({claim})"
        )


def _unbound(number: str, sentence: str) -> ClaimError:
    return ClaimError(
        f"README.md, {sentence!r}: {number!r} is bound to no raw data; remove it, or bind it with a claim in "
        "conclusion.toml, where it stands in reading order"
    )


def _sentence(text: str, at: int) -> str:
    # Of a very long line, as no text has, the part around the number.
    start = max(text.rfind("\n", 0, at) + 1, at - LONGEST_SENTENCE)
    end = text.find("\n", at, at + LONGEST_SENTENCE)
    line = text[start : end if end >= 0 else at + LONGEST_SENTENCE]
    ends = [0, *(found.end() for found in SENTENCE_END.finditer(line)), len(line)]
    first = max(place for place in ends if place <= at - start)
    last = min((place for place in ends if place > at - start), default=len(line))
    if last - first > LONGEST_QUOTE:
        first = max(first, at - start - LONGEST_QUOTE // 2)
        last = min(last, first + LONGEST_QUOTE)
    return line[first:last].strip()
