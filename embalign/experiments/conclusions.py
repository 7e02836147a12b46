"""The text of a promoted conclusion: claim, verdict, evidence, limits, every number bound to the run's raw data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from embalign.experiments.elbow.judgement import CLAIM_METRICS
from embalign.experiments.tables import NAMES

CURVES = "data_ratio_vs_metrics.csv"
ARMS = "spectral_ab.csv"
RIDGE = ("cosine_mean", "closed_form")

Bind = Callable[..., str]
Written = tuple[str, str, Sequence[str]]


def elbow(folder: Path, provenance: Mapping[str, Any], bind: Bind) -> Written:
    """Return title, text and names with digits of experiment 1's conclusion."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    lines = [f"- **By {NAMES[metric]}:** {_elbow_verdict(bind, verdict, metric)}" for metric in CLAIM_METRICS]
    lines.append(f"- **By mean cosine, ridge on the same subsets:** {_elbow_verdict(bind, verdict, *RIDGE)}")
    lines += [f"- **Densest items first, {NAMES[metric]}:** {_density(verdict, metric)}" for metric in CLAIM_METRICS]
    ratios = sorted({entry["ratio"] for entry in verdict["density_minus_random"]} | {1.0})
    seeds = bind(file="verdict.json", path="primary/seeds", format=".0f")
    items = bind(file="verdict.json", path="primary/items", format=".0f")
    text = "\n\n".join(
        [
            '**The memo\'s claim.** The top p % "high-density" samples bring most of the gain of alignment; later data '
            "brings little, or even noise.",
            f"**Verdict**, on {_models(provenance)}, random selection and fixed training steps:",
            "\n".join(lines),
            "## Evidence",
            "![Metrics over the share of training data](data_ratio_vs_metrics.png)",
            f"Means over {seeds} seeds, {items} held-out label groups. Difference: densest minus random. Gains count "
            f"from no data at all: a constant vector, and chance. {_untrained(bind)}",
            _elbow_table(bind, ratios),
            "![Held-out cosine along training](trajectory.png)",
            "## Limits",
            "One corpus of short glosses, linear maps, one training length, which may be too long for small subsets: "
            "ridge stands beside it. A verdict is a test with the error rates "
            "of [its calibration](../../calibration/elbow.md); what it could not see is in the column on detectable "
            "effects of `verdict.json`. The share is of a seed's pool, not of all data there could be.",
            "## Data",
            _data(provenance),
        ]
    )
    return f"How much alignment data is enough? {provenance['pair']}", text, _names(provenance)


