"""The command `embalign`: what can be done without a run of experiments.

Exit codes: 0, done, whatever a verdict says; 2, the command line cannot be read; 3, unforeseen; 4, bad input. Only
`cutover`, which CI asks, has two more: 10, FAIL, and 11, UNDECIDED.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from embalign.commands.command import Parser
from embalign.commands.compare import COMPARE
from embalign.commands.cutover import CUTOVER
from embalign.commands.export import EXPORT
from embalign.commands.import_ import IMPORT
from embalign.commands.init import INIT
from embalign.commands.judge import JUDGE
from embalign.commands.report import REPORT
from embalign.durable import in_words
from embalign.errors import EmbalignError
from embalign.escaping import visible
from embalign.platforms import refuse_other_systems
from embalign.unforeseen import EXIT_CODE, log_unforeseen

COMMANDS = (INIT, IMPORT, JUDGE, COMPARE, CUTOVER, EXPORT, REPORT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; a user's mistake, or what nobody foresaw, is one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may not have every character of a path
        sys.stdout.reconfigure(errors="backslashreplace")
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:  # the command's own usage helps, not that of all commands
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        refuse_other_systems()
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads has seen enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (EmbalignError, OSError) as error:
        words = in_words(error) if isinstance(error, OSError) else str(error)
        print(f"error: {visible(words)}", file=sys.stderr)
        return EmbalignError.exit_code
    except KeyboardInterrupt:
        print("interrupted; rerun the same command", file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:
        print(log_unforeseen(error, Path.cwd()), file=sys.stderr)
        return EXIT_CODE


def _parser() -> Parser:
    parser = Parser(
        prog="embalign", description="Embedding alignment with verdicts that can say no.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
