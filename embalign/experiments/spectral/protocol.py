"""What experiment 2 judges, fixed before any run: contrasts, controls, margins, and what an effect is attributed to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from embalign.alignment.setting import Setting
from embalign.evaluation.results import Results
from embalign.verdicts.ab import ABVerdict
from embalign.verdicts.contrasts import Contrast, Planned, compare_arms, find
from embalign.verdicts.metrics import ALIGNMENT, PRIMARY, RETRIEVAL, label
from embalign.verdicts.use import REFERENCES

# Equivalence margins, the primary metric first: a difference within them does not matter.
MARGINS = {PRIMARY: 0.003, ALIGNMENT: 0.002, RETRIEVAL: 0.01}
# What texts call them: with the deployment, but for the cosine, which no search is needed for.
NAMES = {name: label(name) for name in MARGINS}
ALPHA = 0.05  # of each family: a treatment and a control, Holm over settings and metrics

TREATMENT, BASELINE = "spectral", "baseline"
# The same loss on permuted and sign-flipped dimensions: an effect that it has too is not spectral.
PRIMARY_CONTROL = "signed_permutation"
# A penalty on the length of the output alone; no control of unit vectors, which have no other length.
NORM_CONTROL = "norm_only"
WITHOUT_SETTING = (BASELINE, *REFERENCES, "ridge", "procrustes")

Cause = Literal["no effect", "spectral", "shared with the norm penalty", "shared with scrambled", "not settled"]


def planned(measured: Results) -> list[Planned]:
    """Return the contrasts: spectral with each of its controls, every other arm that fits a map with the baseline."""
    plans = []
    settings = measured.frame.groupby(["arm", "convention", "lambda"], sort=False).groups
    for arm, convention, strength in settings:
        if arm in REFERENCES:
            continue
        controls = [BASELINE] if arm != BASELINE else []
        if arm == TREATMENT:
            sees_norm = Setting.named(convention, strength).sees_norm
            controls = [PRIMARY_CONTROL, BASELINE, *([NORM_CONTROL] if sees_norm else [])]
        plans += [
            Planned(arm, control, convention, strength, control_has_setting=control not in WITHOUT_SETTING)
            for control in controls
        ]
    return plans


@dataclass(frozen=True)
class Controls:
    """Whether the experiment finds an order effect where there is one, and none between two scrambled draws."""

    positive: ABVerdict | None
    negative: ABVerdict | None

    @property
    def found(self) -> bool:
        """Whether the positive control was found."""
        return self.positive is not None and self.positive.kind == "better"


def judge_controls(rows: Results) -> Controls:
    """Return the verdicts on the synthetic task: spectral against scrambled, and one scrambled draw against another."""
    measured = rows.ok()
    scrambled = measured.where(arm=PRIMARY_CONTROL)
    margin = MARGINS[ALIGNMENT]
    return Controls(
        compare_arms(measured.where(arm=TREATMENT), scrambled, ALIGNMENT, margin),
        compare_arms(scrambled.where(draw=0), scrambled.where(draw=1), ALIGNMENT, margin),
    )


def cause(contrasts: Sequence[Contrast], setting: tuple[str, float], metric: str) -> Cause:
    """Return what the spectral arm's difference to the baseline is attributed to.

    It is spectral only if it differs from scrambled dimensions and from the norm penalty in the same direction; it is
    shared if one of these has it too and the spectral arm does not go beyond.
    """

    def kind(treatment: str, control: str) -> str | None:
        found = find(contrasts, treatment, control, setting, metric)
        return found.kind if found else None

    effect = kind(TREATMENT, BASELINE)
    if effect == "equivalent":
        return "no effect"
    if effect not in ("better", "worse"):
        return "not settled"
    norm_matters = Setting.named(*setting).sees_norm
    beyond_norm = not norm_matters or kind(TREATMENT, NORM_CONTROL) == effect
    if kind(TREATMENT, PRIMARY_CONTROL) == effect and beyond_norm:
        return "spectral"
    if norm_matters and kind(NORM_CONTROL, BASELINE) == effect and not beyond_norm:
        return "shared with the norm penalty"
    if kind(PRIMARY_CONTROL, BASELINE) == effect and kind(TREATMENT, PRIMARY_CONTROL) != effect:
        return "shared with scrambled"
    return "not settled"


def settings_of(contrasts: Sequence[Contrast]) -> list[tuple[str, float]]:
    """Return every convention and strength of the spectral arm, in the order of the grid."""
    return list(dict.fromkeys((c.convention, c.strength) for c in contrasts if c.treatment == TREATMENT))
