"""Numbers in running text as they are set: a minus that is read as one, and no line end between number and per cent."""

import re


def typeset(text: str) -> str:
    r"""Return text with the minus sign in front of numbers, and a space that does not break before a per cent sign.

    A screen reader says minus for the sign and often nothing for a hyphen. Code is never set so: it is copied.

    >>> typeset("-0.5 (-1 to +2), 95 %, Qwen2.5-0.5B")
    '\u22120.5 (\u22121 to +2), 95\xa0%, Qwen2.5-0.5B'
    """
    text = re.sub(r"(?<![^\s(])-(?=\d)", "\u2212", text)
    return re.sub(r"(?<=\d) (?=%)", "\xa0", text)
