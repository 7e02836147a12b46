"""The reference maps against scikit-learn, the normal equations and penalties tried one by one."""

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from embalign.alignment import closed_form
from embalign.alignment.closed_form import PENALTIES, fit_procrustes, fit_ridge, mean_vector, solve_ridge
from embalign.alignment.inner import inner_split

pytestmark = pytest.mark.instrument


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def linear_task(items, dimension, targets, noise=0.3):
    """A noisy linear task of unit vectors."""
    generator = np.random.default_rng([items, dimension, targets])
    draft = generator.standard_normal((items, dimension))
    teacher = draft @ generator.standard_normal((dimension, targets)) / dimension**0.5
    return unit(draft), unit(teacher + noise * generator.standard_normal((items, targets)))


@pytest.fixture(scope="module")
def task():
    return linear_task(400, 12, 16, noise=0.05)


def peak_bytes(function, *arguments):
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def alone(count):
    """Names of so many groups, each of one item."""
    return np.array([f"{i:05d}" for i in range(count)])


def cosines_of_penalties(draft, teacher, groups):
    """Mean cosine on the inner groups of the map of each penalty, by least squares on penalised rows."""
    inner = inner_split(groups)
    x, y = draft[inner.fit].astype(np.float64), teacher[inner.fit].astype(np.float64)
    found = []
    for penalty in PENALTIES:
        rows = np.sqrt(penalty) * np.eye(x.shape[1])
        left, right = np.concatenate([x, rows]), np.concatenate([y, np.zeros((len(rows), y.shape[1]))])
        mapped = draft[inner.check].astype(np.float64) @ np.linalg.lstsq(left, right)[0]
        lengths = np.maximum(np.linalg.norm(mapped, axis=1), 1e-150)
        found.append(float(((mapped * teacher[inner.check]).sum(axis=1) / lengths).mean()))
    return np.array(found)


def degenerate_tasks():
    """Tasks by name on which sums of squares lose digits or an item alone decides a direction."""
    generator = np.random.default_rng(0)
    draws = generator.standard_normal
    alone = np.zeros((40, 8))
    alone[:, :7] = unit(draws((40, 7)))
    alone[3] = np.eye(8)[7]
    nearly_alone = unit(draws((40, 7)) @ draws((7, 8)))
    nearly_alone[3] = unit(draws((1, 8)))
    few, many = unit(draws((6, 8))), unit(draws((6, 30)))
    twelve = unit(draws((40, 12)))
    constant = draws(8), draws(80), draws(12)
    nearly_constant = [unit(each + 1e-3 * draws((40, len(each)))) for each in constant]
    return {
        "one item": (few[:1], twelve[:1]),
        "two items": (few[:2], twelve[:2]),
        "as many items as dimensions": (unit(draws((8, 8))), twelve[:8]),
        "one item more than dimensions": (unit(draws((9, 8))), twelve[:9]),
        "one target": (unit(draws((20, 8))), draws((20, 1)).astype(np.float32)),
        "rank 3 of 8": (unit(draws((40, 3)) @ draws((3, 8))), twelve),
        "a linear map without noise": (few[:5], few[:5]),
        "each item six times": (np.repeat(few, 6, axis=0), np.repeat(twelve[:6], 6, axis=0)),
        "each draft six times": (np.repeat(few, 6, axis=0), twelve[:36]),
        "each item four times, wide": (np.repeat(many, 4, axis=0), np.repeat(twelve[:6], 4, axis=0)),
        "each draft four times, wide": (np.repeat(many, 4, axis=0), twelve[:24]),
        "nearly constant": (nearly_constant[0], nearly_constant[2]),
        "nearly constant, wide": (nearly_constant[1], nearly_constant[2]),
        "constant": (np.repeat(few[:1], 40, axis=0), np.repeat(twelve[:1], 40, axis=0)),
        "leverage 1": (alone.astype(np.float32), twelve),
        "leverage near 1": (nearly_alone, twelve),
        "orthogonal": (np.eye(8, 20, dtype=np.float32), twelve[:8]),
        "zero draft": (np.zeros((20, 8), np.float32), twelve[:20]),
    }


