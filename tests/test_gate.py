"""The gate against exact enumeration, binomial tables and worlds of known risk; styles against leave-one-out."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import gate_outcomes, tied_retrieval

from embalign.deploy.thresholds import check_promise
from embalign.errors import CorpusError
from embalign.evaluation import gate, styles
from embalign.evaluation.certificate import (
    certify,
    design_effect,
    fewest_accepts,
    first_accepts,
    intraclass_correlation,
    risk_bound,
    risk_interval,
)
from embalign.evaluation.deployment import Embedded, SearchTask
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import search_task

pytestmark = pytest.mark.instrument


def orders(scores):
    """Every order of acceptance that the scores allow, ties in each of their orders."""
    blocks = [np.flatnonzero(scores == value) for value in sorted(set(scores), reverse=True)]
    for choice in itertools.product(*(itertools.permutations(block) for block in blocks)):
        yield [i for block in choice for i in block]


def areas(correct, order):
    """Mean selective risk over coverages, and area under generalized risk, by plain counting."""
    wrong, selective, generalized, previous = 0, [], 0.0, 0.0
    for k, i in enumerate(order, start=1):
        wrong += not correct[i]
        selective.append(wrong / k)
        generalized += (previous + wrong / len(order)) / 2 / len(order)
        previous = wrong / len(order)
    return np.mean(selective), generalized


@given(gate_outcomes(max_items=6))
def test_areas_are_expectations_over_every_order_of_tied_outputs(outcomes):
    scores, correct = outcomes
    expected = np.mean([areas(correct, order) for order in orders(scores)], axis=0)
    assert gate.aurc(scores, correct) == pytest.approx(expected[0], abs=1e-9)
    assert gate.augrc(scores, correct) == pytest.approx(expected[1], abs=1e-9)


@given(gate_outcomes())
def test_e_aurc_is_zero_for_a_score_that_puts_correct_outputs_first_and_positive_for_a_useless_one(outcomes):
    _, correct = outcomes
    assert gate.e_aurc(correct.astype(float), correct) == pytest.approx(0, abs=1e-12)
    assert gate.e_aurc(np.zeros(len(correct)), correct) > 0


@given(gate_outcomes(), st.sampled_from([0.1, 0.37, 1.0]))
def test_a_strictly_increasing_transform_of_the_score_changes_nothing(outcomes, coverage):
    scores, correct = outcomes
    level = np.array([coverage])
    for measure in (gate.augrc, gate.aurc, gate.e_aurc, lambda s, c: gate.selective_risk(s, c, level)[0]):
        assert measure(np.exp(scores), correct) == pytest.approx(measure(scores, correct))


def test_answers_know_their_neighbours_and_never_find_themselves():
    pool = np.array([[3, 0], [0.8, 0.6], [0, 1], [-1, 0]])
    found, correct = gate.leave_one_out(pool, ["a", "b", "b", "a"])
    assert found.nearest[:2].tolist() == [1, 0]
    np.testing.assert_allclose(found.top1[:2], [0.8, 0.8])
    np.testing.assert_allclose(found.margin[:2], [0.8, 0.2])
    assert correct[:2].tolist() == [0, 0]
    with pytest.raises(ValueError, match="two neighbours"):
        gate.leave_one_out(pool[:2], ["a", "a"])


def test_of_several_nearest_the_outcome_is_the_share_that_is_right():
    pool = np.array([[1.0, 0], [0, 1], [0, 1], [0, 1], [-1, 0]])
    found, correct = gate.leave_one_out(pool, ["a", "a", "b", "a", "b"])
    assert correct[0] == pytest.approx(2 / 3)
    assert found.margin[0] == 0


@pytest.mark.parametrize(("risk_target", "fewest"), [(0.05, 59), (0.1, 29), (0.2, 14)])
def test_fewer_right_accepts_than_the_binomial_asks_for_certify_nothing(risk_target, fewest):
    """59 right in a row certify 95 % precision at 95 % confidence; 58 lack one."""
    scores, correct = np.arange(fewest, 0, -1.0), np.ones(fewest, dtype=bool)
    assert np.ceil(fewest_accepts(risk_target, 0.95)) == fewest
    assert certify(scores, correct, risk_target=risk_target).threshold == 1.0
    short = certify(scores[1:], correct[1:], risk_target=risk_target)
    assert (short.threshold, short.lacking) == (None, 1)


def test_the_sequence_of_thresholds_stops_at_the_first_that_fails():
    correct = np.ones(400, dtype=bool)
    correct[100:104] = False  # fails at 104 accepts, would pass again at 400
    scores = np.linspace(1, 0, 400)
    found = certify(scores, correct, risk_target=0.05)
    assert found.threshold == scores[found.accepted - 1]
    assert found.bound <= 0.05
    assert 93 <= found.accepted < 104
    assert risk_bound(np.array(4 / 400), np.array(400.0), 0.95) < 0.05


def test_with_groups_the_sequence_starts_where_some_errors_pass():
    """Two wrong outputs early would end a sequence that starts where no error passes."""
    groups, correct = np.arange(60), np.ones(60, dtype=bool)
    correct[[8, 12]] = False
    assert certify(-np.arange(60), correct, risk_target=0.2, groups=groups).accepted == 60
    assert certify(-np.arange(60), correct, risk_target=0.2).threshold is None
    assert 28 < first_accepts(0.2, 0.95) < 29


def test_accepted_outputs_count_no_more_than_their_groups_while_none_is_wrong():
    """Twelve topics wholly right are twelve outcomes, however many outputs each has; 20 % takes fourteen."""
    groups = np.arange(12).repeat(20)
    correct = np.ones(240, dtype=bool)
    assert certify(-np.arange(240.0), correct, risk_target=0.2).threshold is not None
    found = certify(-np.arange(240.0), correct, risk_target=0.2, groups=groups)
    assert found.threshold is None
    assert design_effect(np.zeros(240), groups)[-1] == pytest.approx(20)


@pytest.mark.parametrize("topics", [8, 15])
def test_the_promise_is_kept_where_a_few_hot_topics_are_wholly_right_or_wrong(topics):
    """An eighth of the topics with the highest scores is wrong throughout; blind to groups, 10 % is promised."""
    generator = np.random.default_rng(4)
    groups = np.repeat(np.arange(66), 10)
    hot = groups < topics
    broken, blind = 0, 0
    for _ in range(200):
        scores = (generator.random(len(groups)) + hot) / 2
        right = np.where(hot, (generator.random(66) >= 0.125)[groups], generator.random(len(groups)) >= 0.5)
        found = certify(scores, right, risk_target=0.1, groups=groups)
        broken += found.threshold is not None
        blind += certify(scores, right, risk_target=0.1).threshold is not None
    assert stats.binomtest(broken, 200, 0.05, alternative="greater").pvalue > 0.01
    assert blind > 10


def test_the_risk_of_checked_outputs_has_an_interval_over_groups():
    """It holds Clopper-Pearson's of independent outputs, and groups wholly right or wrong count as one output each."""
    correct = np.arange(40) % 5 > 0
    low, high = risk_interval(correct, np.arange(40))
    exact = stats.binomtest(8, 40).proportion_ci(0.95, method="exact")
    assert 0 < low <= exact.low < 0.2 < exact.high <= high < 0.5
    assert risk_interval(np.repeat(correct, 10), np.arange(40).repeat(10)) == pytest.approx((low, high))
    none_wrong = risk_interval(np.ones(30, dtype=bool), np.arange(30))
    assert none_wrong[0] == 0
    assert none_wrong[1] >= stats.binomtest(0, 30).proportion_ci(0.95, method="exact").high


