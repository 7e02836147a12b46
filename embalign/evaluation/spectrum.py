"""Amplitude spectra over the embedding dimensions, and what they say beyond the cosine.

Two unrelated Gaussian vectors already have a spectral cosine of pi/4 = 0.785. At cosine rho the Rayleigh law expects

    (pi/4) * 2F1(-1/2, -1/2; 1; rho^2)

the mean product of two correlated Rayleigh amplitudes. Spectral excess is what is above that.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import hyp2f1

from embalign.evaluation.similarity import cosines
from embalign.lazy import lazy
from embalign.pairs import Vectors

unit_rows = lazy("embalign.alignment.lengths").unit_rows


def amplitude_spectra(vectors: Vectors) -> NDArray[np.float64]:
    """Return |RFFT| of each row, (n, floor(d/2)+1), scaled to length 1; a zero row stays zero."""
    return np.asarray(unit_rows(np.abs(np.fft.rfft(vectors.astype(np.float64), axis=1))))


def in_bands(amplitude: NDArray[np.float64], bands: int) -> NDArray[np.float64]:
    """Return the mean of an amplitude spectrum (K,) over at most `bands` bands of neighbouring bins."""
    return np.array([band.mean() for band in np.array_split(amplitude, min(bands, len(amplitude)))])


def spec_cosines(mapped: Vectors, teacher: Vectors) -> NDArray[np.float64]:
    """Return the cosine of each row's two amplitude spectra, in [0, 1]."""
    return np.asarray(np.einsum("ij,ij->i", amplitude_spectra(mapped), amplitude_spectra(teacher)))


def spec_mses(mapped: Vectors, teacher: Vectors) -> NDArray[np.float64]:
    """Return the mean squared difference of each row's length-1 spectra of K bins, which is 2 (1 - spec_cosine) / K."""
    return np.asarray(((amplitude_spectra(mapped) - amplitude_spectra(teacher)) ** 2).mean(axis=1))


def rayleigh_law(cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the spectral cosine expected at a cosine in [-1, 1]: from pi/4 at 0 to 1 at +-1."""
    return np.asarray(np.pi / 4 * hyp2f1(-0.5, -0.5, 1.0, np.square(cosine)))


def spectral_excess(mapped: Vectors, teacher: Vectors) -> NDArray[np.float64]:
    """Return each row's spectral cosine minus what the Rayleigh law expects at its cosine."""
    return spec_cosines(mapped, teacher) - rayleigh_law(cosines(mapped, teacher))


def score(mapped: Vectors, teacher: Vectors) -> dict[str, float]:
    """Return the means of the spectral metrics over the test set."""
    return {
        "spec_cosine": float(spec_cosines(mapped, teacher).mean()),
        "spec_mse": float(spec_mses(mapped, teacher).mean()),
        "spectral_excess": float(spectral_excess(mapped, teacher).mean()),
    }
