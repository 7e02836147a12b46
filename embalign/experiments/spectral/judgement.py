"""Which contrasts of experiment 2 are judged, at which margins, and what an effect is put down to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import pandas as pd

from embalign.experiments.tables import NAMES, long_frame
from embalign.verdicts.ab import ABKind, ABVerdict, after_holm, judge_ab
from embalign.verdicts.statistics import holm

# Fixed before any run: differences inside these do not matter.
MARGINS = {"cosine_mean": 0.002, "recall_at_1": 0.01}
PRIMARY_CONTROL = "signed_permutation"
REFERENCES = ("mean_vector", "ridge", "procrustes")

Cause = Literal["no effect", "spectral", "shared with the norm penalty", "shared with scrambled", "not settled"]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One tested difference between two arms on one metric; `p_holm` is adjusted over lambda x metric."""

    treatment: str
    control: str
    convention: str
    weight: float
    metric: str
    verdict: ABVerdict
    p_holm: float

    @property
    def kind(self) -> ABKind:
        """The verdict's kind after Holm's adjustment."""
        return after_holm(self.verdict, self.p_holm)


@dataclasses.dataclass(frozen=True)
class Controls:
    """Whether the experiment finds an order effect where there is one, and none between two scrambled draws."""

    positive: ABVerdict | None
    negative: ABVerdict | None

    @property
    def found(self) -> bool:
        """Whether the positive control was found."""
        return self.positive is not None and self.positive.kind == "better"


def judge_contrasts(
    measured: pd.DataFrame, margins: Mapping[str, float] = MARGINS, *, higher_is_better: bool = True
) -> list[Contrast]:
    """Return the contrasts of spectral with its controls, and of every other arm with the baseline, for each metric.

    A penalty on the norm is no control of a `unit` convention, which does not see the norm.
    """
    planned = []
    for (arm, convention, weight), _ in measured.groupby(["arm", "convention", "lambda"], sort=False):
        controls = ["baseline"] if arm != "baseline" else []
        if arm == "spectral":
            controls = [PRIMARY_CONTROL, "baseline", *(["norm_only"] if sees_norm(convention) else [])]
        planned += [(arm, control, convention, weight) for control in controls]
    contrasts: list[Contrast] = []
    for family in dict.fromkeys((arm, control) for arm, control, _, _ in planned):
        tested = []
        settings = [plan for plan in planned if plan[:2] == family]
        tests = len(settings) * len(margins)
        for arm, control, convention, weight in settings:
            treated, against = (_arm(measured, name, convention, weight) for name in (arm, control))
            for metric, margin in margins.items():
                verdict = _compare(treated, against, metric, margin, higher_is_better, tests)
                if verdict is not None:
                    tested.append((convention, weight, metric, verdict))
        adjusted = holm([verdict.p_value for *_, verdict in tested])
        contrasts += [
            Contrast(*family, convention, weight, metric, verdict, p)
            for (convention, weight, metric, verdict), p in zip(tested, adjusted, strict=True)
        ]
    return contrasts


def judge_controls(rows: pd.DataFrame) -> Controls:
    """Return the verdicts on the synthetic task: spectral against scrambled, and one scrambled draw against another."""
    measured = rows[rows["status"] == "ok"]
    scrambled = measured[measured["arm"] == PRIMARY_CONTROL]
    spectral = measured[measured["arm"] == "spectral"]
    return Controls(
        _compare(spectral, scrambled, "cosine_mean", MARGINS["cosine_mean"]),
        _compare(
            scrambled[scrambled["draw"] == 0], scrambled[scrambled["draw"] == 1], "cosine_mean", MARGINS["cosine_mean"]
        ),
    )


def settings_of(contrasts: list[Contrast]) -> list[tuple[str, float]]:
    """Return every convention and strength of the spectral arm, in the order of the grid."""
    return list(dict.fromkeys((c.convention, c.weight) for c in contrasts if c.treatment == "spectral"))


def sees_norm(convention: str) -> bool:
    """Return whether a loss under that convention depends on the length of the map's output."""
    return not convention.startswith("unit")


def find(
    contrasts: list[Contrast], treatment: str, control: str, convention: str, weight: float, metric: str
) -> Contrast | None:
    """Return that contrast, or None."""
    wanted = (treatment, control, convention, weight, metric)
    return next((c for c in contrasts if (c.treatment, c.control, c.convention, c.weight, c.metric) == wanted), None)


