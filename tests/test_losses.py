"""The losses against NumPy and against what mathematics says of them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import vector_pairs

from embalign.alignment import gradients, losses
from embalign.alignment.losses import cosine_loss, mse_loss, norm_loss, spectral_loss

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def numpy_spectral(s, t, norm):
    magnitudes = [np.abs(np.fft.rfft(side.numpy(), axis=1, norm=norm)) for side in (s, t)]
    return ((magnitudes[0] - magnitudes[1]) ** 2).mean()


@given(vector_pairs(), st.sampled_from(["backward", "ortho"]))
def test_spectral_loss_equals_numpy(pair, norm):
    s, t = pair
    torch.testing.assert_close(spectral_loss(s, t, norm=norm).item(), numpy_spectral(s, t, norm), **CLOSE)


@given(vector_pairs())
def test_spectral_loss_is_symmetric_and_not_negative(pair):
    s, t = pair
    assert spectral_loss(s, t) >= 0
    torch.testing.assert_close(spectral_loss(s, t), spectral_loss(t, s), **CLOSE)


@given(vector_pairs(), st.floats(-3, 3))
def test_spectral_loss_grows_with_the_square_of_a_common_factor(pair, factor):
    s, t = pair
    torch.testing.assert_close(spectral_loss(factor * s, factor * t), factor**2 * spectral_loss(s, t), **CLOSE)


@given(vector_pairs(), st.integers(0, 8))
def test_spectral_loss_does_not_see_shift_reversal_or_sign(pair, shift):
    s, t = pair
    expected = spectral_loss(s, t)
    for moved in (s.roll(shift, dims=1), s.flip(1), -s):
        torch.testing.assert_close(spectral_loss(moved, t), expected, **CLOSE)


def test_spectral_loss_sees_a_shared_permutation_and_sign_flips():
    """The dimensions' order matters to it, which is why the signed permutation is a control."""
    generator = torch.Generator().manual_seed(0)
    s, t = torch.randn(8, 32, generator=generator), torch.randn(8, 32, generator=generator)
    order = torch.randperm(32, generator=generator)
    signs = torch.where(torch.rand(32, generator=generator) < 0.5, -1.0, 1.0)
    before = spectral_loss(s, t)
    assert not torch.isclose(spectral_loss(s[:, order], t[:, order]), before, rtol=1e-3)
    assert not torch.isclose(spectral_loss(s * signs, t * signs), before, rtol=1e-3)


@given(vector_pairs())
def test_spectral_loss_is_bounded_by_the_mean_squared_error(pair):
    """L <= d^2/K * MSE with the backward norm and d/K * MSE with the ortho norm, K = floor(d/2) + 1."""
    s, t = pair
    d = s.shape[1]
    bins = d // 2 + 1
    mse = mse_loss(s, t).item()
    assert spectral_loss(s, t).item() <= d**2 / bins * mse * (1 + 1e-9) + 1e-12
    assert spectral_loss(s, t, norm="ortho").item() <= d / bins * mse * (1 + 1e-9) + 1e-12


@given(vector_pairs())
def test_one_objective_in_both_scalings_differs_by_the_dimension(pair):
    s, t = pair
    torch.testing.assert_close(spectral_loss(s, t), s.shape[1] * spectral_loss(s, t, norm="ortho"), **CLOSE)


@given(vector_pairs(), st.sampled_from([cosine_loss, norm_loss, mse_loss, spectral_loss]))
def test_gradients_are_finite_everywhere(pair, loss):
    s, t = pair
    for dtype in (torch.float64, torch.float32):
        z = s.to(dtype).clone().requires_grad_()
        loss(z, t.to(dtype)).backward()
        assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-30, 1e15])
