"""The map in use: exported with its quality and thresholds, loaded and checked.

>>> from embalign.deploy import load
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embalign.deploy.loader import load as load

# The highest share of wrong outputs among the accepted that a threshold is certified for, at 95 % confidence.
RISK_TARGETS = (0.05, 0.10, 0.20)
# How an index is searched: by cosine, or by CSLS, which takes from each row what makes it a hub.
SEARCHES = PLAIN, CSLS = "plain", "csls"
# What can be exported by name: one matrix by the better of two recipes, or a family of embalign.maps.
TWO_RECIPES = "matrix"
NAMES = (
    *(TWO_RECIPES, "ridge", "affine", "procrustes", "deshrunk", "reversed", "lowrank", "kernel"),
    *("cosine", "contrastive", "residual"),
)


class MapWarning(UserWarning):
    """A map that works, but not as well or not as surely as it may seem; the message says why and what to do."""


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module 'embalign.deploy' has no attribute {name!r}")
    return importlib.import_module("embalign.deploy.loader").load
