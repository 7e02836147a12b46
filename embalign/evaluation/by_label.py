"""Metrics split by label group: the test set is drawn as whole groups, so groups, not items, are what varies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation.measurement import ByLabel
from embalign.evaluation.retrieval import Labels


def label_values(values: NDArray[np.float64], labels: Labels) -> NDArray[np.float64]:
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


def by_label(labels: Labels, **values: NDArray[np.float64]) -> dict[str, ByLabel]:
    """Return the values by label of several metrics, each given over the same n items, as a measurement keeps them."""
    return {name: label_values(of_items, labels).astype(np.float32) for name, of_items in values.items()}
