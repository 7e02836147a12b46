"""Similarity, gate and spectrum against scipy, scikit-learn and their own identities."""

import itertools
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import roc_auc_score
from strategies import gate_outcomes

from embalign.alignment.lengths import unit_rows
from embalign.evaluation import gate, scorecard, similarity, spectrum
from embalign.evaluation.deployment import DEPLOYMENTS, Embedded, SearchTask
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import by_label, label_values

pytestmark = pytest.mark.instrument


@pytest.fixture(scope="module")
def spaces():
    """Teacher and a noisy copy of it, 60 items in 24 dimensions, with labels in fours."""
    generator = np.random.default_rng(0)
    teacher = (generator.standard_normal((15, 24)).repeat(4, axis=0) + generator.standard_normal((60, 24))).astype("f4")
    mapped = (teacher + generator.standard_normal((60, 24))).astype("f4")
    return mapped, teacher, [str(i // 4) for i in range(60)]


def test_cosines_equal_scipy(spaces):
    from scipy.spatial.distance import cosine

    mapped, teacher, _ = spaces
    expected = [1 - cosine(a.astype(float), b.astype(float)) for a, b in zip(mapped, teacher, strict=True)]
    np.testing.assert_allclose(similarity.cosines(mapped, teacher), expected, atol=1e-12)


def test_cosine_of_a_zero_vector_is_zero():
    assert similarity.cosines(np.zeros((1, 3), "f4"), np.ones((1, 3), "f4")) == 0


def test_pairwise_spearman_equals_scipy(spaces):
    from scipy.spatial.distance import pdist

    mapped, teacher, _ = spaces
    expected = stats.spearmanr(pdist(mapped, "cosine"), pdist(teacher, "cosine")).statistic
    assert similarity.pairwise_spearman(mapped, teacher) == pytest.approx(expected, abs=1e-4)


def test_rows_of_any_array_are_made_of_length_1():
    drawn = np.random.default_rng(0).standard_normal((6, 3))
    drawn[2] = 0
    expected = drawn / np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), 1e-300)
    backwards, fixed = drawn[::-1], drawn.astype(np.float32)
    fixed.setflags(write=False)
    np.testing.assert_allclose(unit_rows(backwards), expected[::-1])
    np.testing.assert_allclose(unit_rows(fixed), expected, atol=1e-6)
    assert unit_rows(fixed).dtype == np.float32
    assert (fixed == drawn.astype(np.float32)).all()


def test_pairwise_spearman_of_a_constant_space_is_undefined(spaces):
    _, teacher, _ = spaces
    assert np.isnan(similarity.pairwise_spearman(np.ones_like(teacher), teacher))


