"""How a loss term is set: on which vectors it is computed, and what its strength means. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scale = Literal["raw", "unit"]
By = Literal["lambda", "gradient_ratio"]
FFTNorm = Literal["backward", "ortho"]

# The names that grids, case ids and CSVs have for them.
_CONVENTIONS: dict[str, tuple[Scale, By]] = {
    "none": ("raw", "lambda"),  # no term at all
    "raw": ("raw", "lambda"),
    "unit": ("unit", "lambda"),
    "raw_gradient_ratio": ("raw", "gradient_ratio"),
    "unit_gradient_ratio": ("unit", "gradient_ratio"),
}


@dataclass(frozen=True)
class Setting:
    """A loss term's scale and strength.

    `scale`: the term sees the map's output as it is (``raw``, as the memo writes it, FFT unscaled), or both sides at
    length 1 (``unit``, orthonormal FFT). `by`: `strength` is lambda itself, or the norm of the term's gradient over
    that of the cosine loss's after warm-up.
    """

    scale: Scale
    by: By
    strength: float

    @classmethod
    def named(cls, convention: str, strength: float) -> Setting:
        """Return the setting of a published convention. Raises ValueError naming those that exist."""
        if convention not in _CONVENTIONS:
            raise ValueError(f"convention {convention!r} is unknown: choose one of {', '.join(_CONVENTIONS)}")
        scale, by = _CONVENTIONS[convention]
        return cls(scale, by, strength)

    @property
    def fft_norm(self) -> FFTNorm:
        """The scaling of the FFT."""
        return "backward" if self.scale == "raw" else "ortho"

    @property
    def sees_norm(self) -> bool:
        """Whether the term depends on the length of the map's output."""
        return self.scale == "raw"

    @property
    def label(self) -> str:
        """Return the setting in words, for instance ``λ 0.05, raw``."""
        return f"{'λ' if self.by == 'lambda' else 'gradient ratio'} {self.strength:g}, {self.scale}"
