"""Texts as Jinja templates beside their experiment: Python gives numbers and tables, the template the prose."""

import functools
import re
from typing import Any

import jinja2

from embalign.alignment.selection import SAMPLE, SAMPLE_ERROR
from embalign.counts import about, effective
from embalign.escaping import markdown
from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.evaluation.similarity import EXACT_UP_TO, SAMPLED_PAIRS
from embalign.experiments.tables import mean_with_interval, percent, span
from embalign.verdicts.basis import AGREEMENT, OF_TEACHER, basis_of
from embalign.verdicts.metrics import label

# What asks and what is searched, in each deployment.
WORDS = {
    "query_adapter": "mapped queries, teacher's index",
    "index_migration": "teacher's queries, mapped index",
    "draft_only": "mapped queries, mapped index",
}
ROOMS = ("experiments", "judging")  # with templates
STARTS_A_LINE = re.compile(r"^(?:[-*+] |[|#>]|\d+\. )")


def render(template: str, **context: Any) -> str:
    """Return a template, named by its path in its room, with soft line breaks inside paragraphs joined."""
    return unwrap(_environment().get_template(template).render(context)) + "\n"


def sentence(template: str, macro: str, *arguments: Any) -> str:
    """Return what a macro of a template says, on one line."""
    return " ".join(str(getattr(_environment().get_template(template).module, macro)(*arguments)).split())


def sentences(template: str, macro: str, *arguments: Any) -> list[str]:
    """Return what a macro of a template says, split where it writes a bar."""
    return [line.strip() for line in sentence(template, macro, *arguments).split("|") if line.strip()]


def unwrap(text: str) -> str:
    r"""Return Markdown with each paragraph and list item on one line and one blank line between blocks.

    >>> unwrap("A line\nand its rest.\n\n\n- an item\n  of a list\n- another\n")
    'A line and its rest.\n\n- an item of a list\n- another'
    """
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        if block.startswith("```"):
            blocks.append(block)
            continue
        lines: list[str] = []
        for line in block.splitlines():
            if lines and not STARTS_A_LINE.match(line):
                lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
            else:
                lines.append(line.rstrip())
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader("embalign", room) for room in ROOMS]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "text": markdown,  # what the package does not say itself
        "percent": percent,
        "span": span,
        "label": label,
        "mean": mean_with_interval,
        "fixed": lambda value, digits=4: f"{value:.{digits}f}",
        "signed": lambda value, digits=4: f"{value:+.{digits}f}",
        "rounded": lambda value: f"{value:.2g}",
        "capitalized": lambda text: text[:1].upper() + text[1:],
        "than": lambda answer: {"not shown": "not shown to be better"}.get(answer, answer),
        "short": lambda value: f"{value:g}",
        "about": about,
        "effective": effective,
        "thousands": lambda value: f"{value:,}",
        "count": lambda value: f"{value:,.0f}" if value >= 10 else f"{value:.3g}",
    }
    environment.globals |= {"deployments": DEPLOYMENTS, "deployment_words": WORDS}
    environment.globals |= {"basis_of": basis_of, "agreement": AGREEMENT, "of_teacher": OF_TEACHER}
    environment.globals |= {"exact_spearman": EXACT_UP_TO, "sampled_pairs": SAMPLED_PAIRS}
    environment.globals |= {"facility_sample": SAMPLE, "facility_error": SAMPLE_ERROR}
    return environment
