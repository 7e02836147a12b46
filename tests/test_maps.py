"""Families of maps against plain computations, degenerate inputs, CSLS, and what the choice of a try may look at."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from map_worlds import WORLDS, draw_pair
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from torch.nn import functional

from embalign.alignment.config import DEFAULT
from embalign.alignment.inner import inner_split
from embalign.alignment.stacked import batches
from embalign.alignment.training import train_map
from embalign.evaluation.deployment import DRAFT_ONLY, INDEX_MIGRATION, QUERY_ADAPTER, Embedded, asked_by, task_of
from embalign.evaluation.hubs import hubness, without_hubs
from embalign.evaluation.index import Index
from embalign.evaluation.scorecard import search_task
from embalign.maps import choose as choosing
from embalign.maps import kernel, trained
from embalign.maps.answers import Answers
from embalign.maps.choose import choose
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS, Map
from embalign.maps.searches import find, find_by_each, sample_of
from embalign.maps.training import TRIES, Training
from embalign.maps.transforms import KINDS, Affine, Kernel, Residual, Unchanged

pytestmark = pytest.mark.instrument

TRAINED = ("cosine", "contrastive", "residual")
CLOSED = tuple(name for name in FAMILIES if name not in TRAINED)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def names(count):
    """A label group of its own for each row."""
    return np.arange(count).astype(str)


def training_of(rows=80, of_draft=6, of_teacher=8, seed=0, steps=20):
    """Unit vectors away from the origin, a noisy linear task."""
    rng = np.random.default_rng([rows, of_draft, of_teacher])
    draft = rng.standard_normal((rows, of_draft)) + 0.5
    teacher = draft @ rng.standard_normal((of_draft, of_teacher)) + 0.5 * rng.standard_normal((rows, of_teacher)) + 0.3
    return Training(unit(draft), unit(teacher), names(len(draft)), seed, steps)


def centred(training):
    """Both sides in float64, less their means, and the means."""
    sides = [side.astype(np.float64) for side in (training.draft, training.teacher)]
    means = [side.mean(axis=0) for side in sides]
    return *(side - mean for side, mean in zip(sides, means, strict=True)), *means


def check_transform(transform, vectors, expected):
    np.testing.assert_allclose(transform(vectors), expected, atol=2e-5, rtol=2e-4)


OTHER = unit(np.random.default_rng(9).standard_normal((7, 6)))
SHAPES = [(80, 6, 8), (80, 8, 6), (80, 6, 6)]


@pytest.mark.parametrize("place", range(TRIES))
def test_ridge_is_scikit_learns(place):
    training, setting = training_of(), FAMILIES["ridge"].settings[place]
    oracle = Ridge(alpha=setting["penalty"], fit_intercept=False, solver="svd")
    oracle.fit(training.draft.astype(np.float64), training.teacher.astype(np.float64))
    found = FAMILIES["ridge"].fit(training, setting)
    for transform in (found.query, found.index):
        check_transform(transform, OTHER, oracle.predict(OTHER))


@pytest.mark.parametrize("place", range(TRIES))
def test_affine_is_scikit_learns_and_centred_queries_lack_the_teachers_mean(place):
    training, setting = training_of(), FAMILIES["affine"].settings[place]
    oracle = Ridge(alpha=setting["penalty"], solver="svd")
    oracle.fit(training.draft.astype(np.float64), training.teacher.astype(np.float64))
    found, mean = FAMILIES["affine"].fit(training, setting), training.teacher.mean(axis=0)
    check_transform(found.index, OTHER, oracle.predict(OTHER))
    check_transform(found.query, OTHER, oracle.predict(OTHER) - setting["centred"] * mean)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("setting", FAMILIES["procrustes"].settings, ids=str)
def test_procrustes_is_scipys_with_factors_by_least_squares(shape, setting):
    training = training_of(*shape)
    x, y, of_draft, of_teacher = centred(training)
    if shape[1] == shape[2]:
        rotation = orthogonal_procrustes(x, y)[0]
    else:  # the polar factor, by an eigen-decomposition
        cross = x.T @ y
        gram = cross.T @ cross if shape[1] > shape[2] else cross @ cross.T
        values, basis = np.linalg.eigh(gram)
        root = basis @ np.diag(values**-0.5) @ basis.T
        rotation = cross @ root if shape[1] > shape[2] else root @ cross
    outputs = x @ rotation
    if setting["scaling"] == 1:
        rotation = rotation * np.linalg.lstsq(outputs.reshape(-1, 1), y.ravel())[0]
    if setting["scaling"] == 2:
        rotation = rotation * [np.linalg.lstsq(o[:, None], t)[0][0] for o, t in zip(outputs.T, y.T, strict=True)]
    found = FAMILIES["procrustes"].fit(training, setting)
    expected = (training.draft - of_draft) @ rotation
    check_transform(found.index, training.draft, expected + of_teacher)
    check_transform(found.query, training.draft, expected + (0 if setting["centred"] else of_teacher))


@pytest.mark.parametrize("shape", SHAPES)
def test_deshrunk_outputs_vary_as_the_teacher_does_along_each_of_ridges_directions(shape):
    training, setting = training_of(*shape), {"penalty": 10.0}
    x, y, _, of_teacher = centred(training)
    ridge = x @ Ridge(alpha=10.0, fit_intercept=False, solver="svd").fit(x, y).coef_.T
    _, singular, directions = np.linalg.svd(ridge, full_matrices=False)
    kept = directions[singular > 1e-9 * singular[0]]
    factors = [np.sqrt(((y @ v) ** 2).sum() / ((ridge @ v) ** 2).sum()) for v in kept]
    expected = sum(factor * np.outer(ridge @ v, v) for factor, v in zip(factors, kept, strict=True))
    found = FAMILIES["deshrunk"].fit(training, setting)
    np.testing.assert_allclose(found.query(training.draft), expected, atol=1e-4)
    np.testing.assert_allclose(found.index(training.draft), expected + of_teacher, atol=1e-4)
    assert ((expected**2).sum() > 1.05 * (ridge**2).sum()).all()


def test_reversed_maps_the_teachers_side_as_scikit_learn_does():
    training, setting = training_of(), {"penalty": 1.0}
    x, _, of_draft, _ = centred(training)
    oracle = Ridge(alpha=1.0, solver="svd").fit(training.teacher.astype(np.float64), x)
    found = FAMILIES["reversed"].fit(training, setting)
    check_transform(found.teacher_index, training.teacher, oracle.predict(training.teacher))
    check_transform(found.teacher_query, training.teacher, oracle.predict(training.teacher))
    for transform in (found.query, found.index):
        check_transform(transform, OTHER, OTHER - of_draft)
    assert found.sides(QUERY_ADAPTER) == (found.query, found.teacher_index)
    assert found.sides(INDEX_MIGRATION) == (found.teacher_query, found.index)


@pytest.mark.parametrize("share", [0.125, 0.25, 0.5])
def test_reduced_rank_is_ridge_on_the_first_directions_of_its_outputs(share):
    training = training_of(200, 16, 20)
    x, y, _, of_teacher = centred(training)
    ridge = x @ Ridge(alpha=0.1, fit_intercept=False, solver="svd").fit(x, y).coef_.T
    left, singular, right = np.linalg.svd(ridge, full_matrices=False)
    rank = round(16 * share)
    expected = (left[:, :rank] * singular[:rank]) @ right[:rank]
    found = FAMILIES["lowrank"].fit(training, {"share": share, "penalty": 0.1, "centred": 0})
    check_transform(found.index, training.draft, expected + of_teacher)
    assert np.linalg.matrix_rank(found.query.weights, tol=1e-4) == rank


@pytest.mark.parametrize("setting", FAMILIES["kernel"].settings, ids=str)
def test_kernel_ridge_is_scikit_learns(setting):
    training = training_of(60)
    x, y = training.draft.astype(np.float64), training.teacher.astype(np.float64)
    width = setting["width"] * np.median(pdist(x, "sqeuclidean")) ** 0.5
    oracle = KernelRidge(alpha=setting["penalty"], kernel="rbf", gamma=1 / (2 * width**2)).fit(x, y - y.mean(axis=0))
    found = FAMILIES["kernel"].fit(training, setting)
    np.testing.assert_allclose(found.query(OTHER), oracle.predict(OTHER), atol=1e-4)
    np.testing.assert_allclose(found.index(OTHER), oracle.predict(OTHER) + y.mean(axis=0), atol=1e-4)


def test_kernel_ridge_of_more_items_uses_some_of_them_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr(kernel, "MOST_ANCHORS", 30)
    anchors = [
        FAMILIES["kernel"].fit(training_of(60, seed=seed), {"width": 1, "penalty": 0.1, "centred": 0})
        for seed in (1, 2)
    ]
    assert [len(found.query.anchors) for found in anchors] == [30, 30]
    assert not np.array_equal(anchors[0].query.anchors, anchors[1].query.anchors)


def infonce(z, t, temperature, same=None):
    """Symmetric InfoNCE as torch has it; of rows with one number in `same`, none is a negative of another."""
    logits = functional.normalize(z, dim=1) @ t.T / temperature
    target = torch.arange(len(z))
    if same is not None:
        equal = (same[:, None] == same[None]) & (target[:, None] != target)
        logits = torch.where(equal, -torch.inf, logits)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


@given(
    st.integers(2, 9), st.integers(1, 5), st.sampled_from([0.05, 0.1, 1.0]), st.sampled_from([None, 1, 4]), st.data()
)
def test_the_contrastive_gradient_is_that_of_autograd(batch, dimension, temperature, answers, data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    z, t = (torch.randn(batch, dimension, generator=generator, dtype=torch.float64) for _ in range(2))
    z, t = z.requires_grad_(), functional.normalize(t, dim=1)
    same = None if answers is None else torch.randint(answers, (batch,), generator=generator)
    (expected,) = torch.autograd.grad(infonce(z, t, temperature, same), z)
    found = trained._infonce_gradient(z.detach(), t, temperature, same)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def test_contrastive_training_lowers_its_loss_and_starts_from_ridge():
    training = training_of(120)
    fit = FAMILIES["contrastive"].fit
    t = torch.from_numpy(training.teacher)

    def loss(found):
        return float(infonce(torch.from_numpy(found.query(training.draft)), t, 0.1))

    setting = {"temperature": 0.1, "answers": 0.0, "steps": 0}
    start = fit(training, setting)
    ridge = FAMILIES["ridge"].fit(training, {"penalty": trained.PENALTY})
    np.testing.assert_allclose(start.query.weights, ridge.query.weights, atol=1e-6)
    assert loss(fit(training, setting | {"steps": 60})) < loss(start) - 0.01


def test_contrastive_training_on_answers_comes_nearer_to_them():
    training = training_of(120)
    turned = unit(training.teacher[:, ::-1] + training.teacher)
    judged = dataclasses.replace(training, answers=Answers(turned, np.arange(120)))
    setting = {"temperature": 0.1, "answers": 0.5, "steps": 60}

    def to_answers(training):
        outputs = FAMILIES["contrastive"].fit(training, setting).query(training.draft)
        return float(((outputs * turned).sum(axis=1) / np.linalg.norm(outputs, axis=1)).mean())

    assert to_answers(judged) > to_answers(training) + 0.02


def test_a_contrastive_batch_grows_with_the_texts_within_bounds(monkeypatch):
    sizes = []
    monkeypatch.setattr(trained, "batches", lambda n, size, seed: sizes.append(size) or batches(n, size, seed))
    for count in (100, 128, 8_000, 20_000, 90_000):
        vectors = np.tile(ROWS, (count // 12 + 1, 1))[:count]
        FAMILIES["contrastive"].fit(
            Training(vectors, vectors, names(count), 0, 1), FAMILIES["contrastive"].settings[0] | {"steps": 1}
        )
    assert sizes == [100, 128, 128, 312, 512]


def test_the_residual_network_starts_from_ridge_and_lowers_the_cosine_loss():
    training = training_of(120)
    ridge = FAMILIES["ridge"].fit(training, {"penalty": trained.PENALTY})
    start, end = (FAMILIES["residual"].fit(training, {"hidden": 16, "steps": steps}) for steps in (0, 50))
    np.testing.assert_allclose(start.query(OTHER), ridge.query(OTHER), atol=1e-6)

    def cosine(found):
        outputs = found.query(training.draft)
        return float(((outputs * training.teacher).sum(axis=1) / np.linalg.norm(outputs, axis=1)).mean())

    assert cosine(end) > cosine(start) + 1e-3


def test_the_cosine_family_is_the_memos_map_for_a_share_of_the_steps():
    training = training_of(steps=16)
    found = FAMILIES["cosine"].fit(training, {"share": 0.25})
    expected = train_map(training.draft, training.teacher, seed=0, steps=4).weights
    np.testing.assert_array_equal(found.query.weights, expected)


def arrays_of(found):
    sides = (found.query, found.index, found.teacher_query, found.teacher_index)
    return [array for side in sides for _, array in sorted(side.arrays().items())]


def light(name, training):
    """The map of a family's first try, of few steps where it has any."""
    setting = FAMILIES[name].settings[0]
    return FAMILIES[name].fit(training, setting | ({"steps": 5} if "steps" in setting else {}))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_seed_fixes_everything_and_closed_forms_need_none(name):
    same = [arrays_of(light(name, training_of(seed=3))) for _ in range(2)]
    for one, other in zip(*same, strict=True):
        np.testing.assert_array_equal(one, other)
    another = arrays_of(light(name, training_of(seed=4)))
    assert all(np.array_equal(a, b) for a, b in zip(same[0], another, strict=True)) == (name in CLOSED)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_as_many_tries_and_its_name(name):
    family = FAMILIES[name]
    assert family.name == name
    assert len(family.settings) == TRIES == len({tuple(sorted(setting.items())) for setting in family.settings})


