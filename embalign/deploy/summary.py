"""An exported map in a few lines: for each deployment its quality, whether it beats no map, and its thresholds."""

from pathlib import Path
from typing import Any

from embalign.deploy import CSLS
from embalign.deploy.card import Card, Fitted, Use
from embalign.deploy.quality import NDCG
from embalign.deploy.recipe import RIDGE, TUNED
from embalign.errors import MapError
from embalign.escaping import visible
from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.maps.families import FAMILIES
from embalign.readers import reading
from embalign.verdicts.basis import AGREEMENT, BY_TEACHER
from embalign.verdicts.metrics import ALIGNMENT, label

INSIDE = "on held-out groups of the training items"


def summarise(path: Path) -> str:
    """Return what the card beside the map says, two or three lines a deployment. Raises MapError."""
    described = path.with_suffix(".json")
    card = Card.from_disk(described)
    with reading(described, MapError, "export the map again", "not the description of a map"):
        basis = [AGREEMENT] if card.relevance == BY_TEACHER else []
        words = {name: map_line(card.maps[name]) for name in card.deployments if name in card.maps}
        shared = set(words.values()) if len(set(words.values())) == 1 and len(words) > 1 else set()
        lines = [*basis, *recipe_lines(card.recipe), *shared, f"measured on {card.measured_on}"]
        for name, use in card.deployments.items():
            own = [f"  {words[name]}"] if name in words and not shared else []
            lines += [f"{DEPLOYMENTS[name].label}: {_quality(use)}", *own, f"  {_thresholds(use)}"]
        return "\n".join(lines)


def recipe_lines(recipe: dict[str, Any]) -> list[str]:
    """Return how a map was fitted and what the choice rests on; nothing for a card that does not say."""
    if not recipe:
        return []
    chosen = "by mean cosine, not by nDCG@10"
    words = {
        TUNED: f"trained for {recipe['steps']} steps (chosen {chosen})",
        RIDGE: f"ridge, penalty {recipe['penalty']:.3g} (chosen {chosen})",
    }
    taken = recipe["name"]
    if not (inner := recipe["inner"]):
        return [f"recipe: {words[taken]}; the training items are too few to compare it with ridge"]
    (other,) = inner.keys() - {taken}
    key, metric = (NDCG, "query adapter nDCG@10") if NDCG in inner[taken] else (ALIGNMENT, label(ALIGNMENT))
    better, worse = (f"{inner[name][key]:.3f}" for name in (taken, other))
    return [f"recipe: {words[taken]}, {metric} {better} {INSIDE}; {words[other].partition(' (')[0]} gives {worse}"]


def map_line(fitted: Fitted) -> str:
    """Return of which family a map is, how it is searched, and what the choice rests on."""
    setting = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in fitted.setting.items())
    words = visible(f"{_named(fitted.family, fitted.search)} ({setting})")
    own = fitted.inner.get(fitted.family, {}).get(fitted.search)
    if own is None:
        return f"map: {words}; nothing inside the training items could be held out to compare it on"
    others = [
        (value, _named(family, search))
        for family, found in fitted.inner.items()
        for search, value in found.items()
        if (family, search) != (fitted.family, fitted.search)
    ]
    found = f"map: {words}, nDCG@10 {own:.3f} {INSIDE}"
    if not others:
        return found
    value, second = max(others)
    return f"{found}, the highest of {len(others) + 1}; next {visible(second)}, {value:.3f}"


def _named(family: str, search: str) -> str:
    known = FAMILIES[family].label if family in FAMILIES else family
    return f"{known} by CSLS" if search == CSLS else known


def _quality(use: Use) -> str:
    over = use.over_no_map
    alike = ", searched by CSLS too" if use.no_map_search == CSLS else ""
    verdict = f"{'better' if use.beats_no_map else 'NOT shown to be better'} than no map{alike}"
    found, kept = use.quality[NDCG].value, use.retention[NDCG].value
    bound = "" if over.lower_bound is None else f", lower bound {over.lower_bound:+.3f}"
    return f"nDCG@10 {found:.3f}, {100 * kept:.0f} % of the teacher's; {verdict} ({over.difference:+.3f}{bound})"


def _thresholds(use: Use) -> str:
    certified = [
        f"risk {100 * float(target):g} %: {use.score} >= {own.threshold:.4f} accepts {100 * own.coverage:.1f} %"
        for target, own in use.thresholds.items()
        if own.threshold is not None
    ]
    size = f"index of {use.index_size:,} items"
    return f"certified for an {size}: {'; '.join(certified)}" if certified else f"no threshold certified, {size}"