def cause(contrasts: list[Contrast], convention: str, weight: float, metric: str) -> Cause:
    """Return what the spectral arm's difference to the baseline is put down to.

    It is spectral only if it differs from scrambled dimensions and from the norm penalty in the same direction; it is
    shared if one of these has it too and the spectral arm does not go beyond.
    """

    def kind(treatment: str, control: str) -> str | None:
        found = find(contrasts, treatment, control, convention, weight, metric)
        return found.kind if found else None

    effect = kind("spectral", "baseline")
    if effect == "equivalent":
        return "no effect"
    if effect not in ("better", "worse"):
        return "not settled"
    norm_matters = sees_norm(convention)
    if kind("spectral", PRIMARY_CONTROL) == effect and (not norm_matters or kind("spectral", "norm_only") == effect):
        return "spectral"
    if norm_matters and kind("norm_only", "baseline") == effect and kind("spectral", "norm_only") != effect:
        return "shared with the norm penalty"
    if kind(PRIMARY_CONTROL, "baseline") == effect and kind("spectral", PRIMARY_CONTROL) != effect:
        return "shared with scrambled"
    return "not settled"


def answer(contrasts: list[Contrast], controls: Controls) -> str:
    """Return the answer in one to three sentences."""
    if not controls.found:
        return (
            "No verdict: the positive control, a task on which the spectral loss is known to help, was not found, so "
            "nothing follows from what is not found here."
        )
    tested = [(convention, weight, metric) for convention, weight in settings_of(contrasts) for metric in MARGINS]
    spectral = {
        setting: found.kind
        for setting in tested
        if (found := find(contrasts, "spectral", "baseline", *setting)) is not None
        and cause(contrasts, *setting) == "spectral"
    }
    gains = [setting for setting, kind in spectral.items() if kind == "better"]
    if gains:
        first = f"The spectral loss helps, and the effect is spectral: {_listed(gains)}."
    else:
        first = "The spectral loss is not shown to help."
    return " ".join([first, _at_memo(contrasts), _larger(contrasts)]).strip()


def _at_memo(contrasts: list[Contrast]) -> str:
    found = [
        c for c in contrasts if (c.treatment, c.control) == ("spectral", "baseline") and c.convention in ("raw", "unit")
    ]
    if not found:
        return ""
    weights = sorted({c.weight for c in found})
    kinds = [c.kind for c in found]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return (
        f"At the memo's λ ({weights[0]:g} to {weights[-1]:g}), of {len(found)} comparisons with the baseline: {counts}."
    )


def _larger(contrasts: list[Contrast]) -> str:
    found = [
        c
        for c in contrasts
        if (c.treatment, c.control) == ("spectral", "baseline") and c.convention.endswith("gradient_ratio")
    ]
    if not found:
        return ""
    ratios = sorted({c.weight for c in found})
    where = f"With λ set by gradient ratio ({ratios[0]:g} to {ratios[-1]:g})"
    changed = [c for c in found if c.kind in ("better", "worse")]
    if not changed:
        open_ones = sum(c.kind == "inconclusive" for c in found)
        return f"{where} it is not shown to change anything; {open_ones} of {len(found)} comparisons are inconclusive."
    listed = "; ".join(
        f"{NAMES[c.metric]} {c.verdict.difference:+.4f} at ratio {c.weight:g}, {c.convention.partition('_')[0]} "
        f"({cause(contrasts, c.convention, c.weight, c.metric)})"
        for c in changed
    )
    return f"{where} it changes {listed}."


def _listed(settings: list[tuple[str, float, str]]) -> str:
    return ", ".join(f"{NAMES[metric]} at {weight:g} ({convention})" for convention, weight, metric in settings)


def _compare(
    treated: pd.DataFrame,
    against: pd.DataFrame,
    metric: str,
    margin: float,
    higher_is_better: bool = True,
    family: int = 1,
) -> ABVerdict | None:
    if treated.empty or against.empty:
        return None
    try:
        pairs = _over_draws(treated, metric), _over_draws(against, metric)
        return judge_ab(*pairs, margin=margin, higher_is_better=higher_is_better, family=family)
    except ValueError:
        return None


def _over_draws(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One value a seed (and item): the mean over the random draws of an arm."""
    frame = long_frame(rows, metric)
    return frame.groupby([name for name in frame.columns if name != "value"], as_index=False)["value"].mean()


def _arm(measured: pd.DataFrame, arm: str, convention: str, weight: float) -> pd.DataFrame:
    chosen = measured[measured["arm"] == arm]
    if arm in ("baseline", *REFERENCES):
        return chosen
    return chosen[(chosen["lambda"] == weight) & (chosen["convention"] == convention)]
