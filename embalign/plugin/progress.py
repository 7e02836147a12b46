"""How far a run is and how long the rest will take, by the cells that the run has measured itself."""

import datetime
from dataclasses import dataclass


@dataclass
class Progress:
    """Counts of a run's cells, of which `waiting` had no stored measurement when it began (None: not known yet).

    What is left is estimated from the time that measured cells have taken: neither embedding, reading and collecting
    before the first of them nor cells from the store, which take no time, count. `processes` run cases beside each
    other. Of cells that are measured `together` nothing is estimated: they end together too.
    """

    cells: int = 0
    waiting: int | None = None
    processes: int = 1
    together: bool = False
    stored: int = 0
    measured: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, *, stored: bool) -> None:
        """Count a cell whose case has ended after so many seconds."""
        if stored:
            self.stored += 1
            return
        self.measured += 1
        self.seconds += seconds

    @property
    def left(self) -> float | None:
        """Seconds until the last cell is measured; None while nothing is known to estimate it from.

        >>> progress = Progress(cells=10, waiting=6, processes=2)
        >>> progress.add(0.01, stored=True)
        >>> progress.add(8.0, stored=False)
        >>> progress.left
        20.0
        """
        waiting = self.cells - self.stored if self.waiting is None else self.waiting
        rest = max(0, waiting - self.measured)
        if rest and (self.together or not self.measured):
            return None
        return rest * self.seconds / max(1, self.measured) / self.processes

    def line(self, elapsed: float) -> str:
        """Return the counts, the seconds since the session began, and what is left, in words."""
        words = [f"{self.stored + self.measured} of {self.cells} cells"]
        if self.stored:
            words[0] += f" ({self.stored} from the store)"
        words.append(f"{_clock(elapsed)} elapsed")
        if (left := self.left) is not None:
            words.append(f"about {_clock(left)} left")
        return ", ".join(words)


def _clock(seconds: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=round(seconds))
