"""Maps that other packages fit: for `test_peers.py`, and as families of one's own in the grid of `test_maps.py`.

    pip install -c constraints.txt --group peers -e .

Each is fitted as its own README has it, with its defaults. No part of the package needs them.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from embalign.pairs import Vectors
    from embalign.pairs.holdout import Names

PENALTY = 0.01  # embspec's README has it; by default there is none


def isotrieve_ridge(draft: Vectors, teacher: Vectors, groups: Names, seed: int) -> Vectors:
    """Return W of isotrieve's ridge, its penalty chosen by generalised cross-validation, without an offset."""
    fitted = _isotrieve("RidgeMapping", draft, teacher, seed=seed, bias=False, normalize_output=False)
    return fitted.transform(np.eye(draft.shape[1])).T


def embspec_ridge(draft: Vectors, teacher: Vectors, groups: Names, seed: int) -> Vectors:
    """Return W of embspec's adapter, which needs at least as many pairs as the draft has dimensions."""
    from embspec import DriftAdapter

    return DriftAdapter.fit(draft, teacher, regularization=PENALTY).weight.T


@dataclass(frozen=True)
class Peer:
    """A package and how it fits: a function of draft, teacher and a seed that returns what it does to draft vectors."""

    package: str
    fit: Callable[[Vectors, Vectors, int], Callable[[Vectors], Vectors]]


@dataclass(frozen=True, eq=False)
class Foreign:
    """A transform of vectors, see `embalign.maps.transforms`, by a function: it can be measured, and not stored."""

    kind: ClassVar[str] = "peer"
    function: Callable[[Vectors], Vectors]

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return the transformed vectors."""
        return np.asarray(self.function(vectors), np.float32)


def _isotrieve(name, draft, teacher, **words):
    """A fitted mapping of isotrieve. It warns of fewer than ten pairs a dimension, here one of the things measured."""
    mapping = getattr(importlib.import_module("isotrieve.mapping"), name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return mapping(**words).fit(draft, teacher)


def _embspec(draft, teacher, seed):
    from embspec import DriftAdapter

    return DriftAdapter.fit(draft, teacher, regularization=PENALTY).transform


def _network(draft, teacher, seed):
    import torch

    torch.manual_seed(seed)  # isotrieve's own seed draws its split, not the network's start
    return _isotrieve("ResidualMLPMapping", draft, teacher, seed=seed).transform


def _ridge(draft, teacher, seed):
    return _isotrieve("RidgeMapping", draft, teacher, seed=seed).transform


PEERS = {
    "isotrieve ridge": Peer("isotrieve", _ridge),
    "isotrieve network": Peer("isotrieve", _network),
    "embspec ridge": Peer("embspec", _embspec),
}
