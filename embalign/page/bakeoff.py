"""The bake-off in the answer of a page: which map it picks in each deployment, and whether that beats no map."""

from typing import Annotated

import msgspec

from embalign.escaping import one_line
from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.experiments.maps.protocol import System
from embalign.page.reading import Report, section
from embalign.verdicts.use import Answer

LONGEST_NAME = 60  # characters of a family of one's own


class _System(msgspec.Struct):
    family: str
    search: str


class _Difference(msgspec.Struct):
    difference: float
    interval: tuple[float, float]
    lower_bound: float


class Picked(msgspec.Struct):
    """What is picked inside the training items, seed by seed, its nDCG@10, and that minus no map, searched alike."""

    systems: Annotated[list[_System], msgspec.Meta(min_length=1)]
    ndcg_at_10: float
    minus_no_map: _Difference

    @property
    def answer(self) -> Answer:
        """Whether it beats no map: a one-sided 95 % bound of the difference excludes 0."""
        found = self.minus_no_map
        if found.lower_bound > 0:
            return "better"
        return "worse" if 2 * found.difference - found.lower_bound < 0 else "not shown"

    @property
    def words(self) -> str:
        """The system that is picked most often, and with how many of the seeds where that is not all."""
        names = [System(one_line(each.family, LONGEST_NAME), each.search).words for each in self.systems]
        usual = max(dict.fromkeys(names), key=names.count)
        often = names.count(usual)
        return usual if often == len(names) else f"{usual} ({often} of {len(names)} seeds)"


def read_picked(report: Report) -> dict[str, Picked]:
    """Return what a bake-off picks in each deployment; none where it could not choose or says it otherwise."""
    found = {}
    for name, content in section(report.verdict, "deployments").items():
        if name in DEPLOYMENTS and isinstance(content, dict):
            try:
                found[name] = msgspec.convert(content.get("picked"), Picked)
            except msgspec.ValidationError:
                continue
    return found
