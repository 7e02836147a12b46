"""What experiment 2 found: the numbers that answer, verdict and report speak of."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from embalign.alignment.config import STARTS
from embalign.evaluation.results import Results
from embalign.experiments.spectral.protocol import (
    BASELINE,
    CLAIMS,
    MARGINS,
    MEMO,
    NAMES,
    PHASE,
    PRIMARY_CONTROL,
    SPECTRAL,
    TREATMENT,
    Cause,
    Claim,
    Controls,
    cause,
)
from embalign.verdicts.contrasts import Contrast, find
from embalign.verdicts.metrics import PRIMARY


@dataclass(frozen=True)
class AtStart:
    """The memo's loss at its largest λ, on the primary metric, trained from one start.

    `output_norm` is the mean length of mapped queries, where the teacher's have 1; `scrambled` is None where the
    control was not measured.
    """

    name: str
    output_norm: float
    spectral: Contrast
    scrambled: Contrast | None
    cause: Cause

    @property
    def scale(self) -> float:
        """The initial scale of the map."""
        return STARTS[self.name][0]

    @property
    def rate(self) -> float:
        """The learning rate."""
        return STARTS[self.name][1]


@dataclass(frozen=True)
class Findings:
    """The contrasts, the controls, and what each effect of a claim's arm is attributed to.

    `norms` is the mean output norm by arm and setting.
    """

    contrasts: Sequence[Contrast]
    controls: Controls
    norms: dict[tuple[str, str, float, str], float]
    cause: dict[Contrast, Cause]

    def tested(self, claim: Claim = SPECTRAL) -> list[Contrast]:
        """Return the contrasts of a claim's arm with the baseline."""
        return [c for c in self.contrasts if (c.treatment, c.control) == (claim.arm, BASELINE)]

    @property
    def memo(self) -> list[Contrast]:
        """Comparisons of the loss as the memo writes it with the baseline; inert ones say nothing and are left out."""
        return [c for c in self.tested() if c.convention == MEMO and not c.inert]

    @property
    def inert(self) -> list[Contrast]:
        """Those that are left out of `memo`."""
        return [c for c in self.tested() if c.convention == MEMO and c.inert]

    @property
    def others(self) -> list[Contrast]:
        """The loss at other settings on the primary metric: by gradient ratio, or on unit vectors."""
        return self._primary(c for c in self.tested() if c.convention != MEMO)

    @property
    def phase(self) -> list[Contrast]:
        """The phase loss on the primary metric."""
        return self._primary(self.tested(PHASE))

    @property
    def evidence(self) -> list[Contrast]:
        """Comparisons of the loss with the baseline, at any setting, but for inert ones."""
        return [c for c in self.tested() if not c.inert]

    @property
    def better(self) -> list[Contrast]:
        """Those in which the loss is better, whatever the cause."""
        return [c for c in self.evidence if c.kind == "better"]

    @property
    def gains(self) -> list[Contrast]:
        """Where the loss helps, and the effect is spectral."""
        return [c for c in self.better if self.cause[c] == SPECTRAL.cause]

    @property
    def phase_gains(self) -> list[Contrast]:
        """Where the phase loss changes the primary metric, and the effect is the phase's."""
        return [c for c in self.phase if self.cause[c] == PHASE.cause]

    @property
    def starts(self) -> list[AtStart]:
        """What the memo's loss does from each start."""
        found = []
        for name in dict.fromkeys(c.init for c in self.memo):
            of_start = [c for c in self._primary(self.memo) if c.init == name]
            if name in STARTS and of_start:
                strongest = max(of_start, key=lambda contrast: contrast.strength)
                norm = self.norms.get((TREATMENT, *strongest.setting), math.nan)
                scrambled = find(self.contrasts, PRIMARY_CONTROL, BASELINE, strongest.setting, PRIMARY)
                found.append(AtStart(name, norm, strongest, scrambled, self.cause[strongest]))
        return found

    @staticmethod
    def words(contrasts: Sequence[Contrast]) -> dict[str, int]:
        """Return how many contrasts have each verdict, with the metrics that have one other than equivalence."""
        counts: dict[str, int] = {}
        for verdict, count in Counter(c.words for c in contrasts).items():
            metrics = dict.fromkeys(NAMES[c.metric] for c in contrasts if c.words == verdict)
            counts[verdict if verdict == "equivalent" else f"{verdict} ({', '.join(metrics)})"] = count
        return counts

    def causes(self, contrasts: Iterable[Contrast]) -> dict[str, int]:
        """Return how many of a claim's contrasts have each cause, in their order."""
        return dict(Counter(self.cause[c] for c in contrasts))

    @property
    def detectable(self) -> dict[str, float]:
        """The effect between spectral and scrambled that is found with power 0.8 at the noisiest setting, by metric."""
        of_primary = [c for c in self.contrasts if (c.treatment, c.control) == (TREATMENT, PRIMARY_CONTROL)]
        return {
            metric: max(
                (c.verdict.minimum_detectable_effect for c in of_primary if c.metric == metric), default=math.nan
            )
            for metric in MARGINS
        }

    def records(self) -> list[dict[str, Any]]:
        """Return the contrasts as verdict.json has them, each with the output norm of its treatment."""
        return [
            c.as_record()
            | {"output_norm": self.norms.get((c.treatment, *c.setting))}
            | ({"put_down_to": self.cause[c]} if c in self.cause else {})
            for c in self.contrasts
        ]

    @staticmethod
    def _primary(contrasts: Iterable[Contrast]) -> list[Contrast]:
        return [c for c in contrasts if c.metric == PRIMARY and not c.inert]


def findings(contrasts: Sequence[Contrast], controls: Controls, measured: Results | None = None) -> Findings:
    """Return what contrasts and controls say; the measured arms give the output norms."""
    causes = {
        c: cause(contrasts, c.setting, c.metric, CLAIMS[c.treatment])
        for c in contrasts
        if c.treatment in CLAIMS and c.control == BASELINE
    }
    norms = {}
    if measured is not None and "output_norm" in measured.frame:
        by_setting = measured.frame.groupby(["arm", "convention", "lambda", "init"], sort=False)["output_norm"]
        norms = {key: float(value) for key, value in by_setting.mean().dropna().items()}
    return Findings(contrasts, controls, norms, causes)
