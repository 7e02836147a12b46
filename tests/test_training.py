"""The training loop and the fast matrix product."""

import numpy as np
import pytest
import torch
from plain_losses import PLAIN

from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.gemm import LARGEST_RELATIVE_ERROR, probe_relative_error, use_fast_gemm
from embalign.alignment.setting import Setting
from embalign.alignment.terms import ARMS, make_term
from embalign.alignment.training import apply_map, initial_map, train_map
from embalign.errors import CellError, TrainingDivergedError
from embalign.experiments.arms import Arm, train_arm

pytestmark = pytest.mark.instrument


@pytest.fixture(scope="module")
def task():
    """A linear task with little noise: 400 items, 12 to 16 dimensions, unit length on both sides."""
    generator = np.random.default_rng(0)
    draft = generator.standard_normal((400, 12))
    teacher = draft @ generator.standard_normal((12, 16)) + 0.05 * generator.standard_normal((400, 16))
    return tuple((side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32) for side in (draft, teacher))


def mean_cosine(weights, draft, teacher):
    mapped = apply_map(weights, draft)
    return float(((mapped / np.linalg.norm(mapped, axis=1, keepdims=True)) * teacher).sum(axis=1).mean())


def test_training_recovers_a_linear_map(task):
    trained = train_map(*task, seed=0, config=TrainingConfig(steps=300, learning_rate=1e-2))
    assert mean_cosine(trained.weights, *task) > 0.99
    assert trained.final_loss < 0.02
    assert trained.gradient_ratio == 0


def test_checkpoints_are_the_map_on_its_way(task):
    trained = train_map(*task, seed=0, steps=20, checkpoints=(5, 20))
    assert sorted(trained.checkpoints) == [5, 20]
    assert trained.checkpoints[20].tobytes() == trained.weights.tobytes()
    assert mean_cosine(trained.checkpoints[5], *task) < mean_cosine(trained.weights, *task)


