"""A threshold of the gate with a promise: its risk is at most so much, with so much confidence.

Thresholds are tested from the strictest that could pass on, each by a Clopper-Pearson bound on the risk among the
accepted, until one fails (fixed-sequence testing, Bauer 1991; Angelopoulos et al., *Learn then Test*, 2021): no
correction is needed for their number.

Outputs of one label group succeed and fail together, so with `groups` Clopper-Pearson takes an effective number, as
Korn and Graubard (1998) do: the accepted over their design effect. That is the largest of

- Kish's 1 + rho (m - 1), rho being the intraclass correlation of errors over all outputs and m the mean group size that
  an accepted output sees, and the linearised variance of the accepted outputs' risk over the binomial one, both raised
  by the squared ratio of Student's to normal quantiles for the few groups they are known from;
- Kish's with the correlation inside the accepted region, from how often an output of the same group is wrong beside a
  wrong one, by its median-unbiased bound. Where no error is accepted it cannot be told, and is 1: then the accepted
  count no more than their groups. A few topics that are wholly right or wrong would else pass for many outputs.

The first is kept from falling along the sequence, which with groups starts where a third of the tolerated risk would
pass, if there are outputs enough for that: with few groups nothing passes where no error at all is allowed. The promise
then covers queries on other topics, not only queries like these. Where the sequence starts depends on the outcomes a
little; how often the promise breaks all the same is measured.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.optimize.elementwise import find_root
from scipy.special import betainc
from scipy.stats import beta, norm, t

from embalign.alignment.arguments import labels, number, numbers_of
from embalign.evaluation.gate import Outcomes, Scores, by_acceptance
from embalign.evaluation.relevance import Labels

CONFIDENCE = 0.95
FOR_EVER = 1e9  # accepts
FIRST_SHARE = 1 / 3  # of the tolerated risk, with which the first threshold tested would pass
MEDIAN = 0.5


@dataclass(frozen=True)
class Certificate:
    """The lowest certified threshold, or None; then `lacking` says how many more accepts it would take, None for never.

    `accepted` and `wrong` count outputs at the threshold, `bound` is the upper confidence bound of the risk, and
    `effective` the independent outputs that the accepted are worth. `lacking` supposes that the risk stays as it is.
    """

    risk_target: float
    confidence: float
    threshold: float | None
    accepted: int = 0
    wrong: float = 0
    effective: float = 0.0
    bound: float = 1.0
    lacking: int | None = None


def certify(
    scores: Scores,
    correct: Outcomes,
    *,
    risk_target: float,
    confidence: float = CONFIDENCE,
    groups: Labels | None = None,
) -> Certificate:
    """Return the lowest threshold that keeps the risk of outputs with that score or a higher one at `risk_target`.

    `scores` and `correct` are (n,); accepted are scores >= threshold. An outcome between 0 and 1 is the probability of
    being correct. Raises ValueError for a target or confidence outside (0, 1), for no outputs or unequal counts, for
    scores that are not finite and outcomes outside [0, 1], and TypeError for what is not numbers.

    >>> scores = np.linspace(1, 0, 200)
    >>> found = certify(scores, scores > 0.4, risk_target=0.1)
    >>> found.accepted, found.wrong, round(found.threshold, 2)
    (126, 6.0, 0.37)
    """
    for name, value in (("risk_target", risk_target), ("confidence", confidence)):
        if not 0 < number(value, name) < 1:
            raise ValueError(f"{name} must be between 0 and 1, found {value!r}")
    scores, correct = numbers_of(scores, "scores"), numbers_of(correct, "correct")
    if not len(scores) == len(correct) > 0:
        raise ValueError(f"one outcome a score is needed, found {len(scores)} scores and {len(correct)} outcomes")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinite values")
    if not ((correct >= 0) & (correct <= 1)).all():
        raise ValueError("correct must hold True and False, or probabilities from 0 to 1 of being right")
    if groups is not None:
        groups = labels(groups, "groups", len(scores))
    order, last = by_acceptance(scores.astype(np.float64, copy=False))
    errors = 1 - correct[order]
    wrong, accepted, effect = np.cumsum(errors)[last], last + 1, np.ones(len(last))
    if groups is not None:
        names = np.unique(np.asarray(groups), return_inverse=True)[1]
        effect = design_effect(errors.astype(np.float64), names[order], confidence)[last]
    risks, effective = wrong / accepted, accepted / effect
    bound = risk_bound(risks, effective, confidence)
    first = fewest_accepts(risk_target, confidence)
    if groups is not None and effective[-1] >= (later := first_accepts(risk_target, confidence)):
        first = later
    tested = np.maximum.accumulate(effective >= first)
    none_failed = np.logical_and.accumulate(~tested | (bound <= risk_target))
    certified = np.flatnonzero(tested & none_failed)
    if len(certified) == 0:
        lacking = _lacking(risks, accepted, effect, risk_target, confidence)
        return Certificate(risk_target, confidence, None, lacking=lacking)
    at = certified[-1]
    return Certificate(
        risk_target,
        confidence,
        threshold=float(scores[order[last[at]]]),
        accepted=int(accepted[at]),
        wrong=float(wrong[at]),
        effective=float(effective[at]),
        bound=float(bound[at]),
    )


def risk_bound(risk: Scores, effective: Scores, confidence: float) -> Scores:
    """Return the one-sided Clopper-Pearson upper bound of a risk seen in an (effective) number of outputs."""
    wrong = risk * effective
    with np.errstate(invalid="ignore"):
        bound = beta.ppf(confidence, wrong + 1, effective - wrong)
    return np.where(effective - wrong > 0, bound, 1.0)


def risk_interval(correct: Outcomes, groups: Labels, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of the risk of outputs (n,), n >= 1.

    By the effective number that certificates count, so it is rather too wide.
    """
    errors = (1.0 - correct).astype(np.float64)
    names = np.unique(np.asarray(groups), return_inverse=True)[1]
    effective = len(errors) / float(design_effect(errors, names, confidence)[-1])
    tail = (1 - confidence) / 2
    risk, upper = np.array([errors.mean(), 1 - errors.mean()]), np.array([effective, effective])
    high, low = risk_bound(risk, upper, 1 - tail)
    return float(1 - low), float(high)


