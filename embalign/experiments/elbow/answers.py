"""Experiment 1's findings in plain words."""

from __future__ import annotations

import pandas as pd

from embalign.experiments.elbow.judgement import (
    BUDGETS,
    CLAIM_METRICS,
    MARGIN_SHARE,
    PRIMARY,
    Comparison,
    Judged,
    claim_answer,
)
from embalign.experiments.tables import NAMES, percent, span
from embalign.verdicts.elbow import MOST_SEEDS, ElbowVerdict

OPEN = f"open at {percent(MARGIN_SHARE)}"


def answer(found: Judged) -> tuple[str, str]:
    """Return the answer in two sentences: elbow or none, and the recommended ratio."""
    verdict = found.verdict
    if verdict is None:
        return f"No verdict ({_where(found)}): {found.reason}.", "No ratio is recommended."
    if verdict.kind == "elbow":
        first = (
            f"There is an elbow at {percent(verdict.elbow)} (95 % interval {span(verdict.elbow_interval)}): "
            f"beyond it a doubling brings {_at_most(verdict.slope_ratio_upper)}"
        )
    elif verdict.kind == "declining":
        gain = -verdict.loss[verdict.best_ratio]
        first = f"There is no elbow: {percent(verdict.best_ratio)} of the data beats all of it, by {gain.mean:.4f}"
    elif verdict.kind == "flat":
        first = (
            "There is no elbow: no effect of the amount of data was found, though a loss of "
            f"{verdict.minimum_detectable_effect:.4f} would have been"
        )
    elif verdict.kind == "gradual":
        first = f"There is no elbow: more data goes on helping, and {verdict.reason}"
    else:
        first = f"Whether there is an elbow cannot be told: {verdict.reason}"
        first += f" ({span(verdict.bend_interval)})" if verdict.bend_interval else ""
    return f"{first} ({_where(found)}).", recommendation(found)


def recommendation(found: Judged) -> str:
    """Return the recommended ratio in a sentence."""
    verdict = found.verdict
    if verdict is None:
        return "No ratio is recommended."
    low, high = verdict.recommended_interval
    within = f"within {percent(MARGIN_SHARE)} of the whole gain ({verdict.margin:.4f})"
    if not verdict.saturated:
        return f"Recommended ratio: 100 %, not saturated; no smaller ratio is shown to stay {within}."
    smaller = [ratio for ratio in verdict.loss if ratio < high]
    if low < high:
        rest = f"the data do not rule out {percent(low)}"
    elif not smaller:
        rest = "no smaller one was measured"
    elif all(verdict.loss[ratio].lower_bound() > verdict.margin for ratio in smaller):
        rest = "every smaller one is shown to be worse"
    else:
        rest = f"the next smaller one, {percent(max(smaller))}, is shown to be worse"
    return f"Recommended ratio: {percent(high)}, the smallest shown to stay {within} of 100 %; {rest}."


def by_metric(judged: list[Judged]) -> pd.DataFrame:
    """Return a table of answers for the primary policy and budget, one metric a row."""
    lines = []
    for found in _main(judged):
        line = {"metric": NAMES[found.metric]}
        verdict = found.verdict
        if verdict is None:
            lines.append(line | {"is there an elbow?": f"no verdict: {found.reason}"})
            continue
        low, high = verdict.recommended_interval
        line |= {"is there an elbow?": _elbow(verdict), f"enough at {percent(MARGIN_SHARE)}": percent(high)}
        line |= {f"at {percent(share)}": percent(ratio) for share, ratio in found.recommended.items()}
        line[OPEN] = "nothing"
        if low < high:
            line[OPEN] = f"{percent(low)} to {percent(high)}: {_what_settles(verdict)} would settle it"
        lines.append(line | {"unseen below": f"{verdict.minimum_detectable_effect:.4f}"})
    return pd.DataFrame(lines).fillna("")


def beside_ridge(judged: list[Judged], primary: Judged) -> str:
    """Return what ridge says on the same subsets, in a sentence, or nothing where it was not measured."""
    wanted = (primary.policy, "closed_form", primary.metric)
    ridge = next((found for found in judged if (found.policy, found.budget, found.metric) == wanted), None)
    if ridge is None or ridge.verdict is None or primary.budget == "closed_form":
        return ""
    verdict = ridge.verdict
    kind = f"has an elbow at {percent(verdict.elbow)}" if verdict.elbow else f"is {verdict.kind}"
    return (
        f"Fixed steps may be too many for a small subset; ridge on the same ones, which has none, {kind}: "
        f"{verdict.reason}; enough: {percent(verdict.recommended_ratio)}."
    )


def plain_words(
    judged: list[Judged], claim: list[Comparison], measured: pd.DataFrame, references: pd.DataFrame
) -> list[str]:
    """Return the questions a reader has, each with its answer, as Markdown list items."""
    return [
        f"- **How certain is that?** {_certainty(_main(judged))}",
        f"- **Does it depend on the budget?** {_budgets(judged)}",
        f"- **Is the densest data better than random?** {_claim(claim)}",
        f"- **Does later data add noise?** {_later_data(judged)}",
        f"- **Does the map help at all?** {_over_untrained(measured, references)}",
        f"- **What is still unknown?** What the column *{OPEN}* holds, and effects under *unseen below*. Beyond "
        "100 % of this pool, other corpora, and maps that are not linear were not measured.",
    ]


def _main(judged: list[Judged]) -> list[Judged]:
    return [found for found in judged if (found.policy, found.budget) == (PRIMARY["policy"], PRIMARY["budget"])]


