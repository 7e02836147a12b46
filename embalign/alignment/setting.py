"""How a loss term is set: on which vectors it is computed, and what its strength means. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal, Self

Scale = Literal["raw", "unit"]
By = Literal["none", "lambda", "gradient_ratio"]
FFTNorm = Literal["backward", "ortho"]

# The names that grids, case ids and CSVs have for scale and kind of strength.
CONVENTIONS: dict[str, tuple[Scale, By]] = {
    "none": ("raw", "none"),
    "raw": ("raw", "lambda"),
    "unit": ("unit", "lambda"),
    "raw_gradient_ratio": ("raw", "gradient_ratio"),
    "unit_gradient_ratio": ("unit", "gradient_ratio"),
}


@dataclass(frozen=True)
class Setting:
    """What a term sees, and how strongly it counts.

    Attributes:
        scale: ``raw`` vectors, or both sides at length 1 (``unit``).
        by: what `strength` is: the weight (``lambda``), or the ratio of the term's gradient to the cosine loss's after
            warm-up (``gradient_ratio``); ``none`` where there is no term.
        strength: lambda or gradient ratio; 0 where there is no term.
    """

    scale: Scale
    by: By
    strength: float

    @classmethod
    def named(cls, convention: str, strength: float) -> Self:
        """Return the setting of a convention's published name. Raises ValueError for an unknown name."""
        if convention not in CONVENTIONS:
            raise ValueError(f"convention {convention!r} is unknown: choose one of {', '.join(CONVENTIONS)}")
        return cls(*CONVENTIONS[convention], strength)

    @property
    def convention(self) -> str:
        """The name under which tables publish scale and kind of strength."""
        return next(name for name, parts in CONVENTIONS.items() if parts == (self.scale, self.by))

    @property
    def fft_norm(self) -> FFTNorm:
        """The scaling of the FFT in spectral terms."""
        return fft_norm(self.scale)

    @property
    def sees_norm(self) -> bool:
        """Whether the term depends on the length of the map's output."""
        return self.scale == "raw"

    @property
    def label(self) -> str:
        """The setting in words, for instance ``λ 0.05, raw``."""
        return f"{'gradient ratio' if self.by == 'gradient_ratio' else 'λ'} {self.strength:g}, {self.scale}"


def fft_norm(scale: Scale) -> FFTNorm:
    """Return the scaling of the FFT that goes with vectors as they are or at length 1."""
    return "ortho" if scale == "unit" else "backward"