@pytest.mark.parametrize("items", [40, 41])
def test_a_sample_as_large_as_all_pairs_is_all_pairs(spaces, monkeypatch, items):
    """So no pair is drawn twice, whichever blocks the items fall into."""
    mapped, teacher = (side[:items] for side in spaces[:2])
    exact = similarity.pairwise_spearman(mapped, teacher)
    for count, block in itertools.product((0, 1, 30), (7, 16, 41)):
        monkeypatch.setattr(similarity, "EXACT_UP_TO", 39)
        monkeypatch.setattr(similarity, "SAMPLED_PAIRS", items * (items - 1) // 2 - count)
        monkeypatch.setattr(similarity, "BLOCK", block)
        assert similarity.pairwise_spearman(mapped, teacher) == pytest.approx(exact, abs=1e-6 if not count else 0.03)
        order = np.random.default_rng(count).permutation(items)
        angles = np.random.default_rng(0).random(items)
        found = similarity._sampled_similarities(np.stack([np.cos(angles), np.sin(angles)], axis=1), order)
        every = np.cos(angles[:, None] - angles)[np.triu_indices(items, k=1)]
        assert len(found) == similarity.SAMPLED_PAIRS == len(np.unique(found.round(12)))
        assert np.isin(found.round(9), every.round(9)).all()


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_sampled_spearman_misses_that_of_all_pairs_by_its_standard_error(monkeypatch, noise):
    generator = np.random.default_rng(3)
    teacher = generator.standard_normal((1000, 16)).astype("f4")
    mapped = (teacher + noise * generator.standard_normal((1000, 16))).astype("f4")
    exact = similarity.pairwise_spearman(mapped, teacher)
    monkeypatch.setattr(similarity, "EXACT_UP_TO", 999)
    monkeypatch.setattr(similarity, "SAMPLED_PAIRS", 20_000)
    orders = [generator.permutation(1000) for _ in range(30)]
    missed = [similarity.pairwise_spearman(mapped[order], teacher[order]) - exact for order in orders]
    assert np.sqrt(np.mean(np.square(missed))) == pytest.approx((1 - exact**2) / np.sqrt(20_000), rel=0.4)


def test_sampled_spearman_does_not_follow_the_order_of_the_items(monkeypatch):
    """Each label's items stand together, and neighbours alone would say how alike one label's items are."""
    generator = np.random.default_rng(6)
    teacher = (
        generator.standard_normal((25, 16)).repeat(40, axis=0) + 0.5 * generator.standard_normal((1000, 16))
    ).astype("f4")
    mapped = (teacher + generator.standard_normal((1000, 16))).astype("f4")
    exact = similarity.pairwise_spearman(mapped, teacher)
    monkeypatch.setattr(similarity, "EXACT_UP_TO", 999)
    monkeypatch.setattr(similarity, "SAMPLED_PAIRS", 20_000)
    assert similarity.pairwise_spearman(mapped, teacher) == pytest.approx(exact, abs=3 / np.sqrt(20_000))


def test_sampled_spearman_of_few_more_items_than_are_ranked_whole(monkeypatch):
    """At the limits that hold: 2,001 items have 2,001,000 pairs, all but 1,000 of which are taken."""
    generator = np.random.default_rng(5)
    teacher = generator.standard_normal((2001, 8)).astype("f4")
    mapped = (teacher + generator.standard_normal((2001, 8))).astype("f4")
    sampled = similarity.pairwise_spearman(mapped, teacher)
    monkeypatch.setattr(similarity, "EXACT_UP_TO", 2001)
    exact = similarity.pairwise_spearman(mapped, teacher)
    assert sampled != exact
    assert sampled == pytest.approx(exact, abs=1e-4)


def test_memory_of_sampled_spearman_does_not_grow_with_the_pairs():
    generator = np.random.default_rng(4)

    def peak(items):
        both = generator.standard_normal((2, items, 4)).astype("f4")
        tracemalloc.start()
        similarity.pairwise_spearman(*both)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(20_000) < 1.2 * peak(2001)


def test_skill_is_zero_for_the_constant_and_one_for_perfection():
    assert similarity.skill(0.8, 0.8) == 0
    assert similarity.skill(1.0, 0.8) == 1
    assert similarity.skill(0.7, 0.8) < 0


@given(gate_outcomes())
def test_augrc_is_what_auroc_and_accuracy_say(outcomes):
    """AUGRC = (1 - AUROC) acc (1 - acc) + (1 - acc)^2 / 2, ties included."""
    scores, correct = outcomes
    accuracy = correct.mean()
    expected = (1 - roc_auc_score(correct, scores)) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    assert gate.augrc(scores, correct) == pytest.approx(expected, abs=1e-12)


@given(gate_outcomes(), st.sampled_from([0.05, 0.2, 0.5]))
def test_accept_rate_is_the_largest_coverage_within_the_risk(outcomes, target):
    scores, correct = outcomes
    feasible = [0.0]
    for threshold in set(scores):
        accepted = scores >= threshold
        if (~correct[accepted]).mean() <= target + 1e-12:
            feasible.append(accepted.mean())
    assert gate.accept_rate(scores, correct, target) == pytest.approx(max(feasible))


def test_margin_scores_by_hand():
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype="f4")
    found, correct = gate.leave_one_out(vectors, ["a", "a", "b", "b"])
    np.testing.assert_allclose(found.margin, [0.8, 0.2, 0.6, 0.8], atol=1e-6)
    assert correct.tolist() == [1, 1, 0, 1]
    with pytest.raises(ValueError, match="two neighbours besides"):
        gate.leave_one_out(vectors[:2], ["a", "a"])


def test_spectral_mse_is_spectral_cosine_in_other_units(spaces):
    mapped, teacher, _ = spaces
    bins = 24 // 2 + 1
    expected = 2 * (1 - spectrum.spec_cosines(mapped, teacher)) / bins
    np.testing.assert_allclose(spectrum.spec_mses(mapped, teacher), expected, atol=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.42, 0.9, 1.0])
def test_rayleigh_law_describes_correlated_gaussian_vectors(rho):
    generator = np.random.default_rng(1)
    left, noise = generator.standard_normal((2, 40, 4096))
    right = rho * left + np.sqrt(1 - rho**2) * noise
    left, right = left.astype("f4"), right.astype("f4")
    assert spectrum.spec_cosines(left, right).mean() == pytest.approx(spectrum.rayleigh_law(np.array(rho)), abs=0.003)
    assert abs(spectrum.spectral_excess(left, right).mean()) < 0.003


def test_shared_amplitudes_with_unrelated_phases_are_an_excess():
    """What the law cannot explain from the cosine is reported as an excess."""
    generator = np.random.default_rng(2)
    left = generator.standard_normal((40, 512))
    phases = np.exp(2j * np.pi * generator.random((40, 257)))
    right = np.fft.irfft(np.abs(np.fft.rfft(left)) * phases, n=512)
    assert spectrum.spectral_excess(left.astype("f4"), right.astype("f4")).mean() > 0.15


