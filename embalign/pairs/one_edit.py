"""Which strings one changed, inserted or deleted character makes equal to another: by hashes of what is left."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**20
SHORTEST = 3
_BLANK = 0x110000  # one above the last character
Hashes = NDArray[np.uint64]


def within_one_edit(texts: Sequence[str], pool: Sequence[str], block: int = BLOCK) -> NDArray[np.bool_]:
    """Return which of `texts` are equal to a text of `pool`, or are so after one edit: shape (len(texts),).

    An edit changes, inserts or deletes one character; at least one of the two texts must then have three characters.
    An edit leaves one half of a text as it is, so only texts that share a half with one of the other side are compared:
    by 64-bit hashes of what remains without one character, the idea of SymSpell (Garbe, 2012). The time grows with the
    characters, unless far more than `block` of them are in texts that share their halves. Memory is bounded by `block`
    characters or one text, whichever is more. A false match has odds of about 1 in 10^19 for each pair of hashes: below
    one in a million for 10^6 against 10^7.

    >>> within_one_edit(["colour", "on", "cat"], ["color", "in", "act"]).tolist()
    [True, False, False]
    """
    near = set(pool) & set(texts)
    by_length, others_by_length = _by_length(set(texts) - near), _by_length(pool)
    for length, group in by_length.items():
        for other_length in (length - 1, length, length + 1):
            if max(length, other_length) >= SHORTEST and other_length in others_by_length:
                left = [text for text in group if text not in near]
                left, others = _sharing_a_half(left, others_by_length[other_length])
                for part in _blocks(left, block // length):
                    for some in _blocks(others, block // other_length):
                        near.update(_matches(part, some))
    return np.array([text in near for text in texts], dtype=bool)


def _by_length(texts: Iterable[str]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for text in sorted(set(texts)):
        groups.setdefault(len(text), []).append(text)
    return groups


def _blocks(texts: list[str], size: int) -> Iterator[list[str]]:
    return (texts[start : start + max(1, size)] for start in range(0, len(texts), max(1, size)))


def _sharing_a_half(texts: list[str], pool: list[str]) -> tuple[list[str], list[str]]:
    """The texts and those of the pool that have the first or the last characters of one of the other side.

    Each side's texts are of one length. Halves are told by their hashes, so that a few texts more may be left.
    """
    if not texts or not pool:
        return [], []
    shorter = min(len(texts[0]), len(pool[0]))
    first, last = shorter // 2, shorter - shorter // 2
    shared, shared_by_pool = np.zeros(len(texts), dtype=bool), np.zeros(len(pool), dtype=bool)
    for half in (slice(None, first), slice(-last, None)):
        own, other = (np.fromiter((hash(text[half]) for text in side), np.int64, len(side)) for side in (texts, pool))
        shared |= np.isin(own, other)
        shared_by_pool |= np.isin(other, own)
    return list(itertools.compress(texts, shared.tolist())), list(itertools.compress(pool, shared_by_pool.tolist()))


def _matches(texts: list[str], pool: list[str]) -> Iterator[str]:
    """The texts that one edit makes equal to one of the pool; each side's texts are of one length."""
    longer = len(texts[0]) - len(pool[0])
    hashes = _hashes(texts)[:, None] if longer < 0 else _shortened(texts) if longer > 0 else _blanked(texts)
    others = _shortened(pool) if longer < 0 else _hashes(pool) if longer > 0 else _blanked(pool)
    known = np.sort(others, axis=None)
    # One less than the number of hashes up to this one: its own place where it is among them. np.isin is slower.
    place = np.searchsorted(known, hashes, side="right") - 1
    return itertools.compress(texts, (known[place] == hashes).any(axis=1).tolist())


def _hashes(texts: list[str]) -> Hashes:
    """The sum over its characters of a random number for each character and place: one hash a text."""
    sums: Hashes = _terms(_codes(texts), 0).sum(axis=1)
    return sums


def _blanked(texts: list[str]) -> Hashes:
    """Hashes with each character in turn replaced by a blank: shape (texts, length)."""
    codes = _codes(texts)
    terms = _terms(codes, 0)
    sums: Hashes = terms.sum(axis=1, keepdims=True)
    return sums - terms + _terms(np.full_like(codes[:1], _BLANK), 0)


def _shortened(texts: list[str]) -> Hashes:
    """Hashes without each character in turn, so that those after it move up by one: shape (texts, length)."""
    codes = _codes(texts)
    before, after = _terms(codes, 0), _terms(codes, 1)
    rest: Hashes = after.sum(axis=1, keepdims=True) - after.cumsum(axis=1)
    return before.cumsum(axis=1) - before + rest


def _codes(texts: list[str]) -> Hashes:
    encoded = "".join(texts).encode("utf-32-le", "surrogatepass")
    return np.frombuffer(encoded, dtype="<u4").reshape(len(texts), -1).astype(np.uint64)


def _terms(codes: Hashes, shift: int) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014), one to one: no two arguments share a number."""
    places = np.arange(1, codes.shape[1] + 1, dtype=np.uint64) - np.uint64(shift)
    mixed = (places << np.uint64(32)) + codes
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