def test_a_promise_is_not_checked_on_fewer_topics_than_folds():
    labels = np.repeat(["a", "b", "c"], 10)
    with pytest.raises(CorpusError, match="3 held-out label groups are too few"):
        check_promise(np.arange(30.0), np.ones(30, dtype=bool), labels, 0.2)


@pytest.mark.filterwarnings("error")
def test_leads_over_nothing_are_tied():
    """In an index of a single row none is second, and every lead is infinite."""
    correct = np.array([1.0, 1.0, 0.0, 0.0])
    for order in (correct, correct[::-1]):
        assert gate.augrc(np.full(4, np.inf), order) == gate.augrc(np.zeros(4), order) == 0.25


def test_tied_outputs_are_accepted_together():
    scores, correct = np.repeat([2.0, 1.0], 40), np.ones(80, dtype=bool)
    assert certify(scores, correct, risk_target=0.05).accepted == 80
    assert certify(scores[:70], correct[:70], risk_target=0.05).accepted == 70


@given(wrong=st.integers(0, 30), accepted=st.integers(31, 200))
def test_the_bound_is_clopper_pearsons(wrong, accepted):
    expected = stats.binomtest(wrong, accepted).proportion_ci(0.9, method="exact").high
    assert risk_bound(np.array(wrong / accepted), np.array(float(accepted)), 0.95) == pytest.approx(expected)


