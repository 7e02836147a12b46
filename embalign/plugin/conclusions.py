"""Promoted conclusions as pytest cases: one a static check, and one that measures again where that is asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embalign.errors import ConclusionError
from embalign.research.conclusion import CHECKS, TEXT, read_conclusion
from embalign.research.promote import reverify


class ConclusionFile(pytest.File):
    """A promoted conclusion, or a stray file that no conclusion answers for."""

    stray: bool

    def collect(self) -> Iterator[pytest.Item]:
        """Yield one case a static check, and one for measuring it again where that is asked for; a stray file fails."""
        again = ["reverify"] if self.config.getoption("reverify") else []
        for name in ["stray"] if self.stray else [*CHECKS, *again]:
            yield ConclusionItem.from_parent(self, name=name)


class ConclusionItem(pytest.Item):
    """One check of a conclusion."""

    def runtest(self) -> None:
        """Raise ConclusionError if the check fails."""
        if self.name == "stray":
            raise ConclusionError(f"{self.path.name}: belongs to no conclusion; only --promote writes here")
        found = read_conclusion(self.path.parent)
        if self.name == "reverify":
            self.add_report_section("call", "reverify", reverify(found, self.config.rootpath))
        else:
            CHECKS[self.name](found, self.config.rootpath)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show what does not hold, without a traceback."""
        if isinstance(excinfo.value, ConclusionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


def collect(path: Path, research: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Return the cases of a file under docs/research/: a conclusion's text, or what belongs to no conclusion."""
    folder = research / path.relative_to(research).parts[0]
    text = folder / TEXT
    if path != text and (text.is_file() or path.name.startswith(".")):  # beside a text, its own checks know what may be
        return None
    found: ConclusionFile = ConclusionFile.from_parent(parent, path=path)
    found.stray = path != text
    return found
