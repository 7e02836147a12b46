"""What a command of `embalign` is: its words, its arguments and the function that it runs."""

import argparse
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn


@dataclass(frozen=True)
class Command:
    """One command: `help` is its line in the list, `description` what its own --help says, above one `example`.

    `run` prints what a user wants to read and returns the exit code; it raises EmbalignError for bad input. A module of
    a command imports nothing heavy: --help is to answer at once.
    """

    name: str
    help: str
    description: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    def add_to(self, commands: "argparse._SubParsersAction[Parser]") -> None:
        """Add the command to a parser's list."""
        parser = commands.add_parser(
            self.name,
            help=self.help,
            description=self.description,
            epilog=f"example:\n  {self.example}",
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.add_arguments(parser)
        parser.set_defaults(run=self.run, parser=parser)


class Parser(argparse.ArgumentParser):
    """Names the nearest of what there is for a word that it does not know."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with 2."""
        if wrong := re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (--[^\s=]*)", message):
            choices = message.partition("choose from")[2]
            known = re.findall(r"--[\w-]+|\w+", choices or self.format_usage())
            near = difflib.get_close_matches(wrong[1] or wrong[2], known, n=1)
            message += f"; did you mean {near[0]}?" if near else ""
        super().error(message)


def named_path(text: str) -> Path:
    """Return a path. Raises ArgumentTypeError for an empty name, which would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name; is the variable set?")
    return Path(text)


class _Formatter(argparse.HelpFormatter):
    """Wraps the description as argparse does and leaves the lines of the example as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("example:\n") else super()._fill_text(text, width, indent)