@pytest.mark.parametrize(("name", "task"), degenerate_tasks().items(), ids=degenerate_tasks())
def test_the_penalty_is_that_of_the_highest_cosine_on_held_out_groups(name, task):
    groups = alone(len(task[0]))
    ridge = fit_ridge(*task, groups)
    if len(groups) > 1:
        cosines = cosines_of_penalties(*task, groups)
        assert cosines[PENALTIES.index(ridge.penalty)] == pytest.approx(cosines.max(), abs=1e-7)
    x, y = (side.astype(np.float64) for side in task)
    exact = np.linalg.solve(x.T @ x + ridge.penalty * np.eye(x.shape[1]), x.T @ y).T
    np.testing.assert_allclose(ridge.weights, exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "shape", [(30, 60, 90), (60, 60, 20), (70, 60, 90), (300, 40, 60), (300, 60, 40), (9000, 24, 32)]
)
def test_ridge_is_that_of_scikit_learn(shape):
    draft, teacher = (side.astype(np.float64) for side in linear_task(*shape))
    for penalty in PENALTIES:
        weights = solve_ridge(*linear_task(*shape), penalty)
        exact = Ridge(alpha=penalty, fit_intercept=False, solver="svd").fit(draft, teacher).coef_
        np.testing.assert_allclose(weights, exact, rtol=1e-5, atol=1e-6 * np.abs(exact).max())


def test_a_penalty_within_the_range_is_chosen():
    """So that the comparison by cosine is not one of the range's ends."""
    draft, teacher = linear_task(300, 40, 60)
    assert PENALTIES[0] < fit_ridge(draft, teacher, alone(300)).penalty < PENALTIES[-1]


def test_groups_that_share_noise_take_a_larger_penalty_than_single_items():
    """What the items of a group share helps those left out of it one by one, and no other group."""
    generator = np.random.default_rng(5)
    groups = np.repeat(alone(60), 10)
    centre = 2 * np.repeat(generator.standard_normal((60, 40)), 10, axis=0)
    draft, target = centre + generator.standard_normal((600, 40)), generator.standard_normal((40, 60))
    noise = np.repeat(generator.standard_normal((60, 60)), 10, axis=0)
    task = unit(draft), unit(draft @ target / 40**0.5 + 3 * noise)
    assert fit_ridge(*task, groups).penalty > fit_ridge(*task, alone(600)).penalty


def test_ridge_equals_the_normal_equations(task):
    draft, teacher = (side.astype(np.float64) for side in task)
    ridge = fit_ridge(*task, alone(len(draft)))
    expected = np.linalg.solve(draft.T @ draft + ridge.penalty * np.eye(12), draft.T @ teacher).T
    np.testing.assert_allclose(ridge.weights, expected, atol=1e-5)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("items", [8, 400])
def test_ridge_refuses_nan(task, items, side):
    broken = [each[:items].copy() for each in task]
    broken[side][3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit_ridge(*broken, alone(items))


def test_ridge_refuses_no_items(task):
    with pytest.raises(ValueError, match="at least one item"):
        fit_ridge(*(side[:0] for side in task), alone(0))


def test_memory_of_procrustes_does_not_grow_with_the_items():
    small, large = linear_task(10_000, 24, 32), linear_task(60_000, 24, 32)
    fit_procrustes(*small)
    assert peak_bytes(fit_procrustes, *large) < 1.1 * peak_bytes(fit_procrustes, *small)


def test_memory_of_ridge_grows_by_the_names_of_groups_alone():
    """That is by less than a hundred bytes an item, whatever its dimensions."""

    def peak(items):
        task = *linear_task(items, 24, 32), np.resize(alone(50), items)
        fit_ridge(*task)
        return peak_bytes(fit_ridge, *task)

    assert peak(60_000) < 1.1 * peak(10_000) + 100 * 50_000


def test_memory_of_the_mean_vector_does_not_grow_with_the_items():
    assert peak_bytes(mean_vector, linear_task(60_000, 24, 32)[1]) < 2**20


def test_procrustes_recovers_a_rotation():
    generator = np.random.default_rng(2)
    rotation, _ = np.linalg.qr(generator.standard_normal((9, 9)))
    draft = generator.standard_normal((50, 6)).astype(np.float32)
    weights = fit_procrustes(draft, (draft @ rotation[:6]).astype(np.float32))
    np.testing.assert_allclose(weights, rotation[:6].T, atol=1e-5)


def test_procrustes_of_many_blocks_is_that_of_one(monkeypatch, task):
    one = fit_procrustes(*task)
    monkeypatch.setattr(closed_form, "BLOCK", 7)
    np.testing.assert_allclose(fit_procrustes(*task), one, atol=1e-6)


def test_mean_vector_has_the_highest_mean_cosine(task):
    _, teacher = task
    best = mean_vector(teacher)
    assert np.linalg.norm(best) == pytest.approx(1)
    others = np.random.default_rng(3).standard_normal((50, 16))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert ((teacher @ others.T).mean(axis=0) <= (teacher @ best).mean()).all()
