"""Embedding alignment with verdicts that can say no: the public functions, imported when they are used.

docs/api.md shows what each is for.

>>> from embalign import judge_ab, leave_one_out, spectral_loss
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embalign.alignment.closed_form import fit_procrustes as fit_procrustes
    from embalign.alignment.closed_form import fit_ridge as fit_ridge
    from embalign.alignment.config import TrainingConfig as TrainingConfig
    from embalign.alignment.losses import Loss as Loss
    from embalign.alignment.losses import cosine_loss as cosine_loss
    from embalign.alignment.losses import spectral_loss as spectral_loss
    from embalign.alignment.selection import select as select
    from embalign.alignment.terms import Term as Term
    from embalign.alignment.terms import make_term as make_term
    from embalign.alignment.training import apply_map as apply_map
    from embalign.alignment.training import train_map as train_map
    from embalign.deploy.loader import load as load_deployed
    from embalign.deploy.map import load_map as load_map
    from embalign.errors import EmbalignError as EmbalignError
    from embalign.evaluation.certificate import certify as certify
    from embalign.evaluation.measurement import Measurement as Measurement
    from embalign.evaluation.retrieval import leave_one_out as leave_one_out
    from embalign.evaluation.retrieval import search_metrics as search_metrics
    from embalign.experiments.fits import score_map as score_map
    from embalign.experiments.grid import Experiment as Experiment
    from embalign.experiments.grid import Table as Table
    from embalign.experiments.grid import grid as grid
    from embalign.pairs.config import find_pair as find_pair
    from embalign.pairs.pair import load_pair as load_pair
    from embalign.verdicts.ab import judge_ab as judge_ab
    from embalign.verdicts.elbow import judge_elbow as judge_elbow
    from embalign.verdicts.paired import judge_paired as judge_paired
    from embalign.verdicts.retention import judge_retention as judge_retention

_HOMES = {
    "EmbalignError": "errors",
    "Experiment": "experiments.grid",
    "Loss": "alignment.losses",
    "Measurement": "evaluation.measurement",
    "Table": "experiments.grid",
    "Term": "alignment.terms",
    "TrainingConfig": "alignment.config",
    "apply_map": "alignment.training",
    "certify": "evaluation.certificate",
    "cosine_loss": "alignment.losses",
    "find_pair": "pairs.config",
    "fit_procrustes": "alignment.closed_form",
    "fit_ridge": "alignment.closed_form",
    "grid": "experiments.grid",
    "judge_ab": "verdicts.ab",
    "judge_elbow": "verdicts.elbow",
    "judge_paired": "verdicts.paired",
    "judge_retention": "verdicts.retention",
    "leave_one_out": "evaluation.retrieval",
    "load_deployed": "deploy.loader",
    "load_map": "deploy.map",
    "load_pair": "pairs.pair",
    "make_term": "alignment.terms",
    "score_map": "experiments.fits",
    "search_metrics": "evaluation.retrieval",
    "select": "alignment.selection",
    "spectral_loss": "alignment.losses",
    "train_map": "alignment.training",
}
_THERE = {"load_deployed": "load"}  # the name that one has at its home
__all__ = [
    "EmbalignError",
    "Experiment",
    "Loss",
    "Measurement",
    "Table",
    "Term",
    "TrainingConfig",
    "apply_map",
    "certify",
    "cosine_loss",
    "find_pair",
    "fit_procrustes",
    "fit_ridge",
    "grid",
    "judge_ab",
    "judge_elbow",
    "judge_paired",
    "judge_retention",
    "leave_one_out",
    "load_deployed",
    "load_map",
    "load_pair",
    "make_term",
    "score_map",
    "search_metrics",
    "select",
    "spectral_loss",
    "train_map",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'embalign' has no attribute {name!r}{_near(name)}")
    return getattr(importlib.import_module(f"embalign.{_HOMES[name]}"), _THERE.get(name, name))


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


def _near(name: str) -> str:
    close = importlib.import_module("difflib").get_close_matches(name, __all__, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
