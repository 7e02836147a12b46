"""The verdicts of the regression check in words: for a terminal, for a job's summary, for a failed test."""

from __future__ import annotations

from collections.abc import Sequence

from embalign.verdicts.regression import RegressionVerdict


def explain(pair: str, experiment: str, verdict: RegressionVerdict) -> str:
    """Return one line that names metric, size, limit and, where it fails, the remedy."""
    name = f"{experiment} on {pair}, {verdict.metric}: {verdict.kind}"
    if verdict.detail:
        return f"{name}: {verdict.detail}"
    low, high = verdict.interval
    size = (
        f"{name}: {verdict.effect:+.5f} (95 % interval {low:+.5f} to {high:+.5f}, Holm p {verdict.p_holm:.2g}, "
        f"{verdict.seeds} seeds), limit {verdict.limit:g}"
    )
    match verdict.kind:
        case "regressed":
            return f"{size}; fix the regression; if the drop is intended, rerun with --update-baseline and commit"
        case "improved":
            return (
                f"{size}; if no fault causes the gain, the baseline is stale: rerun with --update-baseline and commit"
            )
        case _:
            return size


def summary(verdicts: Sequence[tuple[str, str, RegressionVerdict]]) -> str:
    """Return the verdicts as a Markdown table."""
    lines = [
        "### Regression check",
        "",
        "| experiment | pair | metric | verdict | change | 95 % interval | limit |",
        "|:--|:--|:--|:--|--:|--:|--:|",
    ]
    for pair, experiment, found in verdicts:
        low, high = found.interval
        numbers = (
            ["", "", ""] if found.detail else [f"{found.effect:+.5f}", f"{low:+.5f} to {high:+.5f}", f"{found.limit:g}"]
        )
        lines.append(f"| {experiment} | {pair} | {found.metric} | {found.kind} | {' | '.join(numbers)} |")
    notes = dict.fromkeys(
        f"{experiment} on {pair}: {found.detail}" for pair, experiment, found in verdicts if found.detail
    )
    return "\n".join([*lines, "", *notes]) + "\n"
