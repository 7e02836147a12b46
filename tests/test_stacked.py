"""Trainings done as one stack: each is what it is alone."""

import dataclasses

import numpy as np
import pytest
import torch

from embalign.alignment import memory, stacked, training
from embalign.alignment.config import TrainingConfig
from embalign.alignment.stacked import Order, Training, batches, batches_of
from embalign.alignment.step import AdamW
from embalign.alignment.terms import ARMS, make_term
from embalign.alignment.training import train_map, train_together
from embalign.errors import LossError, TrainingDivergedError
from embalign.pairs.picked import Picked

CONFIG = TrainingConfig(batch_size=16, learning_rate=1e-3)


@pytest.fixture(scope="module")
def sides(smollm2):
    """Draft (600, 40) and teacher (600, 56) of real embeddings, of length 1."""
    drawn = smollm2.draft[:600, :40], smollm2.teacher[:600, :56]
    return tuple((side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32) for side in drawn)


def asked(draft, teacher, seed, steps=120, term=None, checkpoints=()):
    return Training(draft, teacher, seed, CONFIG, steps, term, checkpoints, "cpu")


def alone(each):
    return train_map(
        each.draft,
        each.teacher,
        seed=each.seed,
        config=each.config,
        steps=each.steps,
        term=each.term,
        checkpoints=each.checkpoints,
    )


