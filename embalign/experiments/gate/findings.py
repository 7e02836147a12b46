"""What the gate experiment found: the numbers that answer, figure, verdict and report speak of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from embalign.evaluation.deployment import QUERY_ADAPTER
from embalign.evaluation.results import Results
from embalign.experiments.gate import tables
from embalign.experiments.gate.protocol import CASCADE_LEVELS, SPREADS, WHOLE
from embalign.experiments.spectral.protocol import BASELINE, TREATMENT, planned
from embalign.pairs.texts import Basis
from embalign.verdicts.basis import BY_TEACHER
from embalign.verdicts.contrasts import Contrast, judge_contrasts
from embalign.verdicts.sanity import Suspicion, suspect_vectors


@dataclass(frozen=True)
class Findings:
    """What is said of the exported map, and of the loss terms: the numbers of answer, figure, verdict and report.

    `exported` is the map's row, `scores` the chosen score by deployment; certificates and `by_index` are as
    :mod:`tables` gives them. `cascade` is the curve of the exported map, `baseline` the maps of the whole pool, and
    `contrasts` are by deployment; `rows` says whether draft and teacher belong to the same texts, `basis` what says
    which texts are relevant.
    """

    exported: pd.Series
    scores: dict[str, str]
    certificates: list[dict[str, Any]]
    by_index: list[dict[str, Any]]
    cascade: pd.DataFrame
    baseline: Results
    contrasts: dict[str, list[Contrast]]
    rows: Mapping[str, float] | None = None
    basis: Basis = "labels"

    @property
    def by_teacher(self) -> bool:
        """Whether relevant is what the teacher itself finds."""
        return self.basis == BY_TEACHER

    @property
    def score(self) -> str:
        """The score chosen for the query adapter."""
        return self.scores[QUERY_ADAPTER]

    def of(self, deployment: str, index: str) -> list[dict[str, Any]]:
        """Return the certificates of one use, by risk target."""
        return [c for c in self.certificates if (c["deployment"], c["index"]) == (deployment, index)]

    @property
    def index_size(self) -> int:
        """Number of items in the whole corpus."""
        return int(self.of(QUERY_ADAPTER, WHOLE)[0]["index_size"])

    @property
    def suspicions(self) -> list[Suspicion]:
        """What is suspicious about the pair's vectors."""
        return suspect_vectors(self.exported.to_dict(), self.rows)

    @property
    def lacks_styles(self) -> bool:
        """Whether the pair has no style variants, as far as the maps of the whole pool say."""
        spreads = {name for margins in SPREADS.values() for name in margins}
        return len(self.baseline.frame) > 0 and not spreads & set(self.baseline.frame.columns)

    def tested(self, deployment: str) -> list[Contrast]:
        """Return the contrasts of the spectral loss with the baseline."""
        found = self.contrasts[deployment]
        return [contrast for contrast in found if (contrast.treatment, contrast.control) == (TREATMENT, BASELINE)]

    def sent(self, route: str, level: float = CASCADE_LEVELS[0]) -> float:
        """Return the share of queries sent to the teacher that keeps a level of its nDCG@10."""
        return float(self.exported[f"{QUERY_ADAPTER}_{route}_sent_{round(100 * level):02d}"])

    def is_steadier(self, deployment: str) -> bool:
        """Whether the spectral loss steadies a metric over styles anywhere, and beyond each of its controls."""
        kinds: dict[tuple[str, float, str], set[str]] = {}
        for found in self.contrasts[deployment]:
            if found.treatment == TREATMENT:
                kinds.setdefault((found.convention, found.strength, found.metric), set()).add(found.kind)
        return {"better"} in kinds.values()


def judge(
    measured: Mapping[str, Results], rows: Mapping[str, float] | None = None, basis: Basis = "labels"
) -> Findings:
    """Return what cells that were measured say, by the name of their table: ratio, arm and exported."""
    exported, arms = measured["exported"], measured["arm"]
    chosen = exported.tables["choice"]
    scores = dict(zip(chosen["deployment"], chosen["score"], strict=True))
    contrasts = {
        deployment: judge_contrasts(arms, planned(arms), margins) if set(margins) <= set(arms.frame.columns) else []
        for deployment, margins in SPREADS.items()
    }
    return Findings(
        exported=exported.frame.iloc[0],
        scores=scores,
        certificates=tables.certificates_of(exported, scores),
        by_index=tables.by_index(exported, scores),
        cascade=tables.cascade_of(exported, scores[QUERY_ADAPTER]),
        baseline=arms.where(arm=BASELINE),
        contrasts=contrasts,
        rows=rows,
        basis=basis,
    )
