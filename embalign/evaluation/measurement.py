"""What one cell gives: metrics, their values by label group, and tables; or the reason that there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from embalign.lazy import lazy
from embalign.readers import said

if TYPE_CHECKING:
    from pandas import DataFrame

pandas = lazy("pandas")

ByLabel = NDArray[np.float32]


@dataclass(frozen=True)
class Measurement:
    """The numbers of one cell.

    `metrics` are single numbers by name. `by_label` holds, for metrics that are means over items, one float32 value a
    label group (G,) whose mean is the metric: verdicts take their standard errors over test items from these. `tables`
    are frames in long form: an accept curve, a training trajectory, every output.

    >>> found = Measurement({"cosine_mean": 0.5}) | Measurement({"mrr": 0.25})
    >>> found.metrics
    {'cosine_mean': 0.5, 'mrr': 0.25}
    """

    metrics: Mapping[str, float]
    by_label: Mapping[str, ByLabel] = field(default_factory=dict)
    tables: Mapping[str, DataFrame] = field(default_factory=dict)

    def __or__(self, other: Measurement) -> Measurement:
        """Return the numbers of both; those of `other` where both have the same name."""
        return Measurement(
            {**self.metrics, **other.metrics}, {**self.by_label, **other.by_label}, {**self.tables, **other.tables}
        )

    def to_bytes(self) -> bytes:
        """Return the measurement as MessagePack: numbers exactly, arrays as little-endian float32."""
        by_label = {name: values.astype("<f4").tobytes() for name, values in self.by_label.items()}
        tables = {name: frame.to_dict("list") for name, frame in self.tables.items()}
        return msgspec.msgpack.encode((dict(self.metrics), by_label, tables))

    @classmethod
    def from_bytes(cls, content: bytes) -> Measurement:
        """Return the measurement that `to_bytes` wrote. Raises ValueError for other bytes."""
        try:
            metrics, by_label, tables = msgspec.msgpack.decode(content, type=_Plain)
            return cls(
                metrics,
                {name: np.frombuffer(values, dtype="<f4").astype(np.float32) for name, values in by_label.items()},
                {name: pandas.DataFrame(columns) for name, columns in tables.items()},
            )
        except Exception as error:  # no decoder lists what it raises on hostile input
            raise ValueError(f"not a measurement ({said(error)})") from None


_Plain = tuple[dict[str, int | float], dict[str, bytes], dict[str, dict[str, list[Any]]]]


@dataclass(frozen=True)
class Failure:
    """The reason that a cell could not be measured."""

    reason: str


Outcome = Measurement | Failure