def test_what_is_lacking_would_do_if_risk_stays_as_it_is():
    generator = np.random.default_rng(0)
    scores, correct = generator.random(60), np.ones(60, dtype=bool)
    correct[np.argsort(scores)[:2]] = False
    short = certify(scores[:40], np.ones(40, dtype=bool), risk_target=0.05)
    more = np.ones(40 + short.lacking, dtype=bool)
    assert certify(np.arange(len(more), 0, -1.0), more, risk_target=0.05).threshold is not None
    assert certify(np.arange(len(more) - 1, 0, -1.0), more[1:], risk_target=0.05).threshold is None


def test_nothing_is_certifiable_where_every_threshold_is_too_risky():
    found = certify(np.arange(50, 0, -1.0), np.zeros(50, dtype=bool), risk_target=0.2)
    assert (found.threshold, found.lacking) == (None, None)


def test_intraclass_correlation_and_design_effect_of_known_groups():
    """Groups that agree fully are worth one output each; independent ones count in full."""
    generator = np.random.default_rng(1)
    groups = np.arange(1000).repeat(5)
    shared, own = generator.standard_normal(1000)[groups], generator.standard_normal(5000)
    assert intraclass_correlation(shared, groups) == pytest.approx(1)
    assert intraclass_correlation(own, groups) < 0.03
    assert intraclass_correlation(shared + own, groups) == pytest.approx(0.5, abs=0.04)
    assert intraclass_correlation(own[:3], np.arange(3)) == 0
    alike, alone = (shared > 1).astype(float), (own > 1).astype(float)
    order = generator.permutation(5000)  # of acceptance
    assert design_effect(alike[order], groups[order])[-1] == pytest.approx(5, rel=0.05)
    assert 1 < design_effect(alone[order], groups[order])[-1] < 1.4


def simulated_pair(generator, groups=60, size=10):
    """Scores, outcomes and groups where risk at a threshold is known: 0.6 (1 - t) / 2 above t, groups alike or not."""
    labels = np.repeat(np.arange(groups), size)
    scores = generator.random(len(labels))
    # A Gaussian copula makes outcomes of a group go together and leaves each one's probability as it is.
    latent = np.sqrt(0.3) * generator.standard_normal(groups)[labels]
    latent = latent + np.sqrt(0.7) * generator.standard_normal(len(labels))
    return scores, stats.norm.cdf(latent) > 0.6 * (1 - scores), labels


@pytest.mark.parametrize("target", [0.1, 0.2])
def test_the_promise_is_kept_where_the_risk_is_known_and_outputs_go_together_in_groups(target):
    """Over 200 simulated pairs it breaks in at most 5 %, give or take Monte Carlo error."""
    generator = np.random.default_rng(2)
    broken, certified = 0, 0
    for _ in range(200):
        scores, correct, labels = simulated_pair(generator)
        found = certify(scores, correct, risk_target=target, groups=labels)
        if found.threshold is not None:
            broken += 0.6 * (1 - found.threshold) / 2 > target
            certified += 1
    assert certified > 50
    assert stats.binomtest(broken, 200, 0.05, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"risk_target": 0.0}, "risk_target must be between 0 and 1, found 0.0"),
        ({"confidence": 1.0}, "confidence must be"),
        ({"correct": np.ones(3, dtype=bool)}, "2 scores and 3 outcomes"),
        ({"scores": np.array([np.nan, 1.0])}, "NaN"),
    ],
)
def test_unusable_input_is_refused_by_name(change, message):
    good = {"scores": np.array([1.0, 2.0]), "correct": np.ones(2, dtype=bool), "risk_target": 0.1}
    given_values = good | change
    scores, correct = given_values.pop("scores"), given_values.pop("correct")
    with pytest.raises(ValueError, match=message):
        certify(scores, correct, **given_values)


