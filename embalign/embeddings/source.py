"""The interface of a source of embeddings, and the checks of the vectors that it returns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from embalign.embeddings.http import Client, shown
from embalign.errors import SourceError, WrongVectorsError
from embalign.pairs import Vectors

UNIT_TOLERANCE = 0.01
# Different in length and subject: faulty mean pooling over several texts shows if their lengths differ.
PROBES = (
    "a small river",
    "the committee met again on the following Tuesday to settle the budget of the harbour",
    "blue",
    "an instrument for measuring the speed of the wind",
)
SAME_COSINE = 0.999


@dataclass(frozen=True)
class Identity:
    """Which model on which server made a vector: everything that a cached vector depends on except the text.

    `verified` says whether digests pin the weights; otherwise only the name identifies the model.
    """

    kind: str
    server: str
    model: str
    weights: str = ""
    manifest: str = ""
    pooling: str = "unknown"
    verified: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """What stands in front of each text."""
        return str(self.options.get("prompt", ""))

    @property
    def dimensions(self) -> int | None:
        """To how many values each vector is cut; None for all."""
        return self.options.get("dimensions")

    @property
    def truncate(self) -> bool:
        """Whether a text is cut where the model stops to read."""
        return bool(self.options.get("truncate"))

    def asked(self, prompt: str = "", dimensions: int | None = None, *, truncate: bool = False) -> "Identity":
        """Return the identity for texts after `prompt`, cut to what the model reads or not, and vectors cut likewise.

        Other vectors have another key.
        """
        asked = {"prompt": prompt, "dimensions": dimensions, "truncate": truncate}
        return replace(self, options=self.options | {name: value for name, value in asked.items() if value})


class Source(Protocol):
    """A model that embeds texts; `name` identifies it in messages."""

    @property
    def name(self) -> str:
        """The source in words."""
        ...

    @property
    def answered(self) -> str:
        """The model's name in the last response, empty if it has none."""
        ...

    @property
    def interruptions(self) -> int:
        """How many requests have failed and were repeated so far."""
        ...

    @property
    def patience(self) -> float:
        """Seconds to wait for a source that is away."""
        ...

    def identify(self) -> Identity:
        """Return the identity of the model. Raises SourceError with the remedy."""
        ...

    def advice(self) -> str:
        """Return what a user may have missed about this model, or an empty string."""
        ...

    def check_lengths(self, texts: Sequence[str], prompt: str = "") -> None:
        """Raise SourceError that names texts which are known, before they are embedded, to be cut in silence."""
        ...

    def embed(self, texts: Sequence[str], prompt: str = "") -> list[Any]:
        """Return the model's output for each text, after the prompt if there is one, unchecked. Raises SourceError."""
        ...


class Served:
    """What a source behind HTTP says of its requests."""

    _client: Client
    answered = ""

    @property
    def interruptions(self) -> int:
        """How many requests have failed and were repeated so far."""
        return self._client.interruptions

    @property
    def patience(self) -> float:
        """Seconds to wait for a server that is away: as long as one request may take."""
        return self._client.deadline

    def check_lengths(self, texts: Sequence[str], prompt: str = "") -> None:
        """Do nothing: a server does not say how long a text may be; what it cuts shows in its vectors."""

    def note_answered(self, response: Mapping[str, Any]) -> None:
        """Keep the model's name that a response states."""
        name = response.get("model")
        self.answered = name if isinstance(name, str) else ""


def check_vectors(
    name: str, found: Sequence[Any], texts: Sequence[str], dimension: int | None = None, *, cut: int | None = None
) -> Vectors:
    """Return the vectors (n, d) of `texts` if each is a list of d finite numbers and of length 1.

    `dimension` is that of earlier vectors, if any. With `cut`, vectors may be longer and of any length but zero: the
    first so many values are kept and made a unit vector. Some servers ignore the number they are asked for, and others
    do not normalise what they cut. Raises SourceError that quotes the text, WrongVectorsError for another dimension.
    """
    if len(found) != len(texts):
        raise SourceError(f"{name} returned {len(found)} vectors for {len(texts)} texts; discarded")
    rows: list[Vectors] = []
    for text, vector in zip(texts, found, strict=True):
        if problem := _problem(vector) or (_wrong_length(vector) if cut is None else _too_short(vector, cut)):
            raise SourceError(f"{name} returned {problem} for the text {shown(text)!r}; batch discarded")
        if cut is not None:
            vector = [value / math.hypot(*vector[:cut]) for value in vector[:cut]]
        dimension = dimension or len(vector)
        if len(vector) != dimension:
            raise WrongVectorsError(
                f"{name} returned a vector of dimension {len(vector)} for the text {shown(text)!r} after vectors of "
                f"dimension {dimension}; the model was replaced during the fetch; nothing of it is kept; rerun"
            )
        rows.append(np.array(vector, dtype=np.float32))
    return np.stack(rows)


def _problem(vector: Any) -> str:
    """Return what is wrong with a vector, or an empty string."""
    if not isinstance(vector, list) or not vector:
        return f"{shown(vector)} instead of a vector"
    if isinstance(vector[0], list):
        return (
            "one vector per token instead of one per text (pooling none; start the server with --pooling mean or last)"
        )
    if wrong := [value for value in vector if type(value) not in (float, int)]:
        return f"a value that is not a number ({shown(wrong[0])})"
    try:
        length = math.hypot(*vector)
    except OverflowError:  # an integer of hundreds of digits
        length = math.inf
    if not math.isfinite(length):
        return "a vector with NaN or infinite values"
    return "an all-zero vector" if length == 0 else ""


def _wrong_length(vector: list[float]) -> str:
    length = math.hypot(*vector)
    if abs(length - 1) > UNIT_TOLERANCE:
        return f"a vector of length {length:.4g} instead of 1 (start llama.cpp's server with --embd-normalize 2)"
    return ""


def _too_short(vector: list[float], cut: int) -> str:
    if len(vector) < cut:
        return f"a vector of {len(vector)} values, fewer than the dimensions = {cut} of pair.toml (correct it)"
    return "" if any(vector[:cut]) else f"a vector whose first {cut} values are all zero"