CONSTANT = np.tile(unit(np.ones((1, 5))), (12, 1))
ROWS = unit(np.random.default_rng(1).standard_normal((12, 5)))
DEGENERATE = {
    "fewer rows than dimensions": (ROWS[:3], unit(ROWS[:3, ::-1] + 0.1)),
    "one row": (ROWS[:1], ROWS[1:2]),
    "one dimension": (np.sign(ROWS[:, :1]), np.sign(ROWS[:, 1:2])),
    "duplicate rows": (np.repeat(ROWS[:2], 6, axis=0), np.repeat(ROWS[2:4], 6, axis=0)),
    "a constant teacher": (ROWS, CONSTANT),
    "a constant draft": (CONSTANT, ROWS),
    "both constant": (CONSTANT, CONSTANT),
    "fewer dimensions of the teacher": (ROWS, unit(ROWS[:, :2])),
    "a dead dimension": (unit(ROWS * [1, 1, 1, 1, 0]), unit(ROWS * [0, 1, 1, 1, 1])),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("name", FAMILIES)
def test_degenerate_vectors_give_maps_that_are_finite(name, case):
    draft, teacher = DEGENERATE[case]
    family, training = FAMILIES[name], Training(draft, teacher, names(len(draft)), 0, 4)
    settings = family.settings if name in CLOSED else (family.settings[0] | {"steps": 3},)
    for setting in settings:
        found = family.fit(training, setting)
        assert all(np.isfinite(array).all() for array in arrays_of(found))
        assert np.isfinite(found.asked(QUERY_ADAPTER, draft, teacher)).all()
        assert np.isfinite(found.index(draft)).all()


def random_arrays(*shapes):
    rng = np.random.default_rng(len(shapes))
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_transforms_are_their_plain_formulas():
    x = np.concatenate([OTHER] * 700)  # more than one block
    weights, offset = random_arrays((8, 6), (8,))
    check_transform(Affine(weights, offset), x, [weights @ row + offset for row in x])
    anchors, coefficients, offset = random_arrays((4, 6), (4, 8), (8,))
    width = np.array([0.9], np.float32)
    kernels = np.exp(-((x[:, None] - anchors[None]) ** 2).sum(axis=2) / (2 * width**2))
    check_transform(Kernel(anchors, coefficients, offset, width), x, kernels @ coefficients + offset)
    parts = random_arrays((8, 6), (5, 6), (5,), (8, 5), (8,), (8,))
    weights, hidden, bias, outer, scale, offset = parts
    expected = [(weights @ row + outer @ np.maximum(hidden @ row + bias, 0)) * scale + offset for row in x]
    check_transform(Residual(*parts), x, expected)
    assert Unchanged()(x) is x


@pytest.mark.parametrize("name", FAMILIES)
def test_a_transform_is_made_again_of_what_it_is_stored_as(name):
    found = light(name, training_of())
    for side in (found.query, found.index, found.teacher_index):
        assert all(array.dtype == np.float32 for array in side.arrays().values())
        again = KINDS[side.kind](**side.arrays())
        vectors = OTHER if side is not found.teacher_index else training_of().teacher
        np.testing.assert_array_equal(again(vectors), side(vectors))
    kept = [side for side in found.sides(QUERY_ADAPTER) if side.kind != "unchanged"]
    assert found.size(QUERY_ADAPTER) == 4 * sum(array.size for side in kept for array in side.arrays().values())


def test_a_deployment_without_a_map_is_refused():
    with pytest.raises(ValueError, match="needs no map: choose one of query_adapter, index_migration"):
        Map().sides(DRAFT_ONLY)


def cosines(left, right):
    return unit(left.astype(np.float64)).astype(np.float64) @ unit(right.astype(np.float64)).astype(np.float64).T


@given(st.integers(1, 30), st.integers(1, 14), st.booleans(), st.integers(0, 999))
def test_hubness_is_the_mean_cosine_to_the_ten_nearest_queries(sampled, size, own, seed):
    rng = np.random.default_rng(seed)
    index, sample = (rng.standard_normal((count, 4)).astype(np.float32) for count in (size, sampled))
    rows = rng.permutation(np.r_[np.arange(size), np.full(sampled, -1)])[:sampled] if own else None
    expected = []
    for place, similar in enumerate(cosines(index, sample)):
        others = similar if rows is None else similar[rows != place]
        count = min(10, sampled - own)
        expected.append(np.sort(others)[::-1][:count].mean() if count else 0.0)
    np.testing.assert_allclose(hubness(Index(index), sample, rows), expected, atol=1e-5)


def test_csls_ranks_by_twice_the_cosine_less_both_sides_means():
    rng = np.random.default_rng(0)
    queries, index, sample = (rng.standard_normal((count, 5)).astype(np.float32) for count in (9, 40, 30))
    similar, to_sample = cosines(queries, index), cosines(index, sample)
    of_rows = np.sort(to_sample, axis=1)[:, -10:].mean(axis=1)
    of_queries = np.sort(similar, axis=1)[:, -10:].mean(axis=1)
    csls = 2 * similar - of_queries[:, None] - of_rows[None]
    found = without_hubs(Embedded(queries, index), sample).searched.similarity(queries).numpy()
    np.testing.assert_array_equal(np.argsort(-found, axis=1), np.argsort(-csls, axis=1))
    np.testing.assert_allclose(2 * found - of_queries[:, None], csls, atol=1e-5)


@pytest.fixture(scope="module")
def pair():
    return draw_pair(np.random.default_rng(0), WORLDS["shrinkage"])


@pytest.mark.parametrize("name", ["affine", "reversed", "kernel"])
def test_the_choice_never_looks_at_the_held_out_queries(pair, name):
    rng, test = np.random.default_rng(1), pair.holdout.test
    other = {}
    for side in ("draft", "teacher"):
        other[side] = getattr(pair, side).copy()
        other[side][test] = unit(rng.standard_normal(other[side][test].shape))
    changed = draw_pair(np.random.default_rng(0), WORLDS["shrinkage"])
    vars(changed).update(other)
    rows = pair.holdout.train[::3]
    before, after = (choose(FAMILIES[name], each, rows, DEPLOYMENTS) for each in (pair, changed))
    for deployment in DEPLOYMENTS:
        assert before[deployment].setting == after[deployment].setting
        assert before[deployment].tries == after[deployment].tries
        assert before[deployment].inner == after[deployment].inner
        for one, another in zip(*(arrays_of(each[deployment].map) for each in (before, after)), strict=True):
            np.testing.assert_array_equal(one, another)


def test_the_try_taken_is_the_best_on_inner_groups_fitted_again_on_all(pair):
    family, rows = FAMILIES["ridge"], pair.holdout.train[::2]
    inner = inner_split(pair.groups[rows])
    steps = DEFAULT.steps_for(len(pair.holdout.train))

    def fit(chosen, setting):
        return family.fit(Training(pair.draft[chosen], pair.teacher[chosen], pair.groups[chosen], 0, steps), setting)

    task = asked_by(pair, rows[inner.check], pair.holdout.train_documents)
    found = choose(family, pair, rows, DEPLOYMENTS)
    assert not set(pair.groups[rows[inner.check]]) & set(pair.groups[rows[inner.fit]])
    for deployment in DEPLOYMENTS:
        tries = []
        for setting in family.settings:
            vectors = fit(rows[inner.fit], setting).embedded(task, deployment)
            tries.append(np.nanmean(search_task(task, vectors).ndcg))
        assert found[deployment].tries == pytest.approx(tries)
        assert found[deployment].setting == family.settings[int(np.argmax(tries))]
        assert found[deployment].inner["plain"] == pytest.approx(max(tries))
        whole = fit(rows, found[deployment].setting)
        np.testing.assert_array_equal(found[deployment].map.index.weights, whole.index.weights)


def test_where_nothing_can_be_held_out_the_try_in_the_middle_is_taken(pair):
    family = FAMILIES["ridge"]
    found = choose(family, pair, pair.holdout.train[:1], (QUERY_ADAPTER,))[QUERY_ADAPTER]
    assert found.setting == family.settings[TRIES // 2]
    assert np.isnan(found.tries).all()


def test_both_searches_at_once_find_what_each_finds_alone(pair):
    task, sample = task_of(pair), sample_of(pair, pair.holdout.train)
    fitted = choose(FAMILIES["ridge"], pair, pair.holdout.train, [QUERY_ADAPTER])[QUERY_ADAPTER].map
    for deployment in DEPLOYMENTS:
        together = find_by_each(fitted, task, deployment, sample)
        assert not np.array_equal(together["plain"].ndcg, together["csls"].ndcg)
        for how, found in together.items():
            alone = find(fitted, task, deployment, sample, how)
            np.testing.assert_array_equal(found.ndcg, alone.ndcg)
            np.testing.assert_array_equal(found.returned, alone.returned)


def test_a_try_is_judged_among_few_documents_and_all_that_are_relevant(pair, monkeypatch):
    """Every tenth training query asks: each finds among fewer documents all that it would find among all of them."""
    monkeypatch.setattr(choosing, "MOST_SEARCHED", 20)
    asking, every = pair.holdout.train[::10], pair.holdout.train_documents
    few = choosing._index(pair, asked_by(pair, asking))
    assert 20 <= len(few) < len(every)
    counts = [asked_by(pair, asking, index).relevant for index in (few, every)]
    np.testing.assert_array_equal(*(each.stops - each.starts for each in counts))


def test_a_search_without_hubs_leaves_out_each_sampled_querys_own_row(pair):
    found = light("ridge", Training(pair.draft[:200], pair.teacher[:200], pair.groups[:200], 0, 10))
    task, sample = task_of(pair), sample_of(pair, pair.holdout.train)
    np.testing.assert_array_equal(pair.draft[sample.own], sample.draft)
    penalties = []
    for place in range(len(pair.items)):
        similar = cosines(pair.teacher[[place]], found.query(sample.draft))[0]
        penalties.append(np.sort(similar[sample.own != place])[-10:].mean() / 2)
    scores = cosines(found.query(task.draft.queries), pair.teacher) - np.array(penalties)
    nearest = [
        np.argmax(np.where(np.arange(len(row)) == own, -np.inf, row)) for row, own in zip(scores, task.own, strict=True)
    ]
    assert (find(found, task, QUERY_ADAPTER, sample, "csls").nearest == nearest).mean() > 0.99
