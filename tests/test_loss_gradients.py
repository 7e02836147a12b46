"""The gradients of the losses: against autograd on the plain definitions, and at extreme values."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plain_losses import PLAIN
from strategies import vector_pairs, vector_stacks

from embalign.alignment import lengths
from embalign.alignment.losses import cosine_loss, mse_loss, norm_loss, phase_loss, shrink_loss, spectral_loss

pytestmark = pytest.mark.instrument

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
PUBLIC = {
    "cosine": cosine_loss,
    "norm": norm_loss,
    "mse": mse_loss,
    "phase": phase_loss,
    "shrink": shrink_loss,
    "spectral": spectral_loss,
    "ortho": partial(spectral_loss, norm="ortho"),
    "unit": partial(spectral_loss, convention="unit"),
    "unit ortho": partial(spectral_loss, convention="unit", norm="ortho"),
}


def value_and_gradients(loss, s, t, slopes):
    """The value, and the gradients of its weighted sum in both sides."""
    s, t = s.clone().requires_grad_(), t.clone().requires_grad_()
    value = loss(s, t)
    return (value.detach(), *torch.autograd.grad(value, (s, t), slopes))


@pytest.mark.parametrize("d", [1, 2, 7, 8, 33, 64])
@pytest.mark.parametrize("name", PUBLIC)
def test_values_and_gradients_are_those_of_autograd_on_the_plain_definition(name, d):
    """In both sides, for a stack of two batches."""
    s, t = torch.randn(2, 2, 5, d, dtype=torch.float64, generator=torch.Generator().manual_seed(d))
    slopes = torch.tensor([0.7, -1.3], dtype=torch.float64)
    found, expected = (value_and_gradients(losses[name], s, t, slopes) for losses in (PUBLIC, PLAIN))
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("d", [7, 8])
@pytest.mark.parametrize("name", PUBLIC)
def test_gradcheck(d, name):
    generator = torch.Generator().manual_seed(d)
    s, t = (torch.randn(3, d, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(PUBLIC[name], (s, t))


@given(vector_stacks(), st.sampled_from(sorted(PUBLIC)))
def test_leading_dimensions_are_independent(pair, name):
    """Value and gradients of a stack are those of its slices."""
    value, *gradients = value_and_gradients(PUBLIC[name], *pair, torch.ones(pair[0].shape[:-2], dtype=torch.float64))
    assert value.shape == pair[0].shape[:-2]
    for place in np.ndindex(value.shape):
        slices = [side[place] for side in pair]
        expected = value_and_gradients(PUBLIC[name], *slices, torch.ones((), dtype=torch.float64))
        torch.testing.assert_close((value[place], *(side[place] for side in gradients)), expected, **CLOSE)


@given(vector_pairs(), st.sampled_from(sorted(PUBLIC)))
def test_gradients_are_finite_everywhere(pair, name):
    for dtype in (torch.float64, torch.float32):
        s, t = (side.to(dtype) for side in pair)
        for side in value_and_gradients(PUBLIC[name], s, t, torch.ones((), dtype=dtype)):
            assert torch.isfinite(side).all()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [(torch.float32, [0.0, 1e-45, 1e-30, 1.0, 1e15]), (torch.float64, [0.0, 5e-324, 1e-200, 1.0, 1e200])],
)
@pytest.mark.parametrize("name", PUBLIC)
def test_gradients_are_finite_at_extreme_values(name, dtype, values):
    """On either side, against each other and against ordinary vectors."""
    for mapped, teacher in itertools.product(values, values):
        s, t = torch.randn(2, 3, 7, dtype=dtype, generator=torch.Generator().manual_seed(0))
        s[0], t[1], s[2], t[2] = mapped, teacher, mapped, teacher
        _, *gradients = value_and_gradients(PUBLIC[name], s, t, torch.ones((), dtype=dtype))
        assert all(torch.isfinite(side).all() for side in gradients), (mapped, teacher)


@pytest.mark.parametrize("scale", [1e-200, 1e-80, 1.0, 1e80, 1e200])
def test_lengths_and_their_gradients_stay_in_the_number_range(scale):
    z = torch.tensor([[3.0, 4.0]], dtype=torch.float64) * scale
    assert lengths.length(z).item() == pytest.approx(5 * scale, abs=0)
    z.requires_grad_()
    norm_loss(z, torch.tensor([[0.0, 1.0]], dtype=torch.float64)).backward()
    expected = 2 * (5 * scale - 1) * torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    torch.testing.assert_close(z.grad, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["norm", "spectral", "mse", "phase", "shrink"])
@pytest.mark.parametrize("scale", [1e-200, 1e-80, 1e80, 1e200])
def test_gradients_of_losses_of_degree_two_grow_with_the_vectors(name, scale):
    """Of raw vectors no row is too short or too long to have one."""
    s, t = torch.randn(2, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one = torch.ones((), dtype=torch.float64)
    _, *ordinary = value_and_gradients(PUBLIC[name], s, t, one)
    _, *scaled = value_and_gradients(PUBLIC[name], scale * s, scale * t, one)
    torch.testing.assert_close([side / scale for side in scaled], ordinary, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_counts_as_zero_up_to_the_root_of_the_smallest_normal_number(dtype):
    """Three batches of one row each."""
    edge = math.sqrt(torch.finfo(dtype).tiny)
    rows = torch.tensor([[[edge, 0.0]], [[1.01 * edge, 0.0]], [[0.0, 0.0]]], dtype=dtype)
    torch.testing.assert_close(lengths.normalize(rows)[:, 0, 0], torch.tensor([0.0, 1.0, 0.0], dtype=dtype))
    along, across = (torch.tensor([[direction]] * 3, dtype=dtype) for direction in ([1.0, 0.0], [0.0, 1.0]))
    torch.testing.assert_close(cosine_loss(rows, along), torch.tensor([1.0, 0.0, 1.0], dtype=dtype))
    _, gradient, _ = value_and_gradients(cosine_loss, rows, across, torch.ones(3, dtype=dtype))
    assert gradient[[0, 2]].abs().max() == 0
    assert gradient[1, 0, 1].item() == pytest.approx(-1 / (1.01 * edge), rel=1e-5)
    _, gradient, _ = value_and_gradients(PUBLIC["unit"], rows, across, torch.ones(3, dtype=dtype))
    assert gradient[[0, 2]].abs().max() == 0


@pytest.mark.parametrize("name", ["cosine", "norm", "shrink", "spectral", "unit"])
def test_a_zero_row_has_gradient_zero_and_leaves_the_others_theirs(name):
    s, t = torch.randn(2, 6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one = torch.ones((), dtype=torch.float64)
    _, expected, _ = value_and_gradients(PUBLIC[name], s, t, one)
    s[2] = 0
    expected[2] = 0
    torch.testing.assert_close(value_and_gradients(PUBLIC[name], s, t, one)[1], expected, **CLOSE)


def test_only_the_gradients_asked_for_are_given():
    s, t = torch.ones(2, 2, 3)
    t = t.clone().requires_grad_()
    spectral_loss(s + 1, t).backward()
    assert torch.isfinite(t.grad).all()
    assert s.grad is None
    assert not spectral_loss(s, t.detach()).requires_grad


def test_gradients_come_back_in_the_format_of_each_side():
    s, t = torch.ones(1, 3, dtype=torch.float16, requires_grad=True), torch.zeros(1, 3, dtype=torch.float64)
    mse_loss(s, t.requires_grad_()).backward()
    assert (s.grad.dtype, t.grad.dtype) == (torch.float16, torch.float64)


@pytest.mark.parametrize("name", PUBLIC)
def test_inputs_are_left_as_they_are(name):
    s, t = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    before = s.clone(), t.clone()
    value_and_gradients(PUBLIC[name], s, t, torch.ones(()))
    assert torch.equal(s, before[0])
    assert torch.equal(t, before[1])


@pytest.mark.parametrize("name", PUBLIC)
def test_a_second_derivative_is_refused(name):
    """The closed forms give the first alone; a gradient taken for a constant would give a silent zero."""
    s, t = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for gradient in torch.autograd.grad(PUBLIC[name](s, t), (s, t), create_graph=True):
        with pytest.raises(NotImplementedError, match="no second derivative"):
            gradient.sum().backward(retain_graph=True)
