"""What an import says when it is done: what is in the pair, what was changed, what was not checked, and what to run."""

from collections.abc import Iterator
from pathlib import Path

from embalign.escaping import shell, visible
from embalign.imports.build import Imported
from embalign.pairs.place import EXPERIMENTS


def summarise(made: Imported) -> str:
    """Return the lines that a user reads, safe for a terminal."""
    return "\n".join(map(visible, _lines(made)))


def _lines(made: Imported) -> Iterator[str]:
    items, queries = len(made.texts.items), len(made.texts.queries)
    also = f" and {queries:,} queries" if queries else ""
    yield f"imported {items:,} items{also} into {made.out}"
    for part in made.sides:
        yield f"  {part.replace('_', ' ')}: {_side(made, part)}"
    yield f"  labels: {_labels(made)}"
    yield (
        f"  rows: those of draft and teacher belong together (agreement {made.agreement:.0f} standard deviations above "
        f"rows paired at random{', on a sample' if items > 1000 else ''})"
    )
    for note in made.notes:
        yield f"  note: {note}"
    for what in made.not_checked:
        yield f"  not checked: {what}"
    first = "" if EXPERIMENTS.is_file() else "embalign init && "
    yield f"next: {first}{shell(['pytest', 'benchmark/', '-k', 'elbow', '--pair', _named(made.out)])}"


def _side(made: Imported, part: str) -> str:
    side, seen = made.sides[part], made.seen[part]
    length = "of length 1 as they were"
    if not seen.normalised:
        least, most = f"{seen.least:.4g}", f"{seen.most:.4g}"
        length = f"normalised to length 1 (lengths were {least if least == most else f'{least} to {most}'})"
    order = "" if side.order is None else ", matched by id"
    shared = f"; {seen.shared:,} of {seen.texts:,} texts share their vector with another text" if seen.shared else ""
    return f"{side.stored.shown}, {side.stored.dimension} dimensions, {side.stored.kind}, {length}{order}{shared}"


def _labels(made: Imported) -> str:
    if made.texts.judgements is not None:
        return f"{made.gathered.labels or 'none'}; the judgements say what is relevant"
    if made.gathered.labels and not made.texts.queries:
        alone = made.gathered.alone
        lonely = f"; {alone:,} items are alone with theirs, so nothing is relevant to them" if alone else ""
        return f"{made.gathered.labels:,} different ones; those of one label should find each other{lonely}"
    return f"{made.gathered.labels or 'none'}; what the teacher itself finds is taken for relevant"


def _named(out: Path) -> str:
    """Return what names the pair for a run: a name that a pair in benchmark/ has is that one's."""
    plain = not (EXPERIMENTS.parent / out / "pair.toml").is_file()
    return str(out) if plain and not str(out).startswith("-") else str(out.absolute())
