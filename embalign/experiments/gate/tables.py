"""The cells of the gate experiment: which map each is of, and the columns that CSVs give them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from embalign.evaluation.results import Results
from embalign.experiments.gate.protocol import ARM_OF
from embalign.experiments.tables import widen

MAP = ("pair", "map", "ratio", "arm", "convention", "lambda", "seed")
CERTIFICATE = ("coverage", "threshold", "bound", "lacking")
# The tables that a CSV has in wide form: the columns that tell their rows apart, and how each value's column is called.
WIDE: dict[str, tuple[list[str], dict[str, str]]] = {
    "certificates": (["score", "percent"], {name: "{}_certified_{:02d}_" + name for name in CERTIFICATE}),
    "check": (["percent"], {name: "check_{:02d}_" + name for name in ("folds", "accepted", "wrong")}),
    "styles": (["metric", "style"], {"value": "{}_{}"}),
}


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
    wide = found.frame.drop(columns=["map", "term"], errors="ignore")
    if "choice" in found.tables:
        wide = wide.join(found.tables["choice"].set_index("cell")["score"])
    for name, (columns, values) in WIDE.items():
        if name in found.tables:
            own = found.tables[name]
            if "target" in own:
                own = own.assign(percent=(100 * own["target"]).round().astype(int))
            wide = widen(wide, own, columns, values)
    return wide.dropna(axis="columns", how="all")


def certificates_of(exported: Results, score: str) -> list[dict[str, Any]]:
    """Return the certificate of the exported map for each risk target, None for what it has not."""
    own = exported.table("certificates").astype({"lacking": "Int64"}).rename(columns={"lacking": "lacking_accepts"})
    own = own[own["score"] == score].sort_values("target")
    records = own.to_dict("records")
    return [{name: None if pd.isna(value) else value for name, value in found.items()} for found in records]
