"""Where the page is while it is rendered: its numbers of tables and figures, its anchors, and the heading above."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from embalign.page.figures import Figure


@dataclass
class Numbering:
    """How many tables and figures the page has so far, and the anchors that are taken."""

    tables: int = 0
    figures: int = 0
    anchors: dict[str, int] = field(default_factory=dict)

    def anchor(self, prefix: str, words: str) -> str:
        """Return an anchor for a heading that no other has."""
        stem = "-".join([prefix, *re.findall(r"[a-z0-9]+", words.lower())])[:60].rstrip("-")
        name, count = stem, self.anchors.get(stem, 0)
        while name in self.anchors:
            count += 1
            name = f"{stem}-{count + 1}"
        self.anchors[name] = 0
        self.anchors[stem] = count
        return name


@dataclass
class Place:
    """Where the renderer is: in which report, under which heading, and what it has to know there."""

    prefix: str
    numbering: Numbering
    figure: Callable[[str, str], Figure | str]
    title: str = ""
    under_title: int = 0
    level: int = 2
