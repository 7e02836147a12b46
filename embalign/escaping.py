r"""Text that others wrote, made safe for where it goes: one function per target.

Names of pairs and models, labels, words of servers and paths may hold anything. Ordinary text, letters of any script
included, leaves each function unchanged.
"""

import re
import shlex
import unicodedata
from collections.abc import Iterable

SHOWN = 300  # characters of a message that come from elsewhere
# Cc, Cf, Cs: controls, what is not seen or turns the direction, halves of characters. Zl, Zp: ends of lines and of
# paragraphs. Co, Cn: what no font has to show.
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def visible(text: str) -> str:
    r"""Return text for a terminal: one line, with every character that is not seen written as its escape.

    Neither colours and cursor movements nor marks that turn the direction of writing reach the terminal, nor the
    `##[...]` that a build log may take for a command. Escaping twice is escaping once.

    >>> visible("a\nb\x1b[31m \u202e")
    'a\\nb\\x1b[31m \\u202e'
    """
    if text.isascii() and text.isprintable():
        return text.replace("##[", r"##\x5b")
    return "".join(_escape(c) if unicodedata.category(c) in UNSEEN else c for c in text).replace("##[", r"##\x5b")


def one_line(text: object, most: int = SHOWN) -> str:
    """Return text for a terminal as `visible` does, stripped; its middle is left out if it is longer than `most`."""
    words = str(text).strip()
    if len(words) > most:
        end = most // 3  # the remedy stands there
        words = f"{words[: most - end]} ... {words[-end:]}"
    return visible(words)


def markdown(text: object) -> str:
    r"""Return text that Markdown, with GitHub's extensions, shows as it is: in a heading, a paragraph, a list, a table.

    >>> markdown("a|b <img src=x> [c](d) @team")
    'a\\|b \\<img src=x\\> \\[c\\](d) @<!-- -->team'
    """
    words = re.sub(r"([\\`*\[\]<>|~$&])|(?<![^\W_])(_)|(_)(?![^\W_])", r"\\\g<0>", visible(str(text)).strip())
    words = re.sub(r"(?<!\w)([@#])(?=\w)", r"\1<!-- -->", words)  # would notify a person, or link to an issue
    words = re.sub(r"(?i)\b(https?:|ftp:|www\.)(?=\S)", r"\1<!-- -->", words)  # would become a link
    # Marks at the start of a line: lists, headings, rules, and what makes a heading of the line above.
    return re.sub(r"^(\d*)([-+=]+|#+|(?<=\d)[.)])(?=\s|$)", r"\1\\\2", words)


def shell(words: Iterable[str]) -> str:
    r"""Return words as one line to be copied into a POSIX shell, which reads them as they are.

    A word with characters that are not seen is quoted as bash, zsh and ksh read it: `$'a\nb'`.

    >>> shell(["pytest", "--pair", "my pair; rm -rf $HOME", "a\nb"])
    "pytest --pair 'my pair; rm -rf $HOME' $'a\\nb'"
    """
    return " ".join(_quoted(word) for word in words)


def workflow_command(kind: str, message: str, **properties: str) -> str:
    """Return a GitHub workflow command, such as `error`, that shows a message in the build's summary."""
    named = ",".join(f"{name}={_percent(value, '%:,')}" for name, value in properties.items())
    return f"::{kind}{' ' if named else ''}{named}::{_percent(message, '%')}"


def csv_cell(value: object) -> object:
    """Return a cell for CSV: text that a spreadsheet would run as a formula gets an apostrophe; numbers never change.

    Spreadsheets skip spaces in front, and read full-width signs as the usual ones. Halves of characters, which stand
    for the bytes of a file's name that are not in the locale's encoding, are written as escapes.
    """
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.lstrip(" \u3000\xa0").startswith(FORMULA) else text


def _escape(character: str) -> str:
    if character in SHORT:
        return SHORT[character]
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _quoted(word: str) -> str:
    if visible(word) == word:
        return shlex.quote(word)
    inside = word.replace("\\", r"\\").replace("'", r"\'")
    return f"$'{''.join(_as_bytes(c) if unicodedata.category(c) in UNSEEN else c for c in inside)}'"


def _as_bytes(character: str) -> str:
    """The escape of a character in a shell, whose locale may not have it; half a character is a byte of a name."""
    content = character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass")
    return SHORT.get(character) or "".join(f"\\x{byte:02x}" for byte in content)


def _percent(text: str, special: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in special else c for c in visible(text))