def fewest_accepts(risk_target: float, confidence: float) -> float:
    """Return the number of independent accepts, all of them right, that certify: 58.4 for 5 % at 95 % confidence."""
    return math.log(1 - confidence) / math.log(1 - risk_target)


@functools.cache
def first_accepts(risk_target: float, confidence: float) -> float:
    """Return the number of independent accepts that certify with a third of the risk: 127.4 for 5 % at 95 %."""

    def excess(size: float) -> float:
        wrong = FIRST_SHARE * risk_target * size
        return float(betainc(wrong + 1, size - wrong, risk_target)) - confidence

    low = fewest_accepts(risk_target, confidence)
    return float(brentq(excess, low, 100 * low))


def intraclass_correlation(values: Scores, groups: NDArray[np.int64]) -> float:
    """Return the one-way analysis-of-variance estimate of the correlation inside groups 0, ..., G - 1, at least 0.

    Donner (1986), for groups of unequal size. 0 where it cannot be estimated: one group, or no group of two.
    """
    sizes = np.bincount(groups)
    n, count = len(values), len(sizes)
    if count < 2 or n == count:
        return 0.0
    means = np.bincount(groups, weights=values) / sizes
    between = float(sizes @ (means - values.mean()) ** 2) / (count - 1)
    within = float(((values - means[groups]) ** 2).sum()) / (n - count)
    size = (n - float(sizes @ sizes) / n) / (count - 1)
    total = between + (size - 1) * within
    return max(0.0, (between - within) / total) if total > 0 else 0.0


def design_effect(wrong: Scores, groups: NDArray[np.int64], confidence: float = CONFIDENCE) -> Scores:
    """Return the design effect of the first k of n outputs for each k; `wrong` in [0, 1] and `groups` by acceptance."""
    by_group = pd.Series(wrong).groupby(groups)
    count = by_group.cumcount().to_numpy()  # of the output's group before it
    errors = by_group.cumsum().to_numpy() - wrong
    # Sums over groups of count^2, of errors x count and of errors^2 grow with each output by what its group adds.
    squares = np.cumsum(2 * count + 1)
    products = np.cumsum(errors + wrong * count + wrong)
    errors_squared = np.cumsum(2 * errors * wrong + wrong**2)
    n, met = np.arange(1, len(wrong) + 1), np.cumsum(count == 0)
    risk, mean_size = np.cumsum(wrong) / n, squares / n
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = errors_squared - 2 * risk * products + risk**2 * squares
        ratio = met / (met - 1) * residual / (n * risk * (1 - risk))
    ratio = np.where(np.isfinite(ratio), ratio, 1.0)
    kish = 1 + intraclass_correlation(wrong, groups) * (mean_size - 1)
    few = (t.ppf(confidence, np.maximum(met - 1, 1)) / norm.ppf(confidence)) ** 2
    inside = 1 + _correlation_inside(wrong, count, errors, risk) * (mean_size - 1)
    return np.asarray(np.maximum(np.maximum.accumulate(np.maximum(kish, ratio)) * few, inside))


def _correlation_inside(wrong: Scores, count: Scores, errors: Scores, risk: Scores) -> Scores:
    """The correlation of errors among the first k outputs, 1 where none of them is wrong beside an output of its group.

    `count` outputs of an output's own group came before it, `errors` of them wrong; `risk` is that of the first k.
    """

    def state(outputs: Scores, failed: Scores) -> tuple[Scores, Scores]:
        told = (outputs >= 2) & (failed > 0)
        return told.astype(np.float64), np.where(told, (failed - 1).clip(min=0) / np.maximum(outputs - 1, 1), 0.0)

    now, before = state(count + 1.0, errors + wrong), state(count.astype(np.float64), errors)
    groups, together = (np.cumsum(after - earlier) for after, earlier in zip(now, before, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        both = beta.ppf(MEDIAN, together + 1, np.maximum(groups - together, 1e-9))
        rho = (both - risk) / (1 - risk)
    return np.where((groups > 0) & (risk < 1), rho.clip(0, 1), 1.0)


def _lacking(
    risks: Scores, accepted: NDArray[np.int64], effect: Scores, risk_target: float, confidence: float
) -> int | None:
    """The fewest further accepts that would certify some threshold, if its risk stays as it is."""

    def excess(log_size: Scores, risk: Scores) -> Scores:
        # The bound is at the target where the target has this probability below it: no quantile has to be inverted.
        size = np.exp(log_size)
        return np.asarray(betainc(risk * size + 1, size * (1 - risk), risk_target) - confidence)

    low, high = math.log(fewest_accepts(risk_target, confidence)) - 1e-6, math.log(FOR_EVER)
    at = np.flatnonzero((risks < risk_target) & (excess(np.full(len(risks), high), risks) > 0))
    if len(at) == 0:
        return None
    enough = np.exp(find_root(excess, (np.full(len(at), low), np.full(len(at), high)), args=(risks[at],)).x)
    return max(1, int(np.ceil(enough * effect[at] - accepted[at] - 1e-6).min()))
