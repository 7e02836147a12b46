"""Which texts are near-duplicates of others: they share nearly all their words, or differ in one character."""

import functools
import itertools
import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from embalign.lazy import lazy
from embalign.pairs.corpus import Unwritten
from embalign.pairs.one_edit import within_one_edit
from embalign.pairs.similar_sets import Sets, similar_sets

csr_array = lazy("scipy.sparse").csr_array
NEAR_DUPLICATE_JACCARD = Fraction(4, 5)
PART, HELD = 2**16, 2**12  # texts that are compared, and that are read, at once
# One changed character takes away at most three tokens and adds at most three: the one it is in, and those on either
# side where words join or part. So texts of this many tokens stay near-duplicates by their tokens: 27.
_SEEN_BY_TOKENS = 3 * (1 + NEAR_DUPLICATE_JACCARD) / (1 - NEAR_DUPLICATE_JACCARD)
# Blocks of the scripts whose lines break elsewhere than at spaces: classes ID, CJ, SA and AK of Unicode's line breaking
# (UAX #14), and Tibetan, which marks syllables only. Hangul is written with spaces.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao; Tibetan; Myanmar; Khmer
    "\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f"  # Tai Le, New Tai Lue; Tai Tham; Balinese
    "\u3005-\u3007\u3021-\u302d\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # ideographic marks; kana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uf900-\ufaff"  # Han; Yi; Han
    "\ua980-\ua9ff\uaa60-\uaadf\U00011700-\U0001174f"  # Javanese, Myanmar; Myanmar, Tai Viet; Ahom
    "\U00016fe0-\U00018d8f\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"  # Tangut, Khitan; kana, Nushu; Han
)
_RUN = re.compile(f"([{_UNSPACED}]+)|[^ {_UNSPACED}]+")
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
# Joiners, direction marks, soft hyphens and variation selectors: texts that differ in these look the same.
_INVISIBLE = re.compile("[\u00ad\u034f\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]")
# NFKC takes Thai and Lao am apart, lower-casing gives Greek sigma two forms: here each is one letter again.
_ONE_LETTER = (("\u0e4d\u0e32", "\u0e33"), ("\u0ecd\u0eb2", "\u0eb3"), ("ς", "σ"))


def near_duplicates(texts: Sequence[str], pool: Sequence[str]) -> NDArray[np.bool_]:
    """Return for each of `texts` whether a text of `pool` is a near-duplicate of it: shape (len(texts),).

    Two texts are near-duplicates if the Jaccard index of their token sets is at least 0.8, or, with fewer than 27
    tokens each, if one changed, inserted or deleted character makes them equal; spaces and punctuation do not count.
    Tokens are words; in scripts written without spaces (Chinese, Japanese, Thai, Khmer, ...) they are overlapping pairs
    of characters. Texts are compared after NFKC and lower-casing; combining marks belong to their word.

    In texts of one or two characters a changed character leaves too little in common: of two texts that differ, one
    must have three. Texts without any word (punctuation, emoji) match only their equals. An id that stands for a text
    that is not known (:class:`~embalign.pairs.corpus.Unwritten`) is never near another.

    The result is exact, without a comparison of all pairs. Memory is that of 65,536 texts and as many of the pool:
    more are taken in parts.

    >>> near_duplicates(["我喜欢红茶", "A cat sat here.", "?!"], ["我喜欢绿茶", "a cat sat, there", "?"]).tolist()
    [True, True, False]
    """
    found = np.zeros(len(texts), dtype=bool)
    for start in range(0, len(texts), PART):
        part = found[start : start + PART]
        some = _slices(texts, start, start + PART)
        forms = [None if isinstance(text, Unwritten) else _form(text) for text in some]
        for others in range(0, len(pool), PART):
            left = np.flatnonzero(~part)
            if not len(left):
                break
            part[left] = _near([forms[row] for row in left.tolist()], _slices(pool, others, others + PART))
    return found


def _slices(texts: Sequence[str], start: int, stop: int) -> Iterator[str]:
    """Yield some texts in their order; few of a stored corpus are held at once."""
    for place in range(start, min(stop, len(texts)), HELD):
        yield from texts[place : min(place + HELD, stop)]


def _near(forms: Sequence[str | None], pool: Iterable[str]) -> NDArray[np.bool_]:
    """The same at once, given the forms of the texts."""
    known = dict.fromkeys(_form(text) for text in pool if not isinstance(text, Unwritten))
    written = dict.fromkeys(form for form in forms if form is not None)
    near = known.keys() & written.keys()
    rest = [form for form in written if form not in near]
    if rest and known:
        near.update(_near_forms(rest, list(known)))
    return np.array([form in near for form in forms], dtype=bool)


def _near_forms(forms: list[str], pool: list[str]) -> list[str]:
    sets = _sets(forms + pool)
    near = similar_sets(sets[: len(forms)], sets[len(forms) :], NEAR_DUPLICATE_JACCARD)
    few = (np.diff(sets.indptr) < _SEEN_BY_TOKENS).tolist()
    left = [row for row in np.flatnonzero(~near).tolist() if few[row] and _has_words(forms[row])]
    others = [form for form, is_short in zip(pool, few[len(forms) :], strict=True) if is_short and _has_words(form)]
    near[left] = within_one_edit([_letters(forms[row]) for row in left], [_letters(form) for form in others])
    return [forms[row] for row in np.flatnonzero(near).tolist()]


def _sets(forms: list[str]) -> Sets:
    """The tokens of each form: one row a form, one column a token."""
    # scikit-learn's CountVectorizer also counts tokens and sorts their names, which is most of its work.
    number: dict[str, int] = {}
    columns, ends = array("i"), array("q", [0])
    for form in forms:
        columns.extend([number.setdefault(token, len(number)) for token in _tokens(form)])
        ends.append(len(columns))
    return csr_array((np.ones(len(columns), np.int8), columns, ends), shape=(len(forms), len(number)))


def _letters(form: str) -> str:
    return form.replace(" ", "")


def _form(text: str) -> str:
    """The words of a text with one space between them; of a text without words, what it has after a space."""
    text = unicodedata.normalize("NFKC", text).lower()
    if text.isascii():
        words = _ASCII_WORD.findall(text)
    else:
        text = _INVISIBLE.sub("", text)
        for parts, letter in _ONE_LETTER:
            text = text.replace(parts, letter)
        words = _marked_words().findall(text)
    return " ".join(words or ["", *text.split()])


def _has_words(form: str) -> bool:
    return not form.startswith(" ")


@functools.cache
def _marked_words() -> re.Pattern[str]:
    r"""Words with their marks, which `\w` leaves out: without its vowel signs a Thai or Hindi word is another word.

    Diacritics start no word: NFKC makes a space and a diacritic of the accent that some write for an apostrophe.
    """
    marks = "".join(mark for mark in map(chr, range(0x370, 0x20000)) if unicodedata.category(mark) in ("Mn", "Mc"))
    return re.compile(rf"[\w{marks}][\w\u0300-\u036f{marks}]*")


def _tokens(form: str) -> set[str]:
    if form.isascii() and _has_words(form):
        return set(form.split())
    if not _has_words(form):
        return {form}
    found: set[str] = set()
    for match in _RUN.finditer(form):
        run = match.group()
        found.update(map("".join, itertools.pairwise(run)) if match[1] and len(run) > 1 else [run])
    return found
