"""Do the numbers mean anything? What is said before any headline, and what no verdict is given on.

A pair whose rows belong to different texts, whose labels fit nothing or whose vectors are constant still gives curves,
and curves give verdicts. The limits are wide: data that mean something are far from them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from embalign.counts import effective
from embalign.evaluation.results import Results
from embalign.pairs.texts import Basis
from embalign.verdicts.basis import BY_TEACHER
from embalign.verdicts.metrics import ALIGNMENT, PRIMARY
from embalign.verdicts.use import CHANCE, CONSTANT, NO_MAP, TEACHER, compare, level

UNRELATED = 5.0  # standard deviations above rows paired at random; sound rows are at 10 and more, others at 4 at most
FEWEST_ROWS = 20  # below it, too little is known of pairings at random
REPEATED = 0.5  # share of different rows
CEILING = 0.99  # of the teacher's nDCG@10, or of 1
FEWEST_GROUPS = 8  # below it, standard errors over label groups are not known well enough


@dataclass(frozen=True)
class Suspicion:
    """What is wrong with the data, in a sentence with its remedy; `fatal`: no verdict would mean anything."""

    name: str
    words: str
    fatal: bool = False


def suspect(
    whole: Results, references: Mapping[str, Results], rows: Mapping[str, float] | None = None, basis: Basis = "labels"
) -> list[Suspicion]:
    """Return what is suspicious about a pair.

    `whole` are the maps fitted on all data, one cell a seed, `references` the cells of what they are held against, and
    `rows` what :func:`embalign.evaluation.mantel.measure` says of the pair, None if it was not asked. `basis` is what
    says which texts are relevant: the teacher's own search is perfect where that is its own ranking.
    """
    draft = references.get(NO_MAP)
    found = suspect_vectors({} if draft is None else draft.frame.mean(numeric_only=True).to_dict(), rows)
    if not any(each.fatal for each in found):
        found += _of_labels(references, basis)
    if not any(each.fatal for each in found):
        found += [*_of_levels(references, basis), *_of_maps(whole, references)]
    return found


def suspect_vectors(facts: Mapping[str, float], rows: Mapping[str, float] | None) -> list[Suspicion]:
    """Return what is suspicious about a pair's vectors.

    `facts` are those of :func:`embalign.evaluation.agreement.measure`, `rows` those of
    :func:`embalign.evaluation.mantel.measure`; nothing is said of what either lacks.
    """
    return list(_of_distinct(facts)) or ([] if rows is None else list(_of_rows(rows)))


def _of_distinct(facts: Mapping[str, float]) -> Iterator[Suspicion]:
    for side in ("draft", "teacher"):
        if (distinct := facts.get(f"distinct_{side}", 1.0)) < REPEATED:
            words = f"only {100 * distinct:.2g} % of the {side}'s vectors differ: it gives one vector to many texts"
            yield Suspicion("constant", f"{words}; check its model, pooling and truncation.", fatal=True)


def _of_rows(rows: Mapping[str, float]) -> Iterator[Suspicion]:
    if rows["items"] < FEWEST_ROWS:
        words = f"a corpus of {rows['items']:.0f} items is too small to tell whether the rows of draft and teacher"
        yield Suspicion("few rows", f"{words} belong to the same texts; use more items.")
        return
    remedy = "Embed both sides from the same corpus in the same order."
    if rows["z"] < UNRELATED:
        words = (
            "the rows of draft and teacher do not seem to belong to the same texts: what is alike for one side is no "
            f"more so for the other than if rows were paired at random (correlation {rows['agreement']:.3f})"
        )
        yield Suspicion("rows", f"{words}. {remedy}", fatal=True)
    elif shift := int(rows["shift"]):
        words = f"the rows of draft and teacher seem to be shifted by {abs(shift)} against each other in a part of the"
        yield Suspicion("rows", f"{words} corpus: shifted back, they agree better. {remedy}", fatal=True)
    elif rows["part_z"] < UNRELATED:
        words = "in a part of the corpus the rows of draft and teacher do not seem to belong to the same texts: there, "
        yield Suspicion("rows", f"{words}they agree no better than rows paired at random. {remedy}", fatal=True)


def _of_labels(references: Mapping[str, Results], basis: Basis) -> Iterator[Suspicion]:
    # Of few groups the bound is so wide that it shows nothing of sound labels either.
    few = level(references.get(NO_MAP), "effective_groups") < FEWEST_GROUPS
    what = "draft and teacher" if basis == BY_TEACHER else "labels and vectors"
    for name, who in ((TEACHER, "teacher"), (NO_MAP, "raw draft")):
        try:
            above = compare(references[name], references[CHANCE], PRIMARY)
        except (ValueError, KeyError):
            continue
        if above.lower_bound() <= 0:
            words = f"the {who}'s own search is not shown to be better than chance"
            yield Suspicion(
                "chance", f"{words}: {what} may have nothing to do with each other; check them.", fatal=not few
            )
            return


def _of_levels(references: Mapping[str, Results], basis: Basis) -> Iterator[Suspicion]:
    draft, teacher = (level(references.get(name), PRIMARY) for name in (NO_MAP, TEACHER))
    if teacher >= CEILING and basis != BY_TEACHER:
        words = f"the teacher's own nDCG@10 is {teacher:.3f}: this task is too easy to tell maps apart"
        yield Suspicion("ceiling", f"{words}; use a larger index or finer labels.")
    elif draft >= CEILING * teacher:
        finds = "more than the teacher" if draft > teacher else "what the teacher finds"
        words = f"the raw draft finds {finds} (nDCG@10 {draft:.3f} and {teacher:.3f})"
        yield Suspicion("ceiling", f"{words}: it leaves no room for a map to bring more.")
    groups = level(references.get(NO_MAP), "effective_groups")
    if groups < FEWEST_GROUPS:
        kind, more = ("clusters", "texts") if basis == BY_TEACHER else ("label groups", "labels")
        number = f"effective number {effective(groups)}; fewest: {FEWEST_GROUPS}"
        words = f"the held-out queries are of too few {kind} ({number})"
        yield Suspicion("groups", f"{words}: no interval would cover other topics; use more {more}.", fatal=True)


def _of_maps(whole: Results, references: Mapping[str, Results]) -> Iterator[Suspicion]:
    constant = level(references.get(CONSTANT), ALIGNMENT)
    if (cosine := level(whole, ALIGNMENT)) <= constant:
        words = f"the map's mean cosine, {cosine:.4f}, is no higher than that of one constant vector, {constant:.4f}"
        yield Suspicion("constant map", f"{words}: the map has learned nothing of single items.")
