"""Tables of a report as HTML: numbered and named, their headers marked, numbers aligned, each in a region that scrolls.

The functions that open and close elements are rules of the Markdown renderer, which gives them all tokens and a place.
"""

import re
from collections.abc import Sequence
from typing import Any

from markdown_it.token import Token
from markupsafe import escape

from embalign.page.place import Place
from embalign.page.typography import typeset

SHORT = 16  # characters of a number that stands on one line
# Besides digits and signs, what may stand in a cell that is aligned as a number.
WORDS_OF_NUMBERS = re.compile(r"\b(to|of|pairs|above|none|b|e)\b")


def words_of(token: Token) -> str:
    """Return the text of an inline token, without its marks."""
    children = token.children or []
    return "".join(child.content for child in children if child.type in ("text", "code_inline", "text_special")).strip()


def describe_tables(tokens: Sequence[Token]) -> None:
    """Note on each cell whether its column is of numbers, and whether it names its row."""
    for start in [i for i, token in enumerate(tokens) if token.type == "table_open"]:
        end = next(i for i in range(start, len(tokens)) if tokens[i].type == "table_close")
        rows: list[list[tuple[Token, str]]] = []
        for i in range(start, end):
            if tokens[i].type == "tr_open":
                rows.append([])
            elif tokens[i].type in ("th_open", "td_open"):
                rows[-1].append((tokens[i], words_of(tokens[i + 1])))
        body = rows[1:]
        for column in range(len(rows[0])):
            cells = [row[column] for row in body if column < len(row)]
            kind = _kind([text for _, text in cells])
            for token, text in [rows[0][column], *cells]:
                token.meta = {"class": kind, "first": column == 0, "empty": not text}


def _kind(texts: Sequence[str]) -> str:
    """How a column is set: `n`, short numbers; `m`, longer ones; `t`, words; `s`, a few of them; `l`, sentences."""
    filled = [text for text in texts if text]
    longest = max(map(len, filled), default=0)
    if filled and all(_is_number(text) for text in filled):
        return "n" if longest <= SHORT else "m"
    return "l" if longest > 2.5 * SHORT else "s" if longest > SHORT else "t"


def _is_number(text: str) -> bool:
    """Whether a cell is a number, perhaps with its interval or its unit."""
    begins = re.match(r"[-+±]?\d|none|above", text) is not None
    return begins and not re.search(r"[^\W\d_]", WORDS_OF_NUMBERS.sub("", text))


def open_table(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """Open a table in its region."""
    place: Place = env["place"]
    place.numbering.tables += 1
    place.under_title += 1
    words = f"{place.title} ({place.under_title})" if place.under_title > 1 else place.title
    name = f"table-{place.numbering.tables}"
    caption = f"<b>Table {place.numbering.tables}.</b> {escape(typeset(words))}"
    region = f'<div class="scroll" role="region" tabindex="0" aria-labelledby="{name}">'
    return f'{region}<table><caption id="{name}"><span>{caption}</span></caption>'


def close_table(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """Close a table and its region."""
    return "</table></div>\n"


def open_head(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """Open a header of a column; an empty one would name nothing."""
    meta = tokens[i].meta
    return f'<th scope="col" class="{meta["class"]}">' if not meta["empty"] else "<td>"


def open_cell(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """Open a cell, the first of a row as the row's header."""
    meta = tokens[i].meta
    if meta["first"] and not meta["empty"]:
        return f'<th scope="row" class="{meta["class"]}">'
    return f'<td class="{meta["class"]}">'


def close_cell(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """Close a cell or header."""
    meta, is_head = tokens[i - 2].meta, tokens[i].type == "th_close"
    return "</th>" if (meta["first"] or is_head) and not meta["empty"] else "</td>"


def close_row(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """Close a row."""
    return "</tr>\n"
