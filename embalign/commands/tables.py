"""Arguments that the commands on tables share, and how their words are read."""

import argparse
import math
from typing import Any

from embalign.counts import EXTREME
from embalign.lazy import lazy

Choice = lazy("embalign.judging.curves").Choice


class _Columns(argparse.Action):
    """Collects ROLE=COLUMN, several by commas or by repeating the option."""

    def __init__(self, *, roles: tuple[str, ...], **words: Any) -> None:
        super().__init__(**words)
        self.roles = roles

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        found = dict(getattr(namespace, self.dest) or {})
        for part in str(values).split(","):
            role, sign, column = part.partition("=")
            if not sign or not column.strip() or role.strip() not in self.roles:
                known = ", ".join(self.roles)
                parser.error(f"argument {option_string}: {part!r} is not ROLE=COLUMN; roles are {known}")
            if role.strip() in found:
                parser.error(f"argument {option_string}: {role.strip()} is given twice")
            found[role.strip()] = column.strip()
        setattr(namespace, self.dest, found)


def chosen_from(options: argparse.Namespace, *, only_complete: bool) -> Any:
    """Return the judging.curves.Choice that these options make."""
    return Choice(
        columns=options.columns,
        metrics=tuple(dict.fromkeys(options.metric)),
        where=tuple(options.where),
        decimal=options.decimal,
        only_complete=only_complete,
    )


def add_table_arguments(parser: argparse.ArgumentParser, example: str, roles: tuple[str, ...]) -> None:
    """Add the options that say how a table is read."""
    parser.add_argument(
        "--columns",
        action=_Columns,
        roles=roles,
        default={},
        metavar="ROLE=COLUMN,...",
        help=f"which column is what, such as {example}; roles: {', '.join(roles)} (default: known names)",
    )
    parser.add_argument(
        "--metric", action="append", default=[], metavar="NAME", help="the column, or the metric, that is judged"
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        type=_condition,
        metavar="COLUMN=VALUE",
        help="only rows with that value; may be repeated",
    )
    parser.add_argument(
        "--decimal",
        choices=(".", ","),
        metavar="SIGN",
        help="the decimal sign, . or , where the table does not show it",
    )


def number(text: str) -> float:
    """Return a finite number; a decimal comma is one too."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number, such as 0.01")
    if abs(value) >= EXTREME:
        raise argparse.ArgumentTypeError(f"{text!r} is too large to compute with; give it in the units of the values")
    return value


def positive(text: str) -> float:
    """Return a finite number above 0."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0; give it in the units of the values, such as 0.01")
    return value


def _condition(text: str) -> tuple[str, str]:
    column, sign, value = text.partition("=")
    if not sign or not column.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=VALUE")
    return column.strip(), value.strip()