def _what_settles(verdict: ElbowVerdict) -> str:
    if verdict.seeds_needed:
        return f"about {verdict.seeds_needed} seeds"
    return "more test items" if verdict.items else f"no number of seeds up to {MOST_SEEDS}"


def _at_most(slope_ratio: float | None) -> str:
    if slope_ratio is not None and slope_ratio > 0:
        return f"at most {slope_ratio:.2f} of what it brought before"
    return "nothing more"


def _where(found: Judged) -> str:
    return f"{NAMES[found.metric]}, {found.policy} selection, {BUDGETS[found.budget]}"


def _elbow(verdict: ElbowVerdict) -> str:
    place = f" ({span(verdict.bend_interval)})" if verdict.bend_interval else ""
    return {
        "elbow": f"yes, at {percent(verdict.elbow)}{place}",
        "unidentifiable": f"cannot be told: {verdict.reason}{place}",
        "gradual": f"no: {verdict.reason}",
        "flat": "no: the amount of data has no effect that was found",
        "declining": f"no: {percent(verdict.best_ratio)} beats 100 %",
    }[verdict.kind]


def _certainty(main: list[Judged]) -> str:
    judged = [found.verdict for found in main if found.verdict is not None]
    if not judged:
        return "Nothing could be judged."
    labels = max(verdict.items for verdict in judged)
    over = (
        f"{judged[0].seeds} seeds and {labels} label groups of the test set" if labels else f"{judged[0].seeds} seeds"
    )
    return (
        f"Each statement is a test at 5 % over {over}, so that other seeds and other test items of this kind are "
        "covered (Spearman, which is no mean over items, over seeds alone). How often these rules are wrong where the "
        "truth is known is measured in `docs/calibration/elbow.md`."
    )


def _claim(claim: list[Comparison]) -> str:
    if not claim:
        return "Not measured: this grid has no pair of density and random selection."
    parts = []
    for metric in dict.fromkeys(comparison.metric for comparison in claim):
        own = [comparison for comparison in claim if comparison.metric == metric]
        parts.append(f"{NAMES[metric]}: **{claim_answer(own)}** ({_where_words(own)})")
    return "; ".join(parts) + "."


def _later_data(judged: list[Judged]) -> str:
    curves = [found for found in judged if found.verdict is not None and found.budget == PRIMARY["budget"]]
    declining = [found for found in curves if found.verdict is not None and found.verdict.kind == "declining"]
    if not curves:
        return "Nothing could be judged."
    if not declining:
        return (
            f"Not shown: in none of the {len(curves)} curves with fixed steps is a smaller ratio shown to beat 100 % "
            "(means over label groups, Holm over ratios). Gains under what the last column of *Every curve* says may "
            "pass unseen."
        )
    listed = "; ".join(
        f"{NAMES[found.metric]} with {found.policy} selection is best at {percent(found.verdict.best_ratio)}, "
        f"{-found.verdict.loss[found.verdict.best_ratio].mean:.4f} over 100 %"
        for found in declining
        if found.verdict is not None
    )
    return f"In {len(declining)} of the {len(curves)} curves with fixed steps a smaller ratio beats 100 %: {listed}."


def _over_untrained(measured: pd.DataFrame, references: pd.DataFrame) -> str:
    full = measured[
        (measured["ratio"] == 1) & (measured["policy"] == PRIMARY["policy"]) & (measured["budget"] == PRIMARY["budget"])
    ]
    parts = []
    for metric in ("recall_at_1", "mrr", "spearman"):
        levels = references.groupby("reference")[metric].mean()
        parts.append(f"{NAMES[metric]} {full[metric].mean():.3f} against {levels.get('untrained', float('nan')):.3f}")
    return (
        f"At 100 %, trained against untrained map: {', '.join(parts)}. An untrained map is a random projection of the "
        "draft, so retrieval starts where the draft is; only what lies above is the training's. Margins count from "
        f"chance, so {percent(MARGIN_SHARE)} of the gain in Recall@1 is {_margin_over_untrained(full, references)}."
    )


def _margin_over_untrained(full: pd.DataFrame, references: pd.DataFrame) -> str:
    """The margin in Recall@1 beside what training adds to it."""
    recall = full["recall_at_1"].mean()
    levels = references.groupby("reference")["recall_at_1"].mean()
    margin, added = MARGIN_SHARE * (recall - levels["chance"]), recall - levels["untrained"]
    if added <= margin:
        return f"{margin:.3f}, more than training adds ({added:+.3f})"
    return f"{margin:.3f}, {percent(margin / added)} of the {added:.3f} that training adds"


def _where_words(own: list[Comparison]) -> str:
    """At which ratios density is better, worse and not settled."""
    found = [
        f"{word} at {', '.join(percent(c.ratio) for c in own if c.word == word)}"
        for word in ("better", "worse", "not settled")
        if any(c.word == word for c in own)
    ]
    return "; ".join(found)


def _budgets(judged: list[Judged]) -> str:
    parts = []
    for budget, name in BUDGETS.items():
        found = [
            f"{NAMES[f.metric]} {f.verdict.kind}"
            + (f" at {percent(f.verdict.elbow)}" if f.verdict.elbow else "")
            + f", enough {percent(f.verdict.recommended_ratio)}"
            for f in judged
            if (f.policy, f.budget) == (PRIMARY["policy"], budget) and f.verdict and f.metric in CLAIM_METRICS
        ]
        parts.append(f"{name}: {'; '.join(found)}")
    return (
        ". ".join(parts) + ". Fixed epochs give a small subset few steps, so its loss there is partly under-training."
    )
