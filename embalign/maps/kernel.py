"""Kernel ridge regression with a Gaussian kernel, on as many anchors as its cubic time allows."""

import functools

import numpy as np
from scipy.linalg import eigh

from embalign.alignment.seeds import Stream, generator
from embalign.maps.map import Map
from embalign.maps.training import Floats, Setting, Training
from embalign.maps.transforms import Kernel, gaussian

MOST_ANCHORS = 2000  # of the training items, drawn at random where there are more


def fit_kernel(training: Training, setting: Setting) -> Map:
    """Return kernel ridge of centred targets: `width` over the median distance of anchors, `penalty` on the norm.

    The teacher's mean is added to an index, and to queries unless they are `centred`.
    """
    mean = training.moments.teacher_mean
    rows, width, values, basis, targets = _decomposed(training, setting["width"])
    coefficients = basis @ (targets / (values + setting["penalty"])[:, None])
    parts = [np.asarray(part, np.float32) for part in (training.draft[rows], coefficients, mean, np.array([width]))]
    anchors, weights, offset, of_kernel = parts
    whole = Kernel(anchors, weights, offset, of_kernel)
    query = Kernel(anchors, weights, np.zeros_like(offset), of_kernel) if setting["centred"] else whole
    return Map(query=query, index=whole)


@functools.lru_cache(maxsize=4)
def _decomposed(training: Training, relative: float) -> tuple[np.ndarray, float, Floats, Floats, Floats]:
    """Anchors' rows, width, and the kernel matrix's eigenvalues, basis and targets in it."""
    count = len(training.draft)
    rows = np.sort(generator(training.seed, Stream.ANCHORS).permutation(count)[:MOST_ANCHORS])
    x = training.draft[rows].astype(np.float64)
    y = training.teacher[rows] - training.moments.teacher_mean
    squares = 2 - 2 * (x @ x.T)[np.triu_indices(len(x), k=1)]  # of unit vectors
    width = relative * float(np.sqrt(max(float(np.median(squares)), 1e-12))) if len(squares) else 1.0
    values, basis = eigh(gaussian(x, x, width), driver="evd")
    return rows, width, np.maximum(values, 0), basis, basis.T @ y
