"""What a map makes of an index is searched without being made: similarities are those of the mapped vectors."""

import numpy as np
import pytest

from embalign.alignment.training import apply_map
from embalign.evaluation.deployment import Embedded
from embalign.evaluation.streamed import StreamedIndex, index_of, map_rows


def mapped(d_draft, d_teacher, rows=300, condition=1.0, seed=0):
    """A map, vectors, queries in the teacher's space, and the cosines of these in float64."""
    rng = np.random.default_rng(seed)
    spread = np.logspace(0, -np.log10(condition), d_draft)
    weights = (rng.standard_normal((d_teacher, d_draft)) * spread).astype(np.float32)
    vectors = rng.standard_normal((rows, d_draft)).astype(np.float32)
    queries = rng.standard_normal((20, d_teacher)).astype(np.float32)
    exact = vectors.astype(np.float64) @ weights.T.astype(np.float64)
    sides = (side.astype(np.float64) / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, exact))
    left, right = sides
    return weights, vectors, queries, left @ right.T


@pytest.mark.parametrize(
    ("d_draft", "d_teacher"), [(12, 40), (40, 40), (33, 34), (40, 12), (3, 7)], ids=lambda d: str(d)
)
@pytest.mark.parametrize("condition", [1.0, 1e3])
def test_similarities_are_those_of_the_mapped_vectors(d_draft, d_teacher, condition):
    weights, vectors, queries, exact = mapped(d_draft, d_teacher, condition=condition)
    index = index_of(map_rows(weights, vectors))
    assert isinstance(index, StreamedIndex) == (d_draft <= d_teacher)
    np.testing.assert_allclose(index.similarity(queries), exact, atol=3e-6)


def test_a_part_of_a_mapped_index_is_these_rows_of_it():
    weights, vectors, queries, exact = mapped(12, 40)
    whole = Embedded(queries, map_rows(weights, vectors))
    rows = np.array([7, 299, 0, 7])
    part = whole.within(rows)
    np.testing.assert_array_equal(np.asarray(part.index), apply_map(weights, vectors[rows]))
    np.testing.assert_allclose(part.searched.similarity(queries), exact[:, rows], atol=3e-6)


def test_a_part_of_an_index_has_the_penalties_of_its_rows():
    _, vectors, _, _ = mapped(12, 40)
    held = Embedded(vectors[:5], vectors)
    penalty = np.linspace(0, 1, len(vectors), dtype=np.float32)
    index, rows = held.searched.penalised(penalty), np.array([4, 2])
    whole = index.similarity(vectors[:5])
    np.testing.assert_allclose(index.within(rows).similarity(vectors[:5]), whole[:, rows], atol=2e-7)


@pytest.mark.parametrize("of_zero", ["row", "map"])
def test_what_has_no_direction_is_near_nothing(of_zero):
    weights, vectors, queries, _ = mapped(12, 40)
    if of_zero == "row":
        vectors[3] = 0
    else:
        weights[:] = 0
    index = index_of(map_rows(weights, vectors))
    assert index.is_finite
    found = index.similarity(queries)
    assert (found[:, 3] == 0).all()
    assert bool((found[:, :3] == 0).all()) == (of_zero == "map")


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_scale_of_a_map_changes_no_similarity(scale):
    weights, vectors, queries, exact = mapped(12, 40)
    index = index_of(map_rows((weights * scale).astype(np.float32), vectors))
    assert index.is_finite
    np.testing.assert_allclose(index.similarity(queries), exact, atol=3e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("of", ["map", "row"])
def test_a_value_that_is_not_finite_is_seen(of, value):
    weights, vectors, _, _ = mapped(12, 40)
    (weights if of == "map" else vectors)[3, 2] = value
    assert not index_of(map_rows(weights, vectors)).is_finite
