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
from embalign.alignment.terms import make_penalty

pytestmark = pytest.mark.instrument

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


@given(vector_pairs(), st.randoms(use_true_random=False))
def test_spectral_loss_does_not_see_any_all_pass_phase(pair, random):
    """Every bin may turn by its own angle; a real signal's constant and Nyquist bins can only change sign."""
    s, t = pair
    d = s.shape[1]
    angles = torch.tensor([random.uniform(-np.pi, np.pi) for _ in range(d // 2 + 1)], dtype=torch.float64)
    real = [0, d // 2] if d % 2 == 0 else [0]
    angles[real] = (angles[real] > 0).double() * np.pi
    turned = torch.fft.irfft(torch.fft.rfft(s, dim=1) * torch.exp(1j * angles), n=d, dim=1)
    torch.testing.assert_close(spectral_loss(turned, t), spectral_loss(s, t), **CLOSE)


@given(vector_pairs(), st.integers(1, 40))
def test_spectral_loss_does_not_see_a_shared_index_dilation(pair, factor):
    """Index n -> a n mod d with gcd(a, d) = 1 permutes the bins alike on both sides."""
    s, t = pair
    d = s.shape[1]
    while math.gcd(factor, d) != 1:
        factor += 1
    index = torch.arange(d) * factor % d
    torch.testing.assert_close(spectral_loss(s[:, index], t[:, index]), spectral_loss(s, t), **CLOSE)


@given(vector_pairs(), st.integers(0, 10**6))
def test_spectral_loss_does_not_see_the_order_of_the_batch(pair, seed):
    s, t = pair
    order = torch.randperm(len(s), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(spectral_loss(s[order], t[order]), spectral_loss(s, t), **CLOSE)


@given(vector_pairs(min_dimension=2))
def test_shared_modulation_by_alternating_signs_is_unseen_for_even_dimensions(pair):
    """(-1)^n moves bin k to d/2 - k, which is a bin only if d is even."""
    s, t = pair
    d = s.shape[1] // 2 * 2
    s, t = s[:, :d], t[:, :d]
    signs = 1.0 - 2 * (torch.arange(d) % 2).double()
    torch.testing.assert_close(spectral_loss(s * signs, t * signs), spectral_loss(s, t), **CLOSE)


def gaussian_pair(d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 8, d, dtype=torch.float64, generator=generator)


def changes(d):
    """What a spectral loss must see, as functions of both sides."""
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(d, generator=generator)
    signs = torch.where(torch.rand(d, generator=generator) < 0.5, -1.0, 1.0).double()
    rotation = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q
    return {
        "permutation": lambda z: z[:, order],
        "sign flips": lambda z: z * signs,
        "rotation": lambda z: z @ rotation,
        "added constant": lambda z: z + 0.5,
        **({"alternating signs": lambda z: z * (1.0 - 2 * (torch.arange(d) % 2))} if d % 2 else {}),
    }


@pytest.mark.parametrize("d", [31, 32])
def test_spectral_loss_sees_what_changes_the_order_of_dimensions(d):
    """A shared permutation, rotation, sign flips or constant changes it: why scrambled dimensions are the control."""
    s, t = gaussian_pair(d)
    before = spectral_loss(s, t)
    for name, change in changes(d).items():
        assert not torch.isclose(spectral_loss(change(s), change(t)), before, rtol=1e-3), name


def test_spectral_loss_is_zero_exactly_where_the_magnitudes_agree():
    s, _ = gaussian_pair(9)
    assert spectral_loss(s, s.roll(2, dims=1)) < 1e-20
    assert mse_loss(s, s.roll(2, dims=1)) > 0.1
    assert spectral_loss(s, s * 1.01) > 1e-4


@pytest.mark.parametrize("d", [1, 7, 8])
def test_the_bound_by_the_mean_squared_error_is_reached(d):
    """By a constant error on a zero teacher: all of it lies in the one bin that is not counted twice."""
    s, t = torch.full((1, d), 0.7, dtype=torch.float64), torch.zeros(1, d, dtype=torch.float64)
    bins = d // 2 + 1
    torch.testing.assert_close(spectral_loss(s, t), d**2 / bins * mse_loss(s, t), **CLOSE)
    torch.testing.assert_close(spectral_loss(s, t, norm="ortho"), d / bins * mse_loss(s, t), **CLOSE)


@given(vector_pairs())
def test_one_sided_parseval(pair):
    """sum_k |E_k|^2 = (d |e|^2 + E_0^2 + [d even] E_{d/2}^2) / 2 with the backward norm."""
    e = pair[0]
    d = e.shape[1]
    alternating = (e * (1.0 - 2 * (torch.arange(d) % 2))).sum(dim=1)
    edges = e.sum(dim=1).square() + (alternating.square() if d % 2 == 0 else 0)
    expected = (d * e.square().sum(dim=1) + edges) / 2
    torch.testing.assert_close(losses.amplitude(e).square().sum(dim=1), expected, **CLOSE)


def two_sided(d):
    weights = torch.full((d // 2 + 1,), 2.0 / d, dtype=torch.float64)
    weights[0] = 1 / d
    if d % 2 == 0:
        weights[-1] = 1 / d
    return weights


@given(vector_pairs())
def test_mean_squared_error_splits_exactly_into_amplitude_and_phase(pair):
    s, t = pair
    weights = two_sided(s.shape[1])
    error = losses.amplitude(s, "ortho") - losses.amplitude(t, "ortho")
    of_amplitude = (error.square() * weights).sum(dim=1).mean()
    phase = make_penalty("phase", 1.0, dimension=s.shape[1])
    of_phase, _ = phase.gradient(s, phase.prepare(t))
    torch.testing.assert_close(of_amplitude + of_phase, mse_loss(s, t), **CLOSE)


@given(vector_pairs())
def test_spectral_loss_of_unit_vectors_is_bounded_by_the_cosine_loss(pair):
    """L <= 2d/K * L_cos with the backward norm, 2/K * L_cos with the ortho norm, for vectors of length 1."""
    s, t = (losses.normalize(side + 0.1) for side in pair)
    d = s.shape[1]
    bins = d // 2 + 1
    slack = 1e-9 * d
    unit = (s.norm(dim=1) > 0.5) & (t.norm(dim=1) > 0.5)
    if unit.any():
        s, t = s[unit], t[unit]
        assert spectral_loss(s, t) <= 2 * d / bins * cosine_loss(s, t) + slack
        assert spectral_loss(s, t, norm="ortho") <= 2 / bins * cosine_loss(s, t) + slack


@given(vector_pairs(), st.integers(0, 10**6))
def test_its_root_is_a_pseudometric_and_lipschitz(pair, seed):
    """Triangle inequality; a step e of one vector changes the root by at most sqrt(d/K) |e|."""
    s, t = (side[:1] for side in pair)
    d = s.shape[1]
    other = torch.randn(1, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    root = {
        name: spectral_loss(a, b).sqrt() for name, (a, b) in {"st": (s, t), "so": (s, other), "ot": (other, t)}.items()
    }
    scale = 1 + float(s.abs().max() + t.abs().max())
    assert root["st"] <= root["so"] + root["ot"] + 1e-9 * scale
    assert abs(root["st"] - root["ot"]) <= math.sqrt(d / (d // 2 + 1)) * (s - other).norm() + 1e-9 * scale


@given(vector_pairs())
def test_gradient_length_is_bounded_by_the_root_of_the_loss(pair):
    """|dL/ds| <= 2 sqrt(d/K) sqrt(L), for one vector."""
    s, t = (side[:1].clone() for side in pair)
    d = s.shape[1]
    loss = spectral_loss(s.requires_grad_(), t)
    loss.backward()
    assert s.grad.norm() <= 2 * math.sqrt(d / (d // 2 + 1)) * loss.detach().sqrt() * (1 + 1e-9) + 1e-9


@given(vector_pairs())
def test_eulers_identity_for_a_function_of_degree_two(pair):
    """<s, dL/ds> + <t, dL/dt> = 2 L."""
    s, t = (side.clone().requires_grad_() for side in pair)
    loss = spectral_loss(s, t)
    loss.backward()
    torch.testing.assert_close((s * s.grad).sum() + (t * t.grad).sum(), 2 * loss.detach(), **CLOSE)


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


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_lengths_and_their_gradients_stay_in_the_number_range(scale):
    z = (torch.tensor([3.0, 4.0], dtype=torch.float64) * scale).requires_grad_()
    length = losses.length(z)
    length.backward()
    assert length.item() == pytest.approx(5 * scale)
    torch.testing.assert_close(z.grad, torch.tensor([0.6, 0.8], dtype=torch.float64), **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_counts_as_zero_up_to_the_root_of_the_smallest_normal_number(dtype):
    edge = math.sqrt(torch.finfo(dtype).tiny)
    rows = torch.tensor([[edge, 0.0], [1.01 * edge, 0.0], [0.0, 0.0]], dtype=dtype, requires_grad=True)
    unit = losses.normalize(rows)
    unit[:, 1].sum().backward()
    torch.testing.assert_close(unit[:, 0], torch.tensor([0.0, 1.0, 0.0], dtype=dtype))
    assert rows.grad[[0, 2]].abs().max() == 0
    assert rows.grad[1, 1].item() == pytest.approx(1 / (1.01 * edge), rel=1e-5)


def test_vectors_are_normalized_over_their_last_dimension_whatever_comes_before():
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(2, 3, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    torch.testing.assert_close(losses.normalize(z), torch.nn.functional.normalize(z, dim=-1), **CLOSE)
    assert torch.autograd.gradcheck(losses.normalize, z)


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


def test_convention_and_norm_are_given_by_name():
    with pytest.raises(TypeError):
        spectral_loss(torch.ones(1, 3), torch.ones(1, 3), "unit")


def test_amplitudes_are_those_of_the_last_dimension():
    z = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(losses.amplitude(z)[1, 2], losses.amplitude(z[1, 2]))


def test_half_precision_is_computed_in_float32():
    z = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float16)
    assert spectral_loss(z, z + 1).dtype == torch.float32


def test_cosine_loss_of_a_zero_vector_is_one():
    assert cosine_loss(torch.zeros(1, 3), torch.ones(1, 3)) == 1


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.ones(2, 3), torch.ones(2, 4)), {}, r"\(2, 3\) and \(2, 4\)"),
        ((torch.ones(2, 4), torch.ones(2, 3)), {}, r"\(2, 4\) and \(2, 3\)"),
        ((torch.ones(3), torch.ones(3)), {}, "non-empty"),
        ((torch.ones(2, 2, 3), torch.ones(2, 2, 3)), {}, r"\(batch, d\)"),
        ((torch.ones(0, 3), torch.ones(0, 3)), {}, "non-empty"),
        ((torch.ones(1, 3), torch.ones(1, 3)), {"convention": "row"}, "'row'"),
        ((torch.ones(1, 3), torch.ones(1, 3)), {"norm": "forward"}, "'forward'"),
    ],
)
def test_wrong_input_is_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        spectral_loss(*arguments, **options)
