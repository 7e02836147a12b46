"""The cells of the gate experiment: which map each is of, and the columns that CSVs give them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from embalign.evaluation.deployment import DEPLOYMENTS, DRAFT_ONLY, QUERY_ADAPTER
from embalign.evaluation.results import Results
from embalign.experiments.gate.protocol import ALONE, ARM_OF, INDEXES, RISK_TARGETS, STUDIED, WHOLE, prefix
from embalign.experiments.tables import cells_of, widen

MAP = ("pair", "map", "ratio", "arm", "convention", "lambda", "seed")
USE = ["deployment", "index"]
AT = 0.2  # share of queries accepted at which indexes are compared
CERTIFICATE = ("coverage", "threshold", "bound", "lacking")
# The tables that a CSV has in wide form: the columns that tell their rows apart, and how each value's column is called.
# Of certificates and checks, those of the uses that every map is studied in.
WIDE: dict[str, tuple[list[str], dict[str, str]]] = {
    "certificates": (["use", "score", "percent"], {name: "{}{}_certified_{:02d}_" + name for name in CERTIFICATE}),
    "check": (["use", "percent"], {name: "{}check_{:02d}_" + name for name in ("folds", "accepted", "wrong")}),
    "styles": (["metric", "style"], {"value": "{}_{}"}),
}


def named_maps(results: Mapping[str, Results]) -> dict[str, Results]:
    """Return the results of the three tables, with the columns that say which map a row is of."""
    plain: dict[str, Any] = {"arm": "baseline", "convention": "none", "lambda": 0.0}
    ratios, arms, deployed = (
        cells_of(results, name, ("pair", "seed", *settings))
        for name, settings in (("gate_ratio", ["ratio"]), ("gate_arm", ["term", *plain]), ("gate_deployed", []))
    )
    frames = {
        "ratio": (ratios, {"map": "ratio", **plain}),
        "arm": (arms, {"map": "arm", "ratio": 1.0, "arm": arms.frame["term"].map(ARM_OF)}),
        "exported": (deployed, {"map": "exported", "ratio": 1.0, **plain}),
    }
    return {
        name: dataclasses.replace(found, frame=found.frame.assign(**columns), identity=MAP)
        for name, (found, columns) in frames.items()
    }


def as_csv(found: Results) -> pd.DataFrame:
    """Return the cells of one table as their CSV has them: scores, certificates, checks and styles in wide form."""
    wide = found.frame.drop(columns=["map", "term"], errors="ignore")
    if "choice" in found.tables:
        chosen = found.tables["choice"].pivot(index="cell", columns="deployment", values="score")
        wide = wide.join(chosen[[DRAFT_ONLY]].set_axis(["score"], axis="columns")).join(chosen.add_suffix("_score"))
    for name, (columns, values) in WIDE.items():
        if name in found.tables:
            own = found.tables[name]
            if "target" in own:
                own = own.assign(percent=(100 * own["target"]).round().astype(int), use=_prefixes(own))
                own = own[own["use"].isin([prefix(*use) for use in STUDIED])]
            wide = widen(wide, own, columns, values)
    return wide.dropna(axis="columns", how="all")


def certificates_of(exported: Results, scores: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the certificates of the exported map by its chosen scores, with their checks, None for what they have not.

    They are in the order of deployment, index and risk target.
    """
    own = exported.table("certificates").astype({"lacking": "Int64"}).rename(columns={"lacking": "lacking_accepts"})
    own = own[own["score"] == own["deployment"].map(dict(scores))]
    check = exported.table("check")[[*USE, "target", "folds", "accepted", "wrong", "risk_low", "risk_high"]]
    records = own.merge(check, on=[*USE, "target"]).to_dict("records")
    plain = [{str(name): None if pd.isna(value) else value for name, value in found.items()} for found in records]
    names = [*DEPLOYMENTS]
    return sorted(plain, key=lambda c: (INDEXES.index(c["index"]), names.index(c["deployment"]), c["target"]))


def by_index(exported: Results, scores: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return, for each deployment, how the same gate does in the index of held-out items and in the whole one.

    `right` is the share of right answers without a gate, `risk` the share of wrong ones among the fifth of queries with
    the highest scores; pairs are (held-out items, whole corpus). `moved` says what a threshold certified in the small
    index accepts and gets wrong there and in the whole one, None without such a threshold.
    """
    outputs, certificates = exported.tables["outputs"], certificates_of(exported, scores)
    curves = exported.table("accept_curve")
    rows = []
    for name, deployment in DEPLOYMENTS.items():
        mine = curves[(curves["deployment"] == name) & (curves["score"] == scores[name])]
        at = mine[(mine["coverage"] - AT).abs() < 1e-9].set_index("index")
        pairs = [ALONE, WHOLE]
        row: dict[str, Any] = {
            "label": deployment.label,
            "score": scores[name],
            "sizes": [int(at.loc[index, "index_size"]) for index in pairs],
            "right": [float(outputs[prefix(name, index) + "correct"].mean()) for index in pairs],
            "risk": [float(at.loc[index, "risk"]) for index in pairs],
            "moved": None,
        }
        small = [c for c in certificates if (c["deployment"], c["index"]) == (name, ALONE) and c["threshold"]]
        if small:
            loosest = max(small, key=lambda c: RISK_TARGETS.index(c["target"]))
            row["moved"] = {"target": loosest["target"], "uses": [_applied(outputs, name, i, loosest) for i in pairs]}
        rows.append(row)
    return rows


def _applied(outputs: pd.DataFrame, deployment: str, index: str, certificate: Mapping[str, Any]) -> dict[str, float]:
    """What a threshold accepts, as a share, and the share of wrong ones among these."""
    before = prefix(deployment, index)
    accepted = outputs[before + certificate["score"]] >= certificate["threshold"]
    wrong = 1 - outputs.loc[accepted, before + "correct"]
    return {"coverage": float(accepted.mean()), "risk": float(wrong.mean()) if len(wrong) else 0.0}


def cascade_of(found: Results, score: str) -> pd.DataFrame:
    """Return the mean cascade over cells by share sent: columns (metric, route): `score`, random, oracle."""
    own = found.table("cascade")
    kept = own[own["score"].isin([score, "random", "oracle"]) & (own["deployment"] == QUERY_ADAPTER)]
    metrics = [name for name in own.columns if name not in (*MAP, "score", "sent", "deployment", "index_size")]
    return kept.pivot_table(index="sent", columns="score", values=metrics)


def _prefixes(own: pd.DataFrame) -> list[str]:
    return [prefix(deployment, index) for deployment, index in zip(own["deployment"], own["index"], strict=True)]