def test_scorecard_of_the_teacher_itself_is_perfect(spaces):
    """Nothing is lost in alignment, and every deployment keeps all of what the teacher finds."""
    _, teacher, labels = spaces
    constant = (teacher.mean(axis=0) / np.linalg.norm(teacher.mean(axis=0))).astype("f4")
    unit = (teacher / np.linalg.norm(teacher, axis=1, keepdims=True)).astype("f4")
    both, rows = Embedded(unit, unit), np.arange(60)
    task = SearchTask(
        draft=both,
        teacher=both,
        relevant=Relevance.by_label(labels, labels),
        own=rows,
        mates=Relevance.by_label(rows, rows),
        held_out=rows,
        groups=np.array(labels),
    )
    found = scorecard.score(task, both, scorecard.search_task(task, both), constant)
    kept = [f"{name}_{metric}" for name in DEPLOYMENTS for metric in ("retention_ndcg_at_10", "mate_recall_at_1")]
    for name in ("cosine_mean", "cosine_p05", "skill", "spearman", *kept):
        assert found.metrics[name] == pytest.approx(1, abs=1e-6)
    assert 0 < found.metrics["recall_at_1"] <= found.metrics["recall_at_5"] <= found.metrics["recall_at_10"] <= 1
    by_use = {f"{name}_{metric}" for name in DEPLOYMENTS for metric in ("ndcg_at_10", "retention_ndcg_at_10")}
    assert set(found.by_label) == {"cosine_mean", "recall_at_1", "mrr"} | by_use
    for name, values in found.by_label.items():
        assert len(values) == len(set(labels))
        assert values.mean() == pytest.approx(found.metrics[name], abs=1e-6)


def test_values_by_label_have_the_mean_of_the_items_and_the_spread_of_a_ratio_estimator():
    """Their standard error is near that of the mean over many draws of labels of unequal size."""
    generator = np.random.default_rng(0)

    def draw():
        sizes = generator.integers(2, 12, 60)
        means = 5 + generator.normal(0, 1, 60) + 0.2 * (sizes - sizes.mean())
        labels = np.repeat([f"label{i:02d}" for i in range(60)], sizes)
        return np.repeat(means, sizes) + generator.normal(0, 1, sizes.sum()), labels

    draws = [(values, label_values(values, labels)) for values, labels in (draw() for _ in range(400))]
    for values, of_label in draws[:20]:
        assert of_label.mean() == pytest.approx(values.mean())
    stated = np.mean([of_label.std(ddof=1) / np.sqrt(60) for _, of_label in draws])
    assert stated == pytest.approx(np.std([values.mean() for values, _ in draws]), rel=0.15)


def test_retention_by_label_has_the_spread_of_a_ratio_of_means():
    """Its standard error is near the spread of retention over many draws of labels of unequal size."""
    generator = np.random.default_rng(1)
    task, found = SimpleNamespace(), []
    for _ in range(400):
        sizes = generator.integers(2, 12, 60)
        task.blocks = np.repeat([f"label{i:02d}" for i in range(60)], sizes)
        ceiling = np.repeat(generator.uniform(0.3, 0.9, 60), sizes)
        mapped = ceiling * np.repeat(generator.uniform(0.4, 1, 60), sizes) + generator.normal(0, 0.02, sizes.sum())
        scored = scorecard.score_deployment("draft_only", task, search_of(mapped), search_of(ceiling))
        found.append(scored.by_label["draft_only_retention_ndcg_at_10"])
        retention = scored.metrics["draft_only_retention_ndcg_at_10"]
        assert retention == pytest.approx(mapped.mean() / ceiling.mean())
        assert found[-1].mean() == pytest.approx(retention, abs=1e-6)
    stated = np.mean([values.std(ddof=1) / np.sqrt(60) for values in found])
    assert stated == pytest.approx(np.std([values.mean() for values in found]), rel=0.15)


def search_of(ndcg):
    """A search that has given this nDCG; the rest of it is of no matter here."""
    none = np.full(len(ndcg), np.nan)
    return Search({1: none}, {}, none, none, none, ndcg, none, none, none, none, np.ones(3))


def test_items_without_a_value_are_left_out_by_label():
    values = label_values(np.array([1.0, np.nan, 3.0, np.nan]), ["a", "a", "b", "c"])
    assert values.tolist() == [1.0, 3.0]
    assert label_values(np.full(3, np.nan), ["a", "a", "b"]).tolist() == []


def test_a_measurement_keeps_one_float32_value_a_label_of_each_metric():
    found = by_label(["a", "a", "b"], one=np.array([1.0, 3.0, 5.0]), other=np.zeros(3))
    assert list(found) == ["one", "other"]
    assert all(values.dtype == np.float32 for values in found.values())
    assert found["one"].mean() == pytest.approx(3)


@given(arrays(np.float32, st.integers(0, 9), elements=st.floats(-1, 1, width=32)))
def test_values_by_label_come_back_as_they_were_written(values):
    found = Measurement.from_bytes(Measurement({}, {"mrr": values}).to_bytes())
    assert found.by_label["mrr"].dtype == np.float32
    assert found.by_label["mrr"].tolist() == values.tolist()
