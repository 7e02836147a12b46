"""The values of the losses against NumPy and against what mathematics says of them; gradients: test_loss_gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import vector_pairs

from embalign.alignment import lengths, losses
from embalign.alignment.losses import cosine_loss, mse_loss, norm_loss, phase_loss, shrink_loss, spectral_loss

pytestmark = pytest.mark.instrument

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def rounding(*sides):
    """Tolerance for a difference of terms of degree two: they round in proportion to their own size, not to its.

    Below the smallest normal number digits are lost, so nothing is compared there.
    """
    own = 1e-14 * sum(side.shape[1] * side.square().sum().item() for side in sides)
    return {"rtol": 1e-9, "atol": own + np.finfo(np.float64).tiny}


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
    torch.testing.assert_close(of_amplitude + phase_loss(s, t), mse_loss(s, t), **CLOSE)


@given(vector_pairs())
def test_spectral_loss_of_unit_vectors_is_bounded_by_the_cosine_loss(pair):
    """L <= 2d/K * L_cos with the backward norm, 2/K * L_cos with the ortho norm, for vectors of length 1."""
    s, t = (lengths.normalize(side + 0.1) for side in pair)
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
    torch.testing.assert_close((s * s.grad).sum() + (t * t.grad).sum(), 2 * loss.detach(), **rounding(*pair))


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


@given(vector_pairs())
def test_phase_loss_sees_the_shift_that_the_spectral_loss_does_not(pair):
    """Of a vector against its own shift nothing but phase differs, so all of the squared error is phase."""
    s, _ = pair
    torch.testing.assert_close(phase_loss(s, s.roll(1, dims=1)), mse_loss(s, s.roll(1, dims=1)), **rounding(s))
    torch.testing.assert_close(phase_loss(s, s), torch.zeros((), dtype=torch.float64), **rounding(s))


@given(vector_pairs(), st.floats(0, 100))
def test_shrink_loss_sees_lengths_alone_and_grows_with_each(pair, factor):
    """Directions can be changed on either side, the teacher's against the map's too."""
    s, t = pair
    found = shrink_loss(s, t)
    expected = np.mean(np.linalg.norm(s.numpy(), axis=1) * np.linalg.norm(t.numpy(), axis=1))
    torch.testing.assert_close(found.item(), expected, **CLOSE)
    for moved in (shrink_loss(t, s), shrink_loss(s.flip(1), t), shrink_loss(-s, t), shrink_loss(s, t.roll(1, dims=1))):
        torch.testing.assert_close(moved, found, **CLOSE)
    torch.testing.assert_close(shrink_loss(factor * s, t), factor * found, **CLOSE)


@given(vector_pairs())
def test_shrink_loss_pulls_each_row_towards_zero_as_hard_as_its_teacher_is_long(pair):
    s, t = (side.sign() * (side.abs() + 1e-3) + 1e-6 for side in pair)
    s.requires_grad_()
    shrink_loss(s, t).backward()
    expected = lengths.normalize(s.detach()) * t.norm(dim=1, keepdim=True) / len(s)
    torch.testing.assert_close(s.grad, expected, **CLOSE)


@given(vector_pairs())
def test_phase_loss_is_bounded_by_the_lengths_that_shrink_loss_sees(pair):
    """Phase <= 4/d * shrink: opposite phases in every bin, of vectors with one spectrum, reach it."""
    s, t = pair
    bound = 4 / s.shape[1] * shrink_loss(s, t)
    assert phase_loss(s, t) <= bound * (1 + 1e-9) + 1e-12
    torch.testing.assert_close(phase_loss(s, -s), 4 / s.shape[1] * shrink_loss(s, s), **rounding(s, s))


@given(vector_pairs(), st.floats(0.01, 100))
def test_cosine_loss_and_unit_vectors_do_not_see_lengths(pair, factor):
    s, t = pair
    s, t = s.sign() * (s.abs() + 1e-3), t.sign() * (t.abs() + 1e-3)
    torch.testing.assert_close(cosine_loss(factor * s, t), cosine_loss(s, t), **CLOSE)
    unit = spectral_loss(lengths.normalize(s), lengths.normalize(t))
    torch.testing.assert_close(spectral_loss(factor * s, t, convention="unit"), unit, **CLOSE)


@pytest.mark.parametrize("scale", [1e-150, 1e-80, 1e80, 1e200])
def test_cosine_loss_is_right_wherever_a_length_is_a_number(scale):
    s, t = gaussian_pair(5)
    torch.testing.assert_close(cosine_loss(scale * s, t), cosine_loss(s, t), **CLOSE)
    torch.testing.assert_close(cosine_loss(s, scale * t), cosine_loss(s, t), **CLOSE)


def test_cosine_loss_of_a_zero_vector_is_one():
    assert cosine_loss(torch.zeros(1, 3), torch.ones(1, 3)) == 1


@pytest.mark.parametrize(("dtype", "exponents"), [(torch.float32, range(-44, 38)), (torch.float64, range(-322, 308))])
def test_lengths_are_right_to_the_last_digits_over_the_whole_number_format(dtype, exponents):
    legs = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    rows = torch.cat([(legs * float(f"1e{exponent}")).to(dtype) for exponent in exponents])
    expected = torch.tensor([math.hypot(*row) for row in rows.tolist()], dtype=torch.float64).to(dtype)
    for found in (lengths.length(rows), lengths.scaled_length(rows)):
        torch.testing.assert_close(found.squeeze(1), expected, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_lengths_beside_extreme_ones_are_the_ordinary_lengths_to_the_bit():
    """What a batch holds besides a row must not change how the row trains."""
    rows = torch.randn(60, 9, generator=torch.Generator().manual_seed(0))
    rows *= torch.tensor([1e-3, 1.0, 1e3]).repeat(20).unsqueeze(1)
    plain = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    for extreme in (0.0, 1e-30, 1e30):
        assert torch.equal(lengths.length(torch.cat((rows, torch.full((1, 9), extreme))))[:-1], plain)
    assert not torch.equal(lengths.scaled_length(rows), plain)


def test_lengths_of_ordinary_vectors_are_found_the_fast_way(monkeypatch):
    monkeypatch.setattr(lengths, "scaled_length", None)
    rows = torch.tensor([[3e-3, 4e-3], [0.3, 0.4], [3e3, 4e3]])
    torch.testing.assert_close(lengths.length(rows), torch.tensor([[5e-3], [0.5], [5e3]]))


def test_vectors_are_normalized_over_their_last_dimension_whatever_comes_before():
    z = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(lengths.normalize(z), torch.nn.functional.normalize(z, dim=-1), **CLOSE)


def test_amplitudes_are_those_of_the_last_dimension():
    z = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(losses.amplitude(z)[1, 2], losses.amplitude(z[1, 2]))


def test_convention_and_norm_are_given_by_name():
    with pytest.raises(TypeError):
        spectral_loss(torch.ones(1, 3), torch.ones(1, 3), "unit")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", [cosine_loss, norm_loss, mse_loss, phase_loss, shrink_loss, spectral_loss])
def test_half_precision_is_computed_in_float32(loss, dtype):
    s, t = torch.tensor([[[1.0, 2.0, 3.0]], [[2.0, -4.0, 0.5]]], dtype=dtype).requires_grad_()
    value = loss(s, t)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(s.float(), t.float()))


def test_sides_of_two_formats_are_computed_in_the_wider():
    s, t = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64)
    assert torch.equal(spectral_loss(s, t), spectral_loss(s.double(), t))
    assert torch.equal(spectral_loss(t, s), spectral_loss(t, s.double()))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.ones(2, 3), torch.ones(2, 4)), {}, r"\(2, 3\) and \(2, 4\)"),
        ((torch.ones(2, 4), torch.ones(2, 3)), {}, r"\(2, 4\) and \(2, 3\)"),
        ((torch.ones(2, 2, 3), torch.ones(2, 3)), {}, r"\(2, 2, 3\) and \(2, 3\)"),
        ((torch.ones(3), torch.ones(3)), {}, r"\(\.\.\., batch, d\)"),
        ((torch.ones(0, 3), torch.ones(0, 3)), {}, "non-empty"),
        ((torch.ones(1, 3), torch.ones(1, 3)), {"convention": "row"}, "'row'"),
        ((torch.ones(1, 3), torch.ones(1, 3)), {"norm": "forward"}, "'forward'"),
    ],
)
def test_wrong_input_is_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        spectral_loss(*arguments, **options)


@pytest.mark.parametrize("loss", [cosine_loss, norm_loss, mse_loss, phase_loss, shrink_loss])
def test_every_loss_refuses_shapes_that_differ(loss):
    with pytest.raises(ValueError, match="one shape"):
        loss(torch.ones(2, 3), torch.ones(1, 3))
