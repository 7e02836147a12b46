"""Embedding alignment with verdicts that can say no: the public functions, imported when they are used.

>>> from embalign import judge_ab, leave_one_out, spectral_loss
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embalign.alignment.losses import spectral_loss as spectral_loss
    from embalign.alignment.training import apply_map as apply_map
    from embalign.alignment.training import train_map as train_map
    from embalign.deploy.map import load_map as load_map
    from embalign.evaluation.certificate import certify as certify
    from embalign.evaluation.retrieval import leave_one_out as leave_one_out
    from embalign.evaluation.retrieval import search_metrics as search_metrics
    from embalign.experiments.grid import Experiment as Experiment
    from embalign.experiments.grid import Table as Table
    from embalign.experiments.grid import grid as grid
    from embalign.pairs.config import find_pair as find_pair
    from embalign.pairs.pair import load_pair as load_pair
    from embalign.verdicts.ab import judge_ab as judge_ab
    from embalign.verdicts.elbow import judge_elbow as judge_elbow

_HOMES = {
    "Experiment": "experiments.grid",
    "Table": "experiments.grid",
    "apply_map": "alignment.training",
    "certify": "evaluation.certificate",
    "find_pair": "pairs.config",
    "grid": "experiments.grid",
    "judge_ab": "verdicts.ab",
    "judge_elbow": "verdicts.elbow",
    "leave_one_out": "evaluation.retrieval",
    "load_map": "deploy.map",
    "load_pair": "pairs.pair",
    "search_metrics": "evaluation.retrieval",
    "spectral_loss": "alignment.losses",
    "train_map": "alignment.training",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'embalign' has no attribute {name!r}")
    return getattr(importlib.import_module(f"embalign.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