def distance(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def assert_same(found, expected):
    assert distance(found.weights, expected.weights) < 1e-5
    assert found.final_loss == pytest.approx(expected.final_loss, abs=1e-5)
    assert found.gradient_ratio == pytest.approx(expected.gradient_ratio, rel=1e-4)
    assert found.checkpoints.keys() == expected.checkpoints.keys()
    for step, weights in expected.checkpoints.items():
        assert distance(found.checkpoints[step], weights) < 1e-5


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("scale", ["raw", "unit"])
def test_each_of_a_stack_is_what_it_is_alone(sides, arm, scale):
    """Of shares of a pool of other sizes, other seeds, and other checkpoints."""
    term = make_term(arm, 0.1, dimension=56, scale=scale, seed=4)
    rng = np.random.default_rng(1)
    trainings = []
    for seed, count in enumerate((5, 90, 600)):
        rows = rng.permutation(600)[:count]
        trainings.append(asked(*(Picked(side, rows) for side in sides), seed, term=term, checkpoints={seed + 1, 77}))
    assert len({each.group for each in trainings}) == 1
    for found, each in zip(train_together(trainings), trainings, strict=True):
        assert_same(found, alone(each))


def test_arrays_of_their_own_are_stacked_too(sides):
    trainings = [asked(*(side[start : start + 50] for side in sides), 3) for start in (0, 50, 200)]
    for found, each in zip(train_together(trainings), trainings, strict=True):
        assert_same(found, alone(each))


def test_each_may_see_other_dimensions_of_the_teacher(sides):
    draft, teacher = sides
    rows = np.arange(100)
    columns = np.arange(0, 56, 2), np.arange(1, 56, 2)
    trainings = [asked(Picked(draft, rows), Picked(teacher, rows, each), 0) for each in columns]
    for found, each in zip(train_together(trainings), trainings, strict=True):
        assert found.weights.shape == (28, 40)
        assert_same(found, alone(each))


def test_one_that_diverges_does_so_alone(sides):
    draft, teacher = sides
    far = np.where(np.arange(600)[:, None] == 7, np.float32(np.nan), draft)
    trainings = [asked(draft, teacher, 0), asked(far, teacher, 0), asked(draft, teacher, 1)]
    first, failed, last = train_together(trainings)
    assert isinstance(failed, TrainingDivergedError)
    assert "after step 50 of 120" in str(failed)
    for found, each in ((first, trainings[0]), (last, trainings[2])):
        assert_same(found, alone(each))


def test_a_loss_that_cannot_be_stacked_is_trained_alone(sides):
    """And one that fails raises for its own training what it raises alone."""

    def flat(z_s, z_t):
        return (z_s - z_t).abs().mean()  # over all: of a stack, no value for each

    term = make_term(flat, 0.1, dimension=56)
    trainings = [asked(*sides, seed, steps=20, term=term) for seed in (0, 1)]
    for found, each in zip(train_together(trainings), trainings, strict=True):
        assert np.array_equal(found.weights, alone(each).weights)
    bad = make_term(lambda z_s, z_t: z_s.detach().sum((-2, -1)), 0.1, dimension=56)
    found = train_together([dataclasses.replace(each, term=bad) for each in trainings])
    assert [type(each) for each in found] == [LossError, LossError]


def test_memory_that_does_not_suffice_halves_the_stack(sides, monkeypatch):
    trainings = [asked(*sides, seed, steps=30) for seed in range(5)]
    expected = train_together(trainings)
    sizes, start = [], training._start

    def short_of_memory(some):
        sizes.append(len(some))
        if len(some) > 2:
            raise MemoryError
        return start(some)

    monkeypatch.setattr(training, "_start", short_of_memory)
    for found, each in zip(train_together(trainings), expected, strict=True):
        assert_same(found, each)
    assert sizes == [5, 2, 3, 1, 2]


def test_no_more_are_stacked_than_memory_holds(sides, monkeypatch):
    one = asked(*sides, 0)
    monkeypatch.setattr(memory, "ON_CPU", 10 * 4 * (4 * 40 * 56 + 16 * (80 + 8 * 56)))
    assert one.most == 10
    monkeypatch.setattr(stacked, "OF_RESULTS", 4 * 40 * 56 * 9)
    assert dataclasses.replace(one, checkpoints=(5, 6)).most == 3
    monkeypatch.setattr(memory, "ON_CPU", 0)
    assert one.most == 1


def test_what_cannot_be_one_has_another_group_or_name(sides):
    one = asked(*sides, 0)
    others = {
        "seed": (1, "name"),
        "checkpoints": ((3,), "name"),
        "draft": (sides[0].copy(), "name"),
        "steps": (7, "group"),
        "config": (TrainingConfig(batch_size=8), "group"),
        "term": (make_term("mse", 0.1, dimension=56), "group"),
        "device": ("cuda", "group"),
    }
    for field, (value, differs) in others.items():
        other = dataclasses.replace(one, **{field: value})
        assert (other.name == one.name, other.group == one.group) == (differs == "group", differs == "name")
    rows = np.arange(20)
    same = [asked(*(Picked(side, rows.copy()) for side in sides), 0) for _ in range(2)]
    assert same[0].name == same[1].name


@pytest.mark.parametrize("shape", [(6, 4), (3, 6, 4)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_a_step_is_that_of_torchs_own_adamw(shape, weight_decay):
    generator = torch.Generator().manual_seed(0)
    mine = torch.randn(shape, generator=generator)
    theirs, gradient = mine.clone(), torch.empty(shape)
    theirs.grad = torch.empty(shape)
    own = AdamW(mine, gradient, weight_decay)
    of_torch = torch.optim.AdamW([theirs], lr=1.0, weight_decay=weight_decay, fused=True)
    for step in range(5):
        gradient.copy_(torch.randn(shape, generator=generator))
        theirs.grad.copy_(gradient)
        own.step(0.1 / (step + 1))
        of_torch.param_groups[0]["lr"] = 0.1 / (step + 1)
        of_torch.step()
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("n", "size"), [(1, 4), (10, 4), (10, 10), (7, 100), (1000, 16)])
def test_batches_take_one_permutation_after_another(n, size):
    order = Order(n, 5).take(40 * size)
    for start in range(0, len(order) - n, n):
        assert sorted(order[start : start + n]) == list(range(n))
    drawn = batches(n, size, 5)
    assert np.array_equal(order, np.concatenate([next(drawn).numpy() for _ in range(40)]))
    one = asked(np.zeros((n, 2), np.float32), np.zeros((n, 2), np.float32), 5, steps=300)
    rows = [each.numpy() for each in batches_of([dataclasses.replace(one, config=TrainingConfig(batch_size=size))])]
    assert len(rows) == 300
    assert np.array_equal(np.concatenate(rows[:40]), order)