@given(tied_retrieval())
def test_a_task_that_some_queries_ask_finds_for_them_what_the_whole_task_finds(data):
    """Also for queries in another order, and ties included."""
    vectors, labels = data
    labels = np.array(labels)
    relevant, own = Relevance.by_label(labels, labels), np.arange(len(vectors))
    task = SearchTask(*[Embedded(vectors, vectors)] * 2, relevant, own, relevant, own, labels)
    places = own[::-2]
    part, whole = (search_task(each, each.draft) for each in (styles.asked_by(task, places), task))
    for name in ("ndcg", "reciprocal_rank", "mate", "top1", "margin", "correct"):
        np.testing.assert_allclose(getattr(part, name), getattr(whole, name)[places], atol=1e-12)
    assert styles.asked_by(task, places).groups.tolist() == labels[places].tolist()


def outcome(values):
    """What queries find, with one value for every number that styles look at."""
    rows = np.zeros(len(values), np.int64)
    return Search({1: values}, {}, values, values, values, values, values, rows, values, values, values)


def test_spread_over_styles_is_their_standard_deviation_and_its_values_by_label_have_that_mean():
    generator = np.random.default_rng(3)
    labels = np.repeat([f"label{i:02d}" for i in range(20)], 5)
    outcomes = {style: outcome(generator.random(100) * (1 + i)) for i, style in enumerate(("plain", "upper", "bullet"))}
    found = styles.score_styles(outcomes, labels)
    means = [of_style.reciprocal_rank.mean() for of_style in outcomes.values()]
    assert found.metrics["spread_mrr"] == pytest.approx(np.std(means, ddof=1))
    assert found.metrics["range_mrr"] == pytest.approx(max(means) - min(means))
    assert (found.metrics["styled_items"], found.metrics["styled_groups"]) == (100, 20)
    by_style = found.tables["styles"].set_index(["metric", "style"])["value"]
    assert by_style["mrr"].to_dict() == pytest.approx(dict(zip(outcomes, means, strict=True)))
    assert by_style["accept_top1", "plain"] == 0.5
    assert len(found.by_label["spread_mrr"]) == 20
    assert found.by_label["spread_mrr"].mean() == pytest.approx(found.metrics["spread_mrr"], abs=1e-6)
    named = styles.score_styles(outcomes, labels, "query_adapter_")
    assert named.metrics["query_adapter_spread_mrr"] == found.metrics["spread_mrr"]
    assert set(named.tables["styles"]["metric"]) == {f"query_adapter_{m}" for m in found.tables["styles"]["metric"]}


def test_spread_by_label_has_the_standard_error_of_the_spread():
    """Over many draws of labels the stated standard error is near the true one."""
    generator = np.random.default_rng(4)
    labels = np.repeat([f"label{i:02d}" for i in range(40)], 5)
    spreads, stated = [], []
    for _ in range(300):
        base = generator.standard_normal(40).repeat(5)
        outcomes = {
            style: outcome(base + i + generator.standard_normal(40).repeat(5))
            for i, style in enumerate(("plain", "upper", "bullet"))
        }
        found = styles.score_styles(outcomes, labels)
        spreads.append(found.metrics["spread_mrr"])
        stated.append(found.by_label["spread_mrr"].std(ddof=1) / np.sqrt(40))
    assert np.mean(stated) == pytest.approx(np.std(spreads), rel=0.15)
