"""The terms that arms add: what they are of, how they are scrambled, their settings, and terms of one's own."""

import dataclasses

import numpy as np
import pytest
import torch

from embalign.alignment.losses import Loss, mse_loss, phase_loss, spectral_loss
from embalign.alignment.setting import CONVENTIONS, Setting
from embalign.alignment.terms import ARMS, make_term
from embalign.lazy import lazy

pytestmark = pytest.mark.instrument

TERMS = [arm for arm in ARMS if arm != "baseline"]


def vectors(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def halved_mse():
    """A loss of one's own."""

    def value_and_gradient(z, target):
        batch, d = z.shape[-2:]
        return (z - target).square().mean((-2, -1)) / 2, (z - target) / (batch * d)

    return Loss(lambda teacher: teacher, value_and_gradient)


@pytest.mark.parametrize("d", [15, 16])
@pytest.mark.parametrize("scale", ["raw", "unit"])
@pytest.mark.parametrize("arm", [*TERMS, halved_mse])
def test_the_step_of_the_loop_is_the_gradient_that_autograd_gives(arm, scale, d):
    """The loop prepares all teachers once and takes rows; autograd goes through the loss as a function."""
    loss = make_term(arm, 1.0, dimension=d, scale=scale, seed=1).loss
    teacher, rows, z = vectors(9, d), torch.tensor([4, 1, 7]), vectors(3, d, seed=1).requires_grad_()
    value, gradient = loss.value_and_gradient(z.detach(), loss.prepare(teacher)[rows])
    published = loss(z, teacher[rows])
    published.backward()
    torch.testing.assert_close(value, published.detach())
    torch.testing.assert_close(gradient, z.grad)


@pytest.mark.parametrize("d", [5, 6])
@pytest.mark.parametrize("scale", ["raw", "unit"])
@pytest.mark.parametrize("arm", TERMS)
def test_every_term_has_the_gradient_of_its_own_value(arm, scale, d):
    s, t = vectors(2, 2, 3, d).requires_grad_()
    assert torch.autograd.gradcheck(make_term(arm, 1.0, dimension=d, scale=scale, seed=1).loss, (s, t))


@pytest.mark.parametrize(("scale", "norm"), [("raw", "backward"), ("unit", "ortho")])
def test_signed_permutation_is_the_spectral_loss_on_scrambled_dimensions(scale, norm):
    z, t = vectors(2, 8, 16)
    generator = np.random.default_rng([5, 3])
    order = torch.from_numpy(generator.permutation(16))
    signs = torch.from_numpy(generator.choice([-1.0, 1.0], 16))
    expected = spectral_loss(z[:, order] * signs, t[:, order] * signs, convention=scale, norm=norm)
    torch.testing.assert_close(
        make_term("signed_permutation", 1.0, dimension=16, scale=scale, seed=5).loss(z, t), expected
    )


def test_scrambled_phase_is_the_phase_loss_on_the_dimensions_that_signed_permutation_scrambles():
    """One draw makes both controls, so that a claim on amplitudes and one on phases have the same scrambling."""
    z, t = vectors(2, 8, 16)
    generator = np.random.default_rng([5, 3])
    order = torch.from_numpy(generator.permutation(16))
    signs = torch.from_numpy(generator.choice([-1.0, 1.0], 16))
    found = make_term("scrambled_phase", 1.0, dimension=16, seed=5).loss(z, t)
    torch.testing.assert_close(found, phase_loss(z[:, order] * signs, t[:, order] * signs))
    assert abs(found - phase_loss(z, t)) > 1e-3


@pytest.mark.parametrize(("scale", "norm"), [("raw", "backward"), ("unit", "ortho")])
def test_rotation_is_the_spectral_loss_of_rotated_vectors(scale, norm):
    z, t = vectors(2, 8, 16)
    basis = np.random.default_rng([5, 3]).spawn(1)[0].standard_normal((16, 16))
    rotation = torch.from_numpy(np.linalg.qr(basis).Q.astype(np.float32)).double()
    expected = spectral_loss(z @ rotation, t @ rotation, convention=scale, norm=norm)
    found = make_term("rotation", 1.0, dimension=16, scale=scale, seed=5).loss(z, t)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("arm", ["signed_permutation", "rotation", "scrambled_phase"])
def test_draws_and_seeds_scramble_differently_and_a_draw_repeats(arm):
    teacher = vectors(4, 16)
    targets = [
        make_term(arm, 1.0, dimension=16, seed=seed, draw=draw).loss.prepare(teacher)
        for seed, draw in ((5, 0), (5, 1), (5, 2), (6, 1), (5, 1))
    ]
    assert torch.equal(targets[1], targets[4])
    for i in range(4):
        assert not any(torch.allclose(targets[i], targets[j]) for j in range(i))


@pytest.mark.parametrize("arm", ["signed_permutation", "rotation", "scrambled_phase"])
def test_the_first_draw_of_seed_zero_is_the_default(arm):
    teacher = vectors(4, 16)
    given, default = (
        make_term(arm, 1.0, dimension=16, **chosen).loss.prepare(teacher) for chosen in ({"seed": 0, "draw": 0}, {})
    )
    assert torch.equal(given, default)


@pytest.mark.parametrize("scale", ["raw", "unit"])
@pytest.mark.parametrize("arm", [arm for arm in TERMS if arm != "shrink"])  # which has no length to aim at
def test_every_term_vanishes_on_the_teacher_itself(arm, scale):
    teacher = vectors(4, 16, dtype=torch.float32)
    loss = make_term(arm, 1.0, dimension=16, scale=scale, seed=2).loss
    value, slope = loss.value_and_gradient(teacher, loss.prepare(teacher))
    assert abs(value) < 1e-6
    assert slope.abs().max() < 1e-5


@pytest.mark.parametrize("arm", TERMS)
def test_terms_at_unit_scale_do_not_see_lengths(arm):
    z, t = vectors(2, 4, 6)
    loss = make_term(arm, 1.0, dimension=6, scale="unit").loss
    torch.testing.assert_close(loss(3 * z, t / 2), loss(z, t))


def test_the_weight_is_the_one_given_and_the_baseline_has_no_term():
    assert make_term("spectral", 0.25, dimension=4).weight == 0.25
    assert make_term("baseline", 0.25, dimension=4) is None


def test_what_a_term_is_made_from_is_given_by_name():
    with pytest.raises(TypeError):
        make_term("mse", 0.25, 4)


def test_terms_and_losses_do_not_change_once_made():
    term = make_term("mse", 0.25, dimension=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        term.weight = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        term.loss.prepare = None


def test_a_term_of_ones_own_is_a_loss_or_a_function_or_a_reference_to_one():
    z, t = vectors(2, 4, 6)
    for arm in (halved_mse(), halved_mse, lazy(__name__).halved_mse):
        term = make_term(arm, 2.0, dimension=6)
        assert term.weight == 2
        torch.testing.assert_close(term.loss(z, t), mse_loss(z, t) / 2)


def test_a_function_that_returns_no_loss_is_named():
    with pytest.raises(TypeError, match=r"function vectors.* no Loss"):
        make_term(lambda: vectors, 0.1, dimension=4)


def test_unknown_arm_and_scale_are_named():
    with pytest.raises(ValueError, match=r"'spectrum'.*" + ARMS[0]):
        make_term("spectrum", 0.1, dimension=4)
    with pytest.raises(ValueError, match=r"'row'.*'raw'"):
        make_term("spectral", 0.1, dimension=4, scale="row")


@pytest.mark.parametrize(
    ("convention", "scale", "by", "fft_norm", "sees_norm", "label"),
    [
        ("none", "raw", "none", "backward", True, "λ 0.05, raw"),
        ("raw", "raw", "lambda", "backward", True, "λ 0.05, raw"),
        ("unit", "unit", "lambda", "ortho", False, "λ 0.05, unit"),
        ("raw_gradient_ratio", "raw", "gradient_ratio", "backward", True, "gradient ratio 0.05, raw"),
        ("unit_gradient_ratio", "unit", "gradient_ratio", "ortho", False, "gradient ratio 0.05, unit"),
    ],
)
def test_a_setting_is_what_its_published_name_says(convention, scale, by, fft_norm, sees_norm, label):
    setting = Setting.named(convention, 0.05)
    assert setting == Setting(scale, by, 0.05)
    assert (setting.convention, setting.fft_norm, setting.sees_norm) == (convention, fft_norm, sees_norm)
    assert setting.label == label


def test_each_name_is_one_setting():
    assert len(set(CONVENTIONS.values())) == len(CONVENTIONS) == 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        Setting.named("raw", 0.1).strength = 1


def test_unknown_convention_is_named():
    with pytest.raises(ValueError, match=r"'raw_ratio'.*raw_gradient_ratio"):
        Setting.named("raw_ratio", 0.1)
