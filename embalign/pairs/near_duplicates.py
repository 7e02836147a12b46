"""Which texts are near-duplicates of others: they share nearly all their words, or differ in one character."""

import functools
import itertools
import re
import unicodedata
from array import array
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from embalign.lazy import lazy
from embalign.pairs import signatures
from embalign.pairs.corpus import Unwritten
from embalign.pairs.freed import give_back
from embalign.pairs.one_edit import within_one_edit
from embalign.pairs.similar_sets import Sets, similar_sets

csr_array = lazy("scipy.sparse").csr_array
NEAR_DUPLICATE_JACCARD = Fraction(4, 5)
ASKED, PART = 2**18, 2**16  # texts whose signatures are held, and that are compared, at once
SIGNED, READ = 2**14, 2**12  # texts that get signatures, and that are read, at once
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

    The result is exact, without a comparison of all pairs. Memory is that of 262,144 texts and 65,536 of the pool: more
    are taken in parts.

    >>> near_duplicates(["我喜欢红茶", "A cat sat here.", "?!"], ["我喜欢绿茶", "a cat sat, there", "?"]).tolist()
    [True, True, False]
    """
    parts = range(0, len(texts), ASKED)
    found = np.concatenate([np.empty(0, bool), *(_near_some(_forms(texts, at, at + ASKED), pool) for at in parts)])
    if max(len(texts), len(pool)) > PART:
        give_back()
    return found


def _forms(texts: Sequence[str], start: int, stop: int) -> list[str | None]:
    """The forms of some texts in their order, None for one that is not known."""
    # Few of a stored corpus are held at once.
    slices = (texts[place : min(place + READ, stop)] for place in range(start, min(stop, len(texts)), READ))
    return [None if isinstance(text, Unwritten) else _form(text) for some in slices for text in some]


def _near_some(forms: list[str | None], pool: Sequence[str]) -> NDArray[np.bool_]:
    """The same for the forms of some texts, by parts of the pool; of many only those that may be near are compared."""
    if len(forms) <= PART and len(pool) <= PART:
        return _near(forms, _forms(pool, 0, PART))
    found, likely = np.zeros(len(forms), bool), _Likely(forms)
    held: list[str | None] = []
    for start in range(0, len(pool), SIGNED):
        held += likely.among(_forms(pool, start, start + SIGNED))
        if len(held) >= PART or start + SIGNED >= len(pool):
            rows = likely.taken()
            rows = rows[~found[rows]]
            for part in (rows[at : at + PART] for at in range(0, len(rows), PART)):
                found[part] = _near([forms[row] for row in part.tolist()], held)
            held = []
    return found


class _Likely:
    """Texts, by their forms, that some of a pool may be near-duplicates of: those with a signature in common."""

    def __init__(self, forms: Sequence[str | None]) -> None:
        self._counts: NDArray[np.int64] | None = None
        parts = [self._signatures(forms, at, at + SIGNED) for at in range(0, len(forms), SIGNED)]
        self._own, self._rows = (np.concatenate(part) for part in zip(*parts, strict=True))
        self._known = np.sort(self._own)
        self._shared = np.zeros(len(self._known), bool)

    def among(self, pool: Sequence[str | None]) -> list[str | None]:
        """Return those forms of the pool that a text may be near to, and note these texts."""
        found, rows = self._signatures(pool, 0, len(pool))
        place = np.searchsorted(self._known, found)
        same = np.append(self._known, np.uint32(0))[place] == found
        same &= place < len(self._known)
        self._shared[place[same]] = True
        return [pool[row] for row in np.unique(rows[same]).tolist()]

    def taken(self) -> NDArray[np.int64]:
        """Return the rows of the texts noted since this was asked before."""
        noted = [
            self._rows[at : at + PART][self._shared[np.searchsorted(self._known, self._own[at : at + PART])]]
            for at in range(0, len(self._own), PART)
        ]
        self._shared[:] = False
        return np.unique(np.concatenate([np.empty(0, np.int64), *noted]))

    def _signatures(
        self, forms: Sequence[str | None], start: int, stop: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
        known = [(row, form) for row, form in enumerate(forms[start:stop], start) if form is not None]
        hashes, sizes = signatures.hashed([_tokens(form) for _, form in known])
        if self._counts is None:
            self._counts = signatures.frequencies(hashes)
        of_sets, places = signatures.of_sets(hashes, sizes, NEAR_DUPLICATE_JACCARD, self._counts)
        rows = np.array([row for row, _ in known], np.int32)
        short = [at for at in np.flatnonzero(sizes < float(_SEEN_BY_TOKENS)).tolist() if _has_words(known[at][1])]
        of_halves, others = signatures.of_halves([_letters(known[at][1]) for at in short], np.array(short, np.int64))
        return np.concatenate([of_sets, of_halves]), rows[np.concatenate([places, others])]


def _near(forms: Sequence[str | None], pool: Sequence[str | None]) -> NDArray[np.bool_]:
    """The same at once, given forms."""
    known = dict.fromkeys(form for form in pool if form is not None)
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
