"""The tables of the gate's report, as frames of strings, and its cells with the columns that CSVs give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from embalign.evaluation.results import Results
from embalign.experiments.gate.protocol import ARM_OF, RISK_TARGETS, SCORES, SPREADS
from embalign.experiments.tables import mean_with_interval, percent, widen
from embalign.verdicts.contrasts import Contrast
from embalign.verdicts.metrics import label

AREAS = {"AUGRC": "augrc", "AURC": "aurc", "E-AURC": "e_aurc"}
MAP = ("pair", "map", "ratio", "arm", "convention", "lambda", "seed")


def named_maps(results: Mapping[str, Results]) -> dict[str, Results]:
    """Return the results of the three tables, with the columns that say which map a row is of."""
    plain: dict[str, Any] = {"arm": "baseline", "convention": "none", "lambda": 0.0}
    arms = results["gate_arm"]
    frames = {
        "ratio": (results["gate_ratio"], {"map": "ratio", **plain}),
        "arm": (arms, {"map": "arm", "ratio": 1.0, "arm": arms.frame["term"].map(ARM_OF)}),
        "exported": (results["gate_deployed"], {"map": "exported", "ratio": 1.0, **plain}),
    }
    return {
        name: dataclasses.replace(found, frame=found.frame.assign(**columns), identity=MAP)
        for name, (found, columns) in frames.items()
    }


def as_csv(found: Results) -> pd.DataFrame:
    """Return the cells of one table as their CSV has them: certificates, checks and styles in wide form."""
    wide = found.frame.drop(columns=[name for name in ("map", "term") if name in found.frame.columns])
    tables = dict(found.tables)
    if "certificates" in tables:
        own = tables["certificates"]
        percents = (100 * own["target"]).round().astype(int).map("{:02d}".format)
        tables["certificates"] = own.assign(name=own["score"] + "_certified_" + percents)
    if "check" in tables:
        tables["check"] = tables["check"].assign(
            name=(100 * tables["check"]["target"]).round().astype(int).map("check_{:02d}".format)
        )
    if "styles" in tables:
        tables["styles"] = tables["styles"].assign(name=tables["styles"]["metric"] + "_" + tables["styles"]["style"])
    if "choice" in tables:
        wide = wide.join(tables["choice"].set_index("cell")["score"])
    columns = {
        "certificates": {name: "{}_" + name for name in ("coverage", "threshold", "bound", "lacking")},
        "check": {name: "{}_" + name for name in ("folds", "accepted", "wrong")},
        "styles": {"value": "{}"},
    }
    for table, names in columns.items():
        wide = widen(dataclasses.replace(found, frame=wide, tables=tables), table, "name", names)
    return wide.dropna(axis="columns", how="all")


def certificates_of(exported: Results, score: str) -> list[dict[str, Any]]:
    """Return the certificate of the exported map for each risk target, None for what it has not."""
    own = exported.table("certificates")
    own = own[own["score"] == score].sort_values("target")
    return [
        {
            "score": score,
            "target": row["target"],
            "coverage": row["coverage"],
            "threshold": None if pd.isna(row["threshold"]) else row["threshold"],
            "bound": None if pd.isna(row["bound"]) else row["bound"],
            "lacking": None if pd.isna(row["lacking"]) else int(row["lacking"]),
        }
        for _, row in own.iterrows()
    ]


def threshold_table(certificates: list[dict[str, Any]], check: pd.DataFrame) -> pd.DataFrame:
    """Return the threshold to deploy by risk target, what it accepts, and its check."""
    lines = []
    for found in certificates:
        line = {"risk at most": percent(found["target"]), "threshold": "not certifiable", "accepts": ""}
        line |= {"bound of the risk": "", "more accepts needed": ""}
        if found["threshold"] is None:
            more = found["lacking"]
            line["more accepts needed"] = "no number would do" if more is None else f"at least {more}"
        else:
            line["threshold"] = f"{found['score']} ≥ {found['threshold']:.4f}"
            line["accepts"] = percent(found["coverage"])
            line["bound of the risk"] = percent(found["bound"])
        line["check on other topics"] = _check(check[check["target"] == found["target"]].iloc[0])
        lines.append(line)
    return pd.DataFrame(lines)


def ratio_table(ratios: Results, score: str) -> pd.DataFrame:
    """Return the gate by share of training data: means over seeds with their t intervals."""
    return pd.DataFrame(
        [
            {"training data": percent(float(ratio)), **_gate_columns(ratios.where(ratio=ratio), score)}
            for ratio in sorted(set(ratios.frame["ratio"]))
        ]
    )


def arm_table(arms: Results, score: str) -> pd.DataFrame:
    """Return the gate by loss term: means over seeds with their t intervals."""
    lines = []
    for arm, convention, strength in arms.frame.groupby(["arm", "convention", "lambda"], sort=False).groups:
        own = arms.where(arm=arm, convention=convention, **{"lambda": strength})
        lines.append({"arm": arm, "convention": convention, "lambda": f"{strength:g}"} | _gate_columns(own, score))
    return pd.DataFrame(lines)


def score_table(exported: pd.Series, baseline: pd.DataFrame) -> pd.DataFrame:
    """Return the areas of each score: for the exported map, and over seeds of the baseline."""
    return pd.DataFrame(
        [
            {
                "score": name,
                **{area: f"{exported[f'{score}_{column}']:.4f}" for area, column in AREAS.items()},
                "AUGRC, mean over seeds": mean_with_interval(baseline[f"{score}_augrc"]),
            }
            for score, name in SCORES.items()
        ]
    )


def style_table(baseline: Results) -> pd.DataFrame:
    """Return the baseline's metrics by surface style, means over seeds."""
    by_style = baseline.table("styles")
    lines = []
    for spread in SPREADS:
        metric = spread.removeprefix("spread_")
        own = by_style[by_style["metric"] == metric]
        line = {"metric": label(spread)}
        line |= {
            style: mean_with_interval(own.loc[own["style"] == style, "value"], 3) for style in own["style"].unique()
        }
        line |= {"standard deviation": mean_with_interval(baseline.frame[spread], 3)}
        lines.append(line | {"range": mean_with_interval(baseline.frame[f"range_{metric}"], 3)})
    return pd.DataFrame(lines)


