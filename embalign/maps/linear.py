"""Families with a closed form whose maps are affine: ridge, affine, Procrustes, deshrunk, reversed, reduced rank.

Least squares shrinks its outputs towards their mean, so that some items of the teacher's index, hubs, are near to every
query (Shigeto et al. 2015). Three remedies are tried: a query without the mean is moved away from what is near to all;
`deshrunk` gives each direction the spread that the teacher has there; `reversed` lets the side shrink that is searched.
"""

import numpy as np
from scipy.linalg import eigh

from embalign.maps.map import Map
from embalign.maps.training import Floats, Setting, Training, ridge_of
from embalign.maps.transforms import Affine

LEAST = 1e-9  # of the largest variance: directions below it hold rounding alone


def fit_ridge(training: Training, setting: Setting) -> Map:
    """Return least squares with a penalty on |W|^2, without offset (Hoerl and Kennard 1970)."""
    linear = Affine.of(ridge_of(training.of_raw, setting["penalty"]))
    return Map(query=linear, index=linear)


def fit_affine(training: Training, setting: Setting) -> Map:
    """Return ridge with an intercept; where `centred`, queries are left without the teacher's mean."""
    moments = training.moments
    return _of_centred(training, ridge_of(training.of_centred, setting["penalty"]), moments.teacher_mean, setting)


def fit_procrustes(training: Training, setting: Setting) -> Map:
    """Return the orthogonal map of centred rows (Schoenemann 1966), with a `scaling` of its outputs.

    That is 0 for none, 1 for one factor and 2 for one a dimension, both by least squares.
    """
    moments = training.moments
    weights, factor = training.orthogonal
    if setting["scaling"] == 1:
        weights = weights * factor
    elif setting["scaling"] == 2:
        outputs = (weights @ moments.draft * weights).sum(axis=1)
        of_both = (weights * moments.cross.T).sum(axis=1)
        kept = outputs > LEAST * outputs.max()
        weights = weights * np.divide(of_both, outputs, out=np.zeros_like(outputs), where=kept)[:, None]
    return _of_centred(training, weights, moments.teacher_mean, setting)


def fit_deshrunk(training: Training, setting: Setting) -> Map:
    """Return ridge of which each principal direction of the outputs is scaled to the teacher's spread there.

    Queries are centred, and the teacher's index is untouched. As an index, outputs have the teacher's mean.
    """
    moments = training.moments
    weights = ridge_of(training.of_centred, setting["penalty"])
    directions, variance = _principal(weights, training)
    of_teacher = (directions * (moments.teacher @ directions)).sum(axis=0)
    scaled = (directions * np.sqrt(of_teacher / variance)) @ (directions.T @ weights)
    return _of_centred(training, scaled, moments.teacher_mean, {"centred": 1})


def fit_reversed(training: Training, setting: Setting) -> Map:
    """Return ridge from teacher to draft: the teacher's side is brought to the draft's (Shigeto et al. 2015)."""
    moments = training.moments
    weights = ridge_of(training.backwards, setting["penalty"])
    draft = Affine.of(np.eye(len(moments.draft_mean)), centre=moments.draft_mean)
    teacher = Affine.of(weights, centre=moments.teacher_mean)
    return Map(query=draft, index=draft, teacher_query=teacher, teacher_index=teacher)


def fit_lowrank(training: Training, setting: Setting) -> Map:
    """Return reduced-rank regression: ridge with an intercept, its outputs projected on their first directions.

    `share` is that of the largest rank, of draft or teacher (Izenman 1975).
    """
    moments = training.moments
    weights = ridge_of(training.of_centred, setting["penalty"])
    rank = max(1, round(setting["share"] * min(weights.shape)))
    first = _principal(weights, training)[0][:, -rank:]
    return _of_centred(training, first @ (first.T @ weights), moments.teacher_mean, setting)


def _principal(weights: Floats, training: Training) -> tuple[Floats, Floats]:
    """The principal directions (d', r) of the outputs of a map (d', d), and the sums of squares along each, ascending.

    They come from the smaller of the two sides: outputs span no more dimensions than the draft has.
    """
    values, basis = training.spread
    half = weights @ (basis * np.sqrt(values))  # outputs have the products half half'
    squares, inside = eigh(half.T @ half, driver="evd")
    kept = squares > LEAST * squares.max(initial=0)
    return half @ (inside[:, kept] / np.sqrt(squares[kept])), squares[kept]


def _of_centred(training: Training, weights: Floats, mean: Floats, setting: Setting) -> Map:
    """The map of a matrix fitted on centred rows; the teacher's mean is added, to `centred` queries not."""
    centre = training.moments.draft_mean
    whole = Affine.of(weights, centre=centre, add=mean)
    return Map(query=Affine.of(weights, centre=centre) if setting.get("centred") else whole, index=whole)