@pytest.mark.parametrize("convention", ["raw", "unit"])
def test_spectral_gradient_is_finite_at_extreme_values(value, convention):
    z = torch.full((2, 7), value, dtype=torch.float32, requires_grad=True)
    spectral_loss(z, torch.ones(2, 7), convention=convention).backward()
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("d", [7, 8])
@pytest.mark.parametrize("loss", [cosine_loss, norm_loss, mse_loss, spectral_loss])
def test_gradcheck(d, loss):
    generator = torch.Generator().manual_seed(d)
    s = torch.randn(3, d, dtype=torch.float64, generator=generator, requires_grad=True)
    t = torch.randn(3, d, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(lambda z: loss(z, t), s)


@pytest.mark.parametrize("d", [1, 2, 7, 8, 33, 64])
@pytest.mark.parametrize("norm", ["backward", "ortho"])
def test_closed_form_spectral_gradient_equals_autograd(d, norm):
    generator = torch.Generator().manual_seed(d)
    s = torch.randn(5, d, dtype=torch.float64, generator=generator, requires_grad=True)
    t = torch.randn(5, d, dtype=torch.float64, generator=generator)
    loss = spectral_loss(s, t, norm=norm)
    loss.backward()
    value, gradient = gradients.spectral_gradient(s.detach(), losses.amplitude(t, norm), norm)
    torch.testing.assert_close(value, loss.detach(), **CLOSE)
    torch.testing.assert_close(gradient, s.grad, **CLOSE)


@pytest.mark.parametrize(
    ("loss", "closed"),
    [
        (cosine_loss, lambda z, t: gradients.cosine_gradient(z, losses.normalize(t))),
        (norm_loss, lambda z, t: gradients.norm_gradient(z, losses.length(t).unsqueeze(1))),
        (mse_loss, gradients.mse_gradient),
    ],
)
def test_other_closed_forms_equal_autograd(loss, closed):
    generator = torch.Generator().manual_seed(1)
    s = torch.randn(6, 9, dtype=torch.float64, generator=generator)
    s[2] = 0
    t = torch.randn(6, 9, dtype=torch.float64, generator=generator)
    z = s.clone().requires_grad_()
    loss(z, t).backward()
    value, gradient = closed(s, t)
    torch.testing.assert_close(value, loss(s, t), **CLOSE)
    torch.testing.assert_close(gradient, z.grad, **CLOSE)


@pytest.mark.parametrize("d", [7, 8])
def test_unit_convention_gradient_passes_through_the_normalization(d):
    generator = torch.Generator().manual_seed(2)
    s = torch.randn(4, d, dtype=torch.float64, generator=generator, requires_grad=True)
    t = torch.randn(4, d, dtype=torch.float64, generator=generator)
    spectral_loss(s, t, convention="unit", norm="ortho").backward()
    unit = losses.normalize(s.detach())
    target = losses.amplitude(losses.normalize(t), "ortho")
    _, slope = gradients.spectral_gradient(unit, target, "ortho")
    torch.testing.assert_close(gradients.through_normalization(s.detach(), slope), s.grad, **CLOSE)


def test_half_precision_is_computed_in_float32():
    z = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float16)
    assert spectral_loss(z, z + 1).dtype == torch.float32


def test_cosine_loss_of_a_zero_vector_is_one():
    assert cosine_loss(torch.zeros(1, 3), torch.ones(1, 3)) == 1


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.ones(2, 3), torch.ones(2, 4)), {}, r"\(2, 3\) and \(2, 4\)"),
        ((torch.ones(3), torch.ones(3)), {}, "non-empty"),
        ((torch.ones(0, 3), torch.ones(0, 3)), {}, "non-empty"),
        ((torch.ones(1, 3), torch.ones(1, 3)), {"convention": "row"}, "'row'"),
        ((torch.ones(1, 3), torch.ones(1, 3)), {"norm": "forward"}, "'forward'"),
    ],
)
def test_wrong_input_is_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        spectral_loss(*arguments, **options)


def test_spectral_loss_of_unit_vectors_is_bounded_by_the_cosine_loss():
    """Backward norm: L <= 2d/K * L_cos for vectors of length 1."""
    generator = torch.Generator().manual_seed(3)
    for d in (7, 8):
        s, t = (losses.normalize(torch.randn(1, d, dtype=torch.float64, generator=generator)) for _ in range(2))
        assert spectral_loss(s, t) <= 2 * d / (d // 2 + 1) * cosine_loss(s, t) + 1e-12
        assert math.isclose(norm_loss(s, t).item(), 0, abs_tol=1e-12)