def contrast_table(contrasts: list[Contrast]) -> pd.DataFrame:
    """Return the differences of the spread over styles, one line per treatment, control and setting."""
    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    for found in contrasts:
        low, high = found.verdict.interval
        key = (found.treatment, found.control, found.convention, found.strength)
        line = lines.setdefault(
            key, {"arm": key[0], "against": key[1], "convention": key[2], "lambda": f"{found.strength:g}"}
        )
        line[label(found.metric)] = f"{found.verdict.difference:+.4f} ({low:+.4f}, {high:+.4f}) {found.kind}"
    return pd.DataFrame(lines.values()).fillna("")


def _gate_columns(group: Results, score: str) -> dict[str, str]:
    frame, certificates = group.frame, group.table("certificates")
    columns = {
        "accuracy": mean_with_interval(frame["accuracy"]),
        "agrees with teacher": mean_with_interval(frame["teacher_agreement"]),
        "AUGRC": mean_with_interval(frame[f"{score}_augrc"]),
    }
    for target in RISK_TARGETS:
        own = certificates[(certificates["score"] == score) & (certificates["target"] == target)]
        found = own.loc[own["coverage"] > 0, "coverage"]
        shown = f"{len(found)} of {len(own)}" + (f", accepts {percent(found.mean())}" if len(found) else "")
        columns[f"certified at {percent(target)}"] = shown
    return columns


def _check(row: pd.Series) -> str:
    folds, accepted, wrong = (int(row[name]) for name in ("folds", "accepted", "wrong"))
    if not folds:
        return "not certifiable on four fifths"
    share = f" ({percent(wrong / accepted)})" if accepted else ""
    return f"{wrong} of {accepted} wrong{share}, {folds} of 5"
