"""The losses as their definitions read, in torch operations that autograd knows: the oracle for the closed forms."""

from functools import partial

import torch


def unit(z):
    return z / z.norm(dim=-1, keepdim=True)


def plain_spectral(s, t, norm):
    return (torch.fft.rfft(s, norm=norm).abs() - torch.fft.rfft(t, norm=norm).abs()).square().mean((-2, -1))


def plain_phase(s, t):
    """From the definition by angles, with the two-sided weights written out."""
    d = s.shape[-1]
    weights = torch.tensor([1.0 if k in (0, d / 2) else 2.0 for k in range(d // 2 + 1)], dtype=s.dtype) / d
    spectra = [torch.fft.rfft(side, norm="ortho") for side in (s, t)]
    turn = 1 - torch.cos(spectra[0].angle() - spectra[1].angle())
    return (2 * spectra[0].abs() * spectra[1].abs() * turn * weights).sum(-1).mean(-1)


PLAIN = {
    "cosine": lambda s, t: 1 - (unit(s) * unit(t)).sum(-1).mean(-1),
    "norm": lambda s, t: (s.norm(dim=-1) - t.norm(dim=-1)).square().mean(-1),
    "mse": lambda s, t: (s - t).square().mean((-2, -1)),
    "phase": plain_phase,
    "shrink": lambda s, t: (s.norm(dim=-1) * t.norm(dim=-1)).mean(-1),
    "spectral": partial(plain_spectral, norm="backward"),
    "ortho": partial(plain_spectral, norm="ortho"),
    "unit": lambda s, t: plain_spectral(unit(s), unit(t), "backward"),
    "unit ortho": lambda s, t: plain_spectral(unit(s), unit(t), "ortho"),
}