def test_a_seed_fixes_the_map_to_the_bit(task):
    first, again, other = (train_map(*task, seed=seed).weights for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def reference_loop(draft, teacher, seed, config, steps, added):
    """The same training as a plain script writes it: autograd, default matrix products."""
    x, t = torch.from_numpy(draft), torch.from_numpy(teacher)
    weights = torch.from_numpy(initial_map(t.shape[1], x.shape[1], seed)).requires_grad_()
    optimizer = torch.optim.AdamW([weights], lr=config.learning_rate, weight_decay=config.weight_decay)
    warmup = max(1, round(config.warmup_share * steps))
    scale = [
        (i + 1) / warmup if i < warmup else 0.5 * (1 + np.cos(np.pi * (i - warmup) / (steps - warmup)))
        for i in range(steps)
    ]
    generator, passes = np.random.default_rng([seed, 2]), -(-steps * config.batch_size // len(x))
    order = np.concatenate([generator.permutation(len(x)) for _ in range(passes)])
    for step in range(steps):
        rows = order[step * config.batch_size : (step + 1) * config.batch_size]
        optimizer.param_groups[0]["lr"] = config.learning_rate * scale[step]
        optimizer.zero_grad()
        z = x[rows] @ weights.T
        (PLAIN["cosine"](z, t[rows]) + added(z, t[rows])).backward()
        optimizer.step()
    return weights.detach().numpy()


def definition(arm, scale):
    """What an arm adds to the cosine loss, as a plain script writes it, for draw 1 of seed 0."""
    spectral = PLAIN["ortho" if scale == "unit" else "spectral"]
    generator = np.random.default_rng([0, 3])
    rotation = torch.linalg.qr(torch.from_numpy(generator.spawn(2)[1].standard_normal((16, 16)))).Q.float()
    for _ in range(2):
        order, signs = generator.permutation(16), torch.from_numpy(generator.choice([-1.0, 1.0], 16)).float()
    loss = {
        "baseline": lambda z, t: 0 * z.sum(),
        "spectral": spectral,
        "signed_permutation": lambda z, t: spectral(z[:, order] * signs, t[:, order] * signs),
        "rotation": lambda z, t: spectral(z @ rotation, t @ rotation),
        "norm_only": PLAIN["norm"],
        "mse": PLAIN["mse"],
        "phase": PLAIN["phase"],
        "scrambled_phase": lambda z, t: PLAIN["phase"](z[:, order] * signs, t[:, order] * signs),
        "shrink": PLAIN["shrink"],
    }[arm]
    unit = torch.nn.functional.normalize
    return (lambda z, t: loss(unit(z), unit(t))) if scale == "unit" else loss


@pytest.mark.parametrize("scale", ["raw", "unit"])
@pytest.mark.parametrize("arm", ARMS)
def test_each_arm_trains_as_its_definition_says(task, arm, scale):
    """Closed-form steps follow the same path as autograd on the definitions."""
    config = TrainingConfig(steps=40, learning_rate=3e-3)
    trained = train_map(*task, seed=0, config=config, term=make_term(arm, 0.3, dimension=16, scale=scale, draw=1))
    added = definition(arm, scale)
    expected = reference_loop(*task, 0, config, 40, lambda z, t: 0.3 * added(z, t))
    np.testing.assert_allclose(trained.weights, expected, atol=2e-4)
    assert (trained.gradient_ratio > 0) == (arm != "baseline")


def test_a_gradient_ratio_is_the_share_of_the_terms_gradient_after_warm_up(smollm2):
    """Its weight is found where the cosine loss alone has led, so with a strong term the share is only near."""
    trained, weight = train_arm(smollm2, Arm("mse", Setting.named("raw_gradient_ratio", 0.01)), 0, DEFAULT)
    assert trained.gradient_ratio == pytest.approx(0.01, rel=0.02)
    by_lambda, same = train_arm(smollm2, Arm("mse", Setting.named("raw", weight)), 0, DEFAULT)
    assert same == weight
    assert by_lambda.weights.tobytes() == trained.weights.tobytes()


def test_a_gradient_ratio_of_a_term_without_a_gradient_is_refused(smollm2):
    with pytest.raises(CellError, match="norm_only has no gradient on unit vectors"):
        train_arm(smollm2, Arm("norm_only", Setting.named("unit_gradient_ratio", 0.1)), 0, DEFAULT)


def test_the_baseline_trains_without_a_term(smollm2):
    trained, weight = train_arm(smollm2, Arm("baseline", Setting.named("none", 0.0)), 0, DEFAULT)
    assert (weight, trained.gradient_ratio) == (0.0, 0.0)


def test_a_batch_is_full_however_few_the_items(task):
    """It runs on into the next pass, and the next: the size of a batch is the same at every share of the data."""
    few = [side[:20] for side in task]
    config = TrainingConfig(steps=40, learning_rate=3e-3)
    trained = train_map(*few, seed=0, config=config)
    np.testing.assert_allclose(trained.weights, reference_loop(*few, 0, config, 40, lambda z, t: 0), atol=2e-4)


def test_divergence_is_reported_with_its_step(task):
    draft, teacher = task
    far = TrainingConfig(initial_scale=1e6)  # products with so large a map overflow
    with pytest.raises(TrainingDivergedError, match="after step 50 of 400"):
        train_map(draft * np.float32(1e37), teacher, seed=0, config=far)


def test_epoch_budget_passes_over_a_subset_as_often_as_over_the_pool():
    config = TrainingConfig(steps=400, passes=5, batch_size=64)
    assert config.steps_for_epochs(2240, 2240) == 400
    assert config.steps_for_epochs(1120, 2240) == 200
    assert config.steps_for_epochs(3, 2240) == 1


@pytest.mark.parametrize("pool", [1, 5120, 5121, 7219, 100_000])
def test_fixed_steps_pass_the_pool_five_times_at_least(pool):
    config = TrainingConfig(steps=400, passes=5, batch_size=64)
    steps = config.steps_for(pool)
    assert config.draws_over_n(steps, pool) >= 5
    assert steps == 400 or config.draws_over_n(steps - 1, pool) < 5


def test_a_start_sets_scale_and_learning_rate(task):
    """The linear start is what torch.nn.Linear draws: uniform in +-1/sqrt(inputs)."""
    linear = DEFAULT.started("linear")
    assert (linear.initial_scale, linear.learning_rate) == (1.0, 1e-3)
    assert DEFAULT.started("small") == DEFAULT
    small, large = (initial_map(40, 25, 3, config.initial_scale) for config in (DEFAULT, linear))
    np.testing.assert_allclose(100 * small, large, rtol=1e-5)
    assert np.abs(large).max() == pytest.approx(1 / 5, rel=0.01)
    with pytest.raises(ValueError, match="start 'large' is unknown: choose one of small, linear"):
        DEFAULT.started("large")


def test_fast_product_is_used_only_if_accurate():
    use_fast_gemm()
    assert probe_relative_error() <= LARGEST_RELATIVE_ERROR
    assert torch.get_num_threads() == 1


def test_inaccurate_product_falls_back(monkeypatch):
    """On a CPU where the fast route loses accuracy the default is restored."""
    from embalign.alignment import gemm

    before = torch.backends.mkldnn.matmul.fp32_precision
    monkeypatch.setattr(gemm, "probe_relative_error", lambda: 3e-3)
    gemm.use_fast_gemm.cache_clear()
    assert gemm.use_fast_gemm() is False
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    gemm.use_fast_gemm.cache_clear()
