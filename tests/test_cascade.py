"""The cascade against routing in every order, query by query."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embalign.evaluation import cascade

pytestmark = pytest.mark.instrument
metric_values = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@st.composite
def routed(draw, max_queries=5):
    """Scores with ties, and each query's metric by the map and by the teacher; some queries have none."""
    count = draw(st.integers(1, max_queries))
    scores, mapped, teacher = (
        draw(hnp.arrays(np.float64, count, elements=elements))
        for elements in (st.integers(0, 2).map(float), metric_values, metric_values)
    )
    unknown = draw(hnp.arrays(np.bool_, count).filter(lambda flags: not flags.all()))
    mapped[unknown] = teacher[unknown] = np.nan
    return scores, mapped, teacher


def route(order, mapped, teacher):
    """The metric over all queries after each of them is sent in this order, by plain replacement."""
    now = mapped.copy()
    reached = [np.nanmean(now)]
    for query in order:
        now[query] = teacher[query]
        reached.append(np.nanmean(now))
    return reached


@given(routed())
def test_the_curve_is_the_mean_over_every_order_that_the_scores_allow(given_values):
    scores, mapped, teacher = given_values
    orders = [o for o in itertools.permutations(range(len(scores))) if (np.diff(scores[list(o)]) >= 0).all()]
    expected = np.mean([route(order, mapped, teacher) for order in orders], axis=0)
    found = cascade.by_score(scores, mapped, teacher)
    np.testing.assert_allclose(found.at(np.arange(len(scores) + 1) / len(scores)), expected, atol=1e-12)


@given(routed())
def test_no_order_does_better_than_the_oracle_at_any_share(given_values):
    _, mapped, teacher = given_values
    sent = np.arange(len(mapped) + 1) / len(mapped)
    best = cascade.oracle(mapped, teacher).at(sent)
    for order in itertools.permutations(range(len(mapped))):
        assert (np.array(route(order, mapped, teacher)) <= best + 1e-12).all()
    assert best.max() == pytest.approx(np.nanmean(np.fmax(mapped, teacher)))


@given(routed())
def test_random_routing_is_the_straight_line_from_the_map_to_the_teacher(given_values):
    _, mapped, teacher = given_values
    found = cascade.random_routing(mapped, teacher)
    ends = np.nanmean(mapped), np.nanmean(teacher)
    np.testing.assert_allclose(found.at(np.array([0, 0.3, 1])), np.interp([0, 0.3, 1], [0, 1], ends), atol=1e-12)


def test_a_score_that_knows_which_answers_are_wrong_sends_only_these():
    mapped, teacher = np.array([1.0, 0, 0, 1]), np.ones(4)
    found = cascade.by_score(mapped, mapped, teacher)
    assert found.share_for(1.0) == 0.5
    assert found.share_for(0.75) == 0.25
    assert cascade.random_routing(mapped, teacher).share_for(0.75) == 0.5


def test_a_level_that_the_map_has_needs_no_teacher_and_one_beyond_every_share_has_none():
    found = cascade.by_score(np.array([0.1, 0.2]), np.array([0.5, 0.5]), np.array([0.6, 0.4]))
    assert found.share_for(0.5) == 0.0
    assert found.share_for(0.55) == 0.5
    assert found.share_for(0.56) is None


def test_queries_without_a_relevant_item_are_sent_and_not_counted_in_the_metric():
    found = cascade.by_score(np.array([0.1, 0.2]), np.array([np.nan, 0.0]), np.array([np.nan, 1.0]))
    assert found.share.tolist() == [0, 0.5, 1]
    assert found.value.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("scores", "message"),
    [(np.ones(3), "3 scores, 2 values of the map"), (np.array([np.nan, 1]), "NaN"), (np.ones(0), "0 scores")],
)
def test_unusable_input_is_refused_by_name(scores, message):
    with pytest.raises(ValueError, match=message):
        cascade.by_score(scores, np.ones(2), np.ones(2))
