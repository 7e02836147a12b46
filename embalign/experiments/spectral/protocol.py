"""What experiment 2 judges, fixed before any run: contrasts, controls, margins, and what an effect is attributed to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from embalign.alignment.setting import Setting
from embalign.evaluation.results import Results
from embalign.verdicts.ab import ABVerdict
from embalign.verdicts.basis import BY_TEACHER, named
from embalign.verdicts.contrasts import (
    NO_START,
    Contrast,
    Planned,
    TermSetting,
    by_strength,
    compare_arms,
    find,
    judge_contrasts,
)
from embalign.verdicts.metrics import ALIGNMENT, PRIMARY, RETRIEVAL, label
from embalign.verdicts.use import REFERENCES

# Equivalence margins, the primary metric first: a difference within them does not matter.
MARGINS = {PRIMARY: 0.003, ALIGNMENT: 0.002, RETRIEVAL: 0.01}
# What texts call them: with the deployment, but for the cosine, which no search is needed for.
NAMES = {name: label(name) for name in MARGINS}
OF_TEACHER = {name: named(name, BY_TEACHER) for name in MARGINS}  # where relevant is what the teacher finds
ALPHA = 0.05  # of each family: a treatment and a control, Holm over starts, settings and metrics
# A term whose gradient is a smaller share of the cosine loss's cannot change a map: its verdicts are no evidence.
INERT_BELOW = 1e-4

TREATMENT, BASELINE = "spectral", "baseline"
# The same loss on permuted and sign-flipped dimensions: an effect that it has too is not spectral.
PRIMARY_CONTROL = "signed_permutation"
# The convention of the loss as the memo writes it.
MEMO = "raw"
WITHOUT_SETTING = (BASELINE, *REFERENCES, "ridge", "procrustes")

Cause = Literal[
    "inert",
    "no effect",
    "below the margin",
    "spectral",
    "phase",
    "shared with the norm penalty",
    "shared with shrinking",
    "shared with scrambled",
    "not settled",
]


@dataclass(frozen=True)
class Claim:
    """An arm whose effect is asked for its cause, and the arms that have all of it but that cause.

    Attributes:
        arm: the arm.
        cause: what its effect counts as if it is beyond both controls.
        scrambled: the same loss on permuted and sign-flipped dimensions.
        length: what does to the length of the output alone what the arm does to it; no control of unit vectors.
        by_length: what an effect is called that this one has too.
    """

    arm: str
    cause: Cause
    scrambled: str
    length: str
    by_length: Cause

    def controls(self, convention: str) -> list[str]:
        """Return the arms that an effect has to go beyond under a convention, the most telling first."""
        return [self.scrambled, *([self.length] if Setting.named(convention, 0).sees_norm else [])]


SPECTRAL = Claim(TREATMENT, "spectral", PRIMARY_CONTROL, "norm_only", "shared with the norm penalty")
PHASE = Claim("phase", "phase", "scrambled_phase", "shrink", "shared with shrinking")
CLAIMS = {claim.arm: claim for claim in (SPECTRAL, PHASE)}


def planned(measured: Results) -> list[Planned]:
    """Return the contrasts: a claim's arm with its controls, every arm that fits a map with the baseline.

    Each compares arms of one start; maps without a start are held against the baseline of every start. Cells without a
    column `init` all have the same.
    """
    frame = measured.frame if "init" in measured.frame else measured.frame.assign(init="")
    starts = list(dict.fromkeys(frame.loc[frame["arm"] == BASELINE, "init"]))
    plans = []
    for arm, convention, strength, init in frame.groupby(["arm", "convention", "lambda", "init"], sort=False).groups:
        if arm in REFERENCES:
            continue
        of_claim = CLAIMS[arm].controls(convention) if arm in CLAIMS else []
        controls = [*of_claim[:1], BASELINE, *of_claim[1:]] if arm != BASELINE else []
        plans += [
            Planned(arm, control, convention, strength, start, control_has_setting=control not in WITHOUT_SETTING)
            for start in (starts if init == NO_START else [init])
            for control in controls
        ]
    return plans


def judge(measured: Results) -> list[Contrast]:
    """Return the verdicts of all planned contrasts, at the margins above."""
    return judge_contrasts(measured, planned(measured), MARGINS, inert_below=INERT_BELOW)


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
    margin = MARGINS[PRIMARY]
    return Controls(
        compare_arms(measured.where(arm=TREATMENT), scrambled, PRIMARY, margin),
        compare_arms(scrambled.where(draw=0), scrambled.where(draw=1), PRIMARY, margin),
    )


def cause(contrasts: Sequence[Contrast], setting: TermSetting, metric: str, claim: Claim = SPECTRAL) -> Cause:
    """Return what the difference of a claim's arm to the baseline is attributed to.

    It has the claim's cause only if the arm differs from each control in the same direction, and no control differs
    from the baseline so. An effect that a control has too is shared, even where the arm goes beyond it: one lucky
    contrast must not make it the claim's. Nothing follows from contrasts of inert terms.
    """

    def kind(treatment: str, control: str) -> str | None:
        found = find(contrasts, treatment, control, setting, metric)
        return found.kind if found and not found.inert else None

    tested = find(contrasts, claim.arm, BASELINE, setting, metric)
    if tested is None:
        return "not settled"
    if tested.inert:
        return "inert"
    if tested.kind == "equivalent":
        return "below the margin" if tested.below_margin else "no effect"
    if tested.kind == "inconclusive":
        return "not settled"
    effect = tested.kind
    controls = claim.controls(setting[0])
    if claim.length in controls and kind(claim.length, BASELINE) == effect:
        return claim.by_length
    if kind(claim.scrambled, BASELINE) == effect:
        return "shared with scrambled"
    return claim.cause if all(kind(claim.arm, control) == effect for control in controls) else "not settled"


def settings_of(contrasts: Sequence[Contrast], arm: str = TREATMENT) -> list[TermSetting]:
    """Return every convention, strength and start of an arm, as the grid has them but for the strength, which rises."""
    of_arm = (c for c in contrasts if (c.treatment, c.control) == (arm, BASELINE))
    found = by_strength((c.init, c.convention, c.strength) for c in of_arm)
    return [(convention, strength, init) for init, convention, strength in found]