def spectral(folder: Path, provenance: Mapping[str, Any], bind: Bind) -> Written:
    """Return title, text and names with digits of experiment 2's conclusion."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    found = verdict["controls"]["positive"]["kind"] == "better"
    lines = []
    for i, contrast in enumerate(verdict["contrasts"]):
        if (contrast["treatment"], contrast["control"]) == ("spectral", "baseline"):
            lines.append(_contrast_row(bind, i, contrast))
    control = bind(file="verdict.json", path="controls/positive/difference", format="+.4f")
    text = "\n\n".join(
        [
            "**The memo's claim.** Adding λ·MSE(|RFFT(z_s)|, |RFFT(z_t)|) to the cosine loss helps alignment or "
            "retrieval.",
            f"**Verdict**, on {_models(provenance)}: {_spectral_verdict(verdict)}"
            if found
            else "**No verdict**: the positive control was not found.",
            "## Evidence",
            "![Differences of each arm to the baseline](spectral_ab.png)",
            "Differences to the baseline with their intervals, paired by seed and label group, verdicts after Holm. "
            "Raw: as the memo writes the loss. Unit: on unit vectors. Gradient ratio: λ set so that the term's gradient"
            " is that share of the cosine loss's.",
            "\n".join(
                [
                    "| setting | λ or ratio | metric | difference | low | high | verdict | put down to |",
                    "|:--|--:|:--|--:|--:|--:|:--|:--|",
                    *lines,
                ]
            ),
            f"The same design finds a spectral effect where there is one: on a synthetic task, {control} mean cosine.",
            "![Amplitude spectra and the Rayleigh law](spectrum.png)",
            "## Limits",
            "One corpus, linear maps, one training length, amplitude only. Equivalent means within a margin that was "
            "fixed before any run, with the error rates of [its calibration](../../calibration/ab.md).",
            "## Data",
            _data(provenance),
        ]
    )
    return f"Does the spectral loss help? {provenance['pair']}", text, _names(provenance)


def _elbow_verdict(bind: Bind, verdict: Mapping[str, Any], metric: str, budget: str = "steps") -> str:
    wanted = ("random", budget, metric)
    place = next(i for i, c in enumerate(verdict["curves"]) if (c["policy"], c["budget"], c["metric"]) == wanted)
    curve, path = verdict["curves"][place], f"curves/{place}"

    def number(name: str, scale: int = 1, form: str = ".3g") -> str:
        return bind(file="verdict.json", path=f"{path}/{name}", scale=scale, format=form)

    match curve["kind"]:
        case "elbow":
            at, low, high = (number(name, 100) for name in ("elbow", "elbow_interval/0", "elbow_interval/1"))
            words = f"there is an elbow at {at} % of the data (interval {low} to {high} %)"
        case "flat":
            words = "no share of the data is shown to be better than the smallest"
        case "declining":
            words = "more data is shown to do harm"
        case "unidentifiable":
            words = "whether there is an elbow cannot be told"
        case None:
            return "no verdict: the curve could not be judged."
        case _:
            words = f"no elbow; more data goes on helping, and {curve['reason']}"
    if not curve["saturated"]:
        return f"{words}; no share below all of it is shown to be enough."
    return (
        f"{words}; {number('recommended_ratio', 100)} % of the data is enough to lose no more than "
        f"{number('margin', form='.4f')} of a gain of {number('gain', form='.4f')}."
    )


def _untrained(bind: Bind) -> str:
    shared = {"col": "recall_at_1", "fn": "mean", "format": ".4f"}
    untrained = bind(file="references.csv", where="reference:untrained", **shared)
    trained = bind(file=CURVES, where="policy:random,budget:steps,ratio:1", **shared)
    return f"Recall@1 of the map before training: {untrained}; trained on all of the data: {trained}."


def _density(verdict: Mapping[str, Any], metric: str) -> str:
    return {
        "supported": "supported: better than random ones at most shares, worse at none.",
        "refuted": "refuted: worse than random ones at most shares below the whole, better at none.",
        "not settled": "not settled.",
    }[verdict["density_first"][metric]]


def _elbow_table(bind: Bind, ratios: Sequence[float]) -> str:
    lines = [
        "| share of data (%) | cosine, random | cosine, difference | Recall@1, random | Recall@1, difference |",
        "|--:|--:|--:|--:|--:|",
    ]
    for ratio in ratios:
        where = {policy: f"policy:{policy},budget:steps,ratio:{ratio:g}" for policy in ("random", "density")}
        cells = [bind(file=CURVES, where=where["random"], col="ratio", fn="mean", scale=100, format=".3g")]
        for metric in CLAIM_METRICS:
            shared = {"file": CURVES, "col": metric, "fn": "mean"}
            cells.append(bind(**shared, where=where["random"], format=".4f"))
            cells.append(bind(**shared, where=where["density"], minus=where["random"], format="+.4f"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _contrast_row(bind: Bind, place: int, contrast: Mapping[str, Any]) -> str:
    digits = "+.5f" if contrast["metric"] == "cosine_mean" else "+.4f"

    def number(name: str, form: str) -> str:
        return bind(file="verdict.json", path=f"contrasts/{place}/{name}", format=form)

    weight = number("weight", "g")
    numbers = [number(f"verdict/{name}", digits) for name in ("difference", "interval/0", "interval/1")]
    setting = contrast["convention"].replace("_", " ")
    cells = [setting, weight, NAMES[contrast["metric"]], *numbers, contrast["kind"]]
    return f"| {' | '.join([*cells, contrast.get('put_down_to', '')])} |"


def _spectral_verdict(verdict: Mapping[str, Any]) -> str:
    tested = [c for c in verdict["contrasts"] if (c["treatment"], c["control"]) == ("spectral", "baseline")]
    gains = [c for c in tested if c["kind"] == "better" and c["put_down_to"] == "spectral"]
    memo = [c["kind"] for c in tested if not c["convention"].endswith("gradient_ratio")]
    if gains:
        return "it helps, and the effect is spectral; see the table."
    every = "every comparison is equivalent" if set(memo) == {"equivalent"} else "not every comparison is equivalent"
    changes = [c for c in tested if c["kind"] in ("better", "worse")]
    if any(c["put_down_to"] == "spectral" for c in changes):
        more = "stronger, it does harm, some of it spectral"
    elif changes:
        more = "stronger, what it changes is shared with its controls or not settled; see the table"
    elif any(c["kind"] == "inconclusive" for c in tested):
        more = "stronger, it is not shown to change anything, and not every comparison settles that"
    else:
        more = "stronger, it changes nothing either"
    return f"it is not shown to help. At the memo's λ {every} with no such term; {more}."


def _data(provenance: Mapping[str, Any]) -> str:
    return (
        f"[The pair](../../../benchmark/{provenance['pair']}/pair.toml), its corpus and both models' embeddings are in "
        "the repository; `provenance.json` has their digests, the code's commit and the versions."
    )


def _models(provenance: Mapping[str, Any]) -> str:
    data = provenance["data"]
    return f"{data['draft']['model']} to {data['teacher']['model']}"


def _names(provenance: Mapping[str, Any]) -> list[str]:
    data = provenance["data"]
    words = [data["draft"]["model"], data["teacher"]["model"], provenance["pair"], "Recall@1"]
    return [word for word in words if any(character.isdigit() for character in word)]
