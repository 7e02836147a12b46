"""Metrics split by label group: the test set is drawn as whole groups, so groups, not items, are what varies."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from embalign.evaluation.retrieval import Labels

Array = NDArray[np.float64]


def label_values(values: Array, labels: Labels) -> Array:
    """Return one value a label (G,), labels sorted, whose mean is the mean of `values` (n,) over items.

    NaN items are left out. Their spread over labels is what the choice of labels adds to the mean: a label of n_g items
    with mean m_g gives m + (n_g / mean n_g) (m_g - m), the linearised ratio estimator (Cochran, *Sampling Techniques*,
    1977, section 9A.1).
    """
    kept = ~np.isnan(values)
    _, group = np.unique(np.asarray(labels)[kept], return_inverse=True)
    sizes = np.bincount(group)
    mean = values[kept].mean()
    return np.asarray(mean + (np.bincount(group, weights=values[kept]) - sizes * mean) / sizes.mean())


def pack(values: Array) -> str:
    """Return an array as text, so that it can travel in a row: base64 of little-endian float32."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def unpack(text: str) -> NDArray[np.float32]:
    """Return the float32 array that `pack` made a text of."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)
