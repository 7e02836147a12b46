"""The verdicts of the regression check in words: for a terminal, for a job's summary, for a failed test."""

from collections.abc import Sequence

from embalign.escaping import markdown
from embalign.verdicts.regression import RegressionVerdict

REMEDIES = {
    "regressed": "; fix the regression; if the drop is intended, rerun with --update-baseline and commit",
    "improved": "; if no fault causes the gain, the baseline is stale: rerun with --update-baseline and commit",
}


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
    return size + REMEDIES.get(verdict.kind, "")


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
        numbers = f"{found.effect:+.5f} | {low:+.5f} to {high:+.5f} | {found.limit:g}"
        shown = " |  | " if found.detail else numbers
        lines.append(f"| {experiment} | {markdown(pair)} | {found.metric} | {found.kind} | {shown} |")
    notes = [
        markdown(f"{experiment} on {pair}: {found.detail}") for pair, experiment, found in verdicts if found.detail
    ]
    return "\n".join([*lines, "", *dict.fromkeys(notes)]) + "\n"
