"""The cells of the gate experiment: which map each is of, and the columns that CSVs give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from embalign.evaluation.results import Results
from embalign.experiments.gate.protocol import ARM_OF
from embalign.experiments.tables import widen

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
