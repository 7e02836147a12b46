"""Texts from Jinja templates: `*.md.j2` beside an experiment's Python holds the prose, Python gives the values."""

from __future__ import annotations

import functools

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(package: str, template: str, **values: object) -> str:
    """Return a template in the folder of `package` with its values filled in; a value it lacks is an error."""
    return _environment(package).get_template(template).render(values)


@functools.cache
def _environment(package: str) -> Environment:
    return Environment(
        loader=PackageLoader(package, ""),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
