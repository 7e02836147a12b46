"""What is asked of a source before anything of it is stored, and again at the end.

Before: short probes and a batch of full size of the texts to be fetched, in company and alone; then the longest texts
with another end and another start, which a source that cuts them in silence does not see. At the end: the texts that
were fetched, or a sample of them, in other company.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from embalign.embeddings.asking import BATCH_TEXTS, Asker
from embalign.embeddings.http import shown
from embalign.embeddings.source import PROBES, SAME_COSINE, Identity, Source
from embalign.errors import SourceError, WrongVectorsError
from embalign.pairs import Vectors
from embalign.pairs.equal_vectors import EQUAL_COSINE, equal_vectors

BATCH_CHARACTERS = 16_000
RECHECKED_ALL, RECHECKED = 512, 256  # texts: so many are all asked for again; of more, a sample
RECHECKED_ALONE = 3
MANY_EQUAL = 0.25  # of the texts of the first batches
SEED = 0


def preflight(source: Source) -> Identity:
    """Return the identity of a source whose vectors do not depend on the batch, as far as short probes tell.

    Raises SourceError with the remedy.
    """
    return open_asker(source).identity


def open_asker(source: Source) -> Asker:
    """Return what asks a source that has passed the short probes. Raises SourceError with the remedy."""
    identity = source.identify()
    if identity.pooling == "unknown":
        raise SourceError(
            f"{source.name}: the server does not report its pooling; set pooling = "
            '"last", "mean" or "cls" in pair.toml, as the server was started'
        )
    asker = Asker(source, identity)
    alone = {text: asker.vectors([text])[0] for text in PROBES}
    _compare_company(asker, alone, dict(zip(PROBES, asker.vectors(PROBES), strict=True)))
    _check_distinct(asker, alone, 0.0)
    return asker


def check_batches(asker: Asker, prompt: str, texts: Sequence[str], corpus: Sequence[str]) -> dict[str, Vectors]:
    """Return the vectors of the first texts of a fetch, longest first, which do not depend on the rest of the batch.

    Those are the first batch and, beside two of its texts, texts of all other lengths. The longest, the shortest, and
    two between are asked for alone too. `corpus` gives the number of a text in messages. Raises SourceError with the
    remedy.
    """
    first = next(batches(texts, asker.most))
    together = dict(zip(first, asker.vectors(first, prompt, corpus), strict=True))
    rest = texts[len(first) :]
    again = list(dict.fromkeys([first[0], first[len(first) // 2]]))
    mixed = next(batches([*reversed(again), *spread(rest, asker.most - len(again))], asker.most))
    in_company = asker.accepted(mixed, prompt)  # the fetch names those refused, once it has stored others
    _compare_company(asker, {text: together[text] for text in in_company if text in together}, in_company)
    found = in_company | together
    single = dict.fromkeys([first[0], first[len(first) // 2], first[-1], *list(in_company)[-1:]])
    _compare_company(asker, {text: asker.vectors([text], prompt, corpus)[0] for text in single}, found)
    _check_distinct(asker, found, MANY_EQUAL)
    return found


def check_nothing_is_cut(asker: Asker, prompt: str, texts: Sequence[str], known: Mapping[str, Vectors]) -> None:
    """Raise SourceError if the source cuts the longest of `texts` in silence.

    Their vectors, of which some are `known`, do not change then with another end, nor with more text there. The start
    is tried likewise. A source that refuses what is too long does not cut.
    """
    longest = dict.fromkeys([max(texts, key=lambda t: len(t.encode(errors="replace"))), max(texts, key=_word_count)])
    variants = {text: _variants(text, texts) for text in longest}
    asked = list(dict.fromkeys(variant for pairs in variants.values() for pair in pairs for variant in pair))
    if not asked:
        return
    found = dict(known)
    for group in batches([*asked, *(text for text in longest if text not in known)], asker.most):
        found |= asker.accepted(group, prompt)
    for text, pairs in variants.items():
        for pair in pairs:
            if text in found and all(v in found and _cosine(found[v], found[text]) >= EQUAL_COSINE for v in pair):
                asker.check_identity()
                raise SourceError(
                    f"{asker.source.name} cuts long texts in silence: the vector of the text of {len(text)} "
                    f"characters {shown(text)!r} does not change with what is added to it. Set the model's context "
                    "length higher, or shorten the texts"
                )


def check_again(asker: Asker, prompt: str, stored: Mapping[str, Vectors], corpus: Sequence[str]) -> tuple[int, float]:
    """Return how many of the stored vectors were asked for again, and the lowest cosine of a text to itself.

    Up to 512 texts are all asked for again, in another order and so in other batches, and three of them alone: what was
    exchanged, or came from another model, is found. Of n more, it is 256, one at random of each of 256 runs of n / 256
    neighbours by length, which were fetched together: a fault of k single texts is found with a probability of about
    1 - (1 - 256 / n) ** k, one of a whole batch surely up to n = 2048, and a model that has changed for good always.
    Raises WrongVectorsError.
    """
    texts = sorted(stored, key=len, reverse=True)
    if len(texts) > RECHECKED_ALL:
        texts = spread(texts, RECHECKED)
    order = [texts[place] for place in np.random.default_rng(SEED).permutation(len(texts))]
    groups = [*batches(order, asker.most), *([text] for text in order[:RECHECKED_ALONE])]
    lowest = 1.0
    for group in groups:
        for text, vector in zip(group, asker.vectors(group, prompt, corpus), strict=True):
            cosine = _cosine(vector, stored[text])
            lowest = min(lowest, cosine)
            if cosine < SAME_COSINE:
                asker.check_identity()  # which names the cause if it is another model
                raise WrongVectorsError(
                    f"{asker.source.name}: asked for again, the text {shown(text)!r} has cosine {cosine:.3f} to the "
                    "vector fetched before; vectors were exchanged, or another model answers under this name. Nothing "
                    "of this fetch is kept; check the server and rerun with --refresh"
                )
    return len(texts), lowest


def batches(texts: Sequence[str], most: int = BATCH_TEXTS) -> Iterator[list[str]]:
    """Yield the texts in order in batches of at most 16 texts and 16,000 characters; a longer text is a batch alone.

    >>> [len(batch) for batch in batches(["a"] * 20)]
    [16, 4]
    """
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == most or size + len(text) > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def spread(texts: Sequence[str], count: int) -> list[str]:
    """Return about `count` texts, the last among them, one at random of each run of neighbours; the same every time."""
    edges = np.linspace(0, len(texts), min(max(count, 0), len(texts)) + 1).astype(int)
    draws = np.random.default_rng(SEED)
    chosen = [texts[draws.integers(start, end)] for start, end in itertools.pairwise(edges[:-1])]
    return [*chosen, texts[-1]] if len(edges) > 1 else []


def _compare_company(asker: Asker, one_way: Mapping[str, Vectors], other_way: Mapping[str, Vectors]) -> None:
    cosine = min((_cosine(vector, other_way[text]) for text, vector in one_way.items()), default=1.0)
    if cosine >= SAME_COSINE:
        return
    asker.check_identity()
    raise SourceError(
        f"{asker.source.name}: a text embedded in a batch has cosine {cosine:.3f} to itself embedded alone, so "
        "its vector depends on the rest of the batch. llama.cpp does this with mean pooling and several slots; "
        "start it with --parallel 1 (Ollama: OLLAMA_NUM_PARALLEL=1)"
    )


def _cosine(one: Vectors, other: Vectors) -> float:
    # Lengths may differ from 1 by a hundredth.
    exact, others = one.astype(np.float64), other.astype(np.float64)
    return float(exact @ others / (np.linalg.norm(exact) * np.linalg.norm(others)))


def _check_distinct(asker: Asker, found: Mapping[str, Vectors], most: float) -> None:
    """Raise SourceError if more than that share of the texts have a vector that is another text's too."""
    equal = equal_vectors(list(found), np.stack(list(found.values())))
    if equal.affected > most * equal.texts:
        one, other, *_ = equal.different[0]
        raise SourceError(
            f"{asker.source.name} returns one vector for different texts: {shown(one)!r} and {shown(other)!r} "
            f"({equal.affected} of {equal.texts} texts asked for); check the model and the server's log"
        )


def _variants(text: str, texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return for each end of a text: it with one letter less there, and with more words there.

    One letter less alone may be another unknown word to a model that knows words only; more words alone are cut of
    a text that fits to the last token.
    """
    letters = [match.start() for match in re.finditer(r"\w", text)]
    words = set(text.split())
    more = next((other for other in reversed(texts) if not words.issuperset(other.split())), "")
    if len(letters) < 2 or not more:
        return []
    return [(text[: letters[-1]], f"{text} {more}"), (text[letters[0] + 1 :], f"{more} {text}")]


def _word_count(text: str) -> int:
    return len(text.split())
