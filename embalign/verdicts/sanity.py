"""Do the numbers mean anything? What is said before any headline, and what no verdict is given on.

A pair whose rows belong to different texts, whose labels fit nothing or whose vectors are constant still gives curves,
and curves give verdicts. The limits are wide: data that mean something are far from them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from embalign.evaluation.results import Results
from embalign.verdicts.metrics import ALIGNMENT, PRIMARY
from embalign.verdicts.use import CHANCE, CONSTANT, NO_MAP, TEACHER, compare, level

UNRELATED = 3.0  # standard deviations above pairings at random; the shipped pairs are at 17 and 60
PART_UNRELATED = 1.0  # the same for an eighth of the corpus; the shipped pairs are at 7 and 46
FEWEST_ROWS = 30  # below it, sound rows may look unrelated: pairings at random differ too much
REPEATED = 0.5  # share of different rows
CEILING = 0.99  # of the teacher's nDCG@10, or of 1
FEWEST_GROUPS = 8  # below it, standard errors over label groups are not known well enough


@dataclass(frozen=True)
class Suspicion:
    """What is wrong with the data, in a sentence with its remedy; `fatal`: no verdict would mean anything."""

    name: str
    words: str
    fatal: bool = False


def suspect(whole: Results, references: Mapping[str, Results]) -> list[Suspicion]:
    """Return what is suspicious about a pair.

    `whole` are the maps fitted on all data, one cell a seed, and `references` the cells of what they are held against.
    """
    draft = references.get(NO_MAP)
    unmeasured = math.isnan(level(draft, "neighbour_overlap_z"))
    found = [] if draft is None or unmeasured else suspect_vectors(draft.frame.mean(numeric_only=True).to_dict())
    if not any(each.fatal for each in found):
        found += _of_labels(references)
    if not any(each.fatal for each in found):
        found += [*_of_levels(references), *_of_maps(whole, references)]
    return found


def suspect_vectors(facts: Mapping[str, float]) -> list[Suspicion]:
    """Return what is suspicious about a pair's vectors, by the facts that the raw draft's reference cell holds.

    They are those of :func:`embalign.evaluation.agreement.measure`, and `index_size`, the number of items.
    """
    return list(_of_vectors(facts))


def _of_vectors(draft: Mapping[str, float]) -> Iterator[Suspicion]:
    for side in ("draft", "teacher"):
        distinct = draft[f"distinct_{side}"]
        if distinct < REPEATED:
            words = f"only {100 * distinct:.2g} % of the {side}'s vectors differ: it gives one vector to many texts"
            yield Suspicion("constant", f"{words}; check its model, pooling and truncation.", fatal=True)
            return
    if (size := draft["index_size"]) < FEWEST_ROWS:
        words = f"a corpus of {size:.0f} items is too small to tell whether the rows of draft and teacher"
        yield Suspicion("few rows", f"{words} belong to the same texts; use more items.")
        return
    overlap = (
        f"an item's nearest by draft and by teacher overlap by {100 * draft['neighbour_overlap']:.2g} %, rows paired "
        f"at random by {100 * draft['neighbour_overlap_unrelated']:.2g} %"
    )
    remedy = "Embed both sides from the same corpus in the same order."
    if draft["neighbour_overlap_z"] < UNRELATED:
        words = f"the rows of draft and teacher do not seem to belong to the same texts: {overlap}"
        yield Suspicion("rows", f"{words}. {remedy}", fatal=True)
    elif slipped := int(draft["rows_slipped"]):
        words = (
            f"the rows of draft and teacher seem to be shifted by {abs(slipped)} against each other in a part of the"
        )
        yield Suspicion("rows", f"{words} corpus: shifted back, they agree better. {remedy}", fatal=True)
    elif draft["neighbour_overlap_part_z"] < PART_UNRELATED:
        words = "in a part of the corpus the rows of draft and teacher do not seem to belong to the same texts: there, "
        yield Suspicion(
            "rows", f"{words}their nearest agree no better than rows paired at random. {remedy}", fatal=True
        )


def _of_labels(references: Mapping[str, Results]) -> Iterator[Suspicion]:
    # Of few groups the bound is so wide that it shows nothing of sound labels either.
    few = level(references.get(NO_MAP), "effective_groups") < FEWEST_GROUPS
    for name, who in ((TEACHER, "teacher"), (NO_MAP, "raw draft")):
        try:
            above = compare(references[name], references[CHANCE], PRIMARY)
        except (ValueError, KeyError):
            continue
        if above.lower_bound() <= 0:
            words = f"the {who}'s own search is not shown to be better than chance"
            yield Suspicion(
                "chance",
                f"{words}: labels and vectors may have nothing to do with each other; check them.",
                fatal=not few,
            )
            return


def _of_levels(references: Mapping[str, Results]) -> Iterator[Suspicion]:
    draft, teacher = (level(references.get(name), PRIMARY) for name in (NO_MAP, TEACHER))
    if teacher >= CEILING:
        words = f"the teacher's own nDCG@10 is {teacher:.3f}: this task is too easy to tell maps apart"
        yield Suspicion("ceiling", f"{words}; use a larger index or finer labels.")
    elif draft >= CEILING * teacher:
        words = f"the raw draft finds what the teacher finds (nDCG@10 {draft:.3f} and {teacher:.3f})"
        yield Suspicion("ceiling", f"{words}: it leaves no room for a map to bring more.")
    groups = level(references.get(NO_MAP), "effective_groups")
    if groups < FEWEST_GROUPS:
        words = f"the held-out queries are of {groups:.1f} label groups (effective number; fewest: {FEWEST_GROUPS})"
        yield Suspicion("groups", f"{words}: intervals do not cover other topics; use more labels.")


def _of_maps(whole: Results, references: Mapping[str, Results]) -> Iterator[Suspicion]:
    constant = level(references.get(CONSTANT), ALIGNMENT)
    if (cosine := level(whole, ALIGNMENT)) <= constant:
        words = f"the map's mean cosine, {cosine:.4f}, is no higher than that of one constant vector, {constant:.4f}"
        yield Suspicion("constant map", f"{words}: the map has learned nothing of single items.")
