"""A report in Markdown as HTML: headings below the page's own, tables with captions, figures inside the page.

Reports are rendered from report.md, which is what a run wrote for its readers: prose and tables stand nowhere else, and
a second wording of them could differ. No HTML in it is kept, and no link but to the web.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markupsafe import Markup, escape

from embalign.page.figures import Figure
from embalign.page.place import Numbering, Place
from embalign.page.tables import (
    close_cell,
    close_row,
    close_table,
    describe_tables,
    open_cell,
    open_head,
    open_table,
    words_of,
)
from embalign.page.typography import typeset

LEAD = 60  # characters of the words in bold that begin a line of an answer
LAW = (
    "c - a n^-b",
    Markup("c\u00a0\u2212\u00a0a\u00a0n<sup>\u2212b</sup>"),
)  # as the elbow's report writes it, and set
SPLIT = "<!-- -->"  # keeps a name from notifying a person where Markdown is GitHub's


@dataclass(frozen=True)
class Line:
    """A line of an answer: as HTML, and its words alone."""

    html: Markup
    words: str


@dataclass(frozen=True)
class Rendered:
    """A report in parts: its answer, line by line, what follows it, and its sections by anchor and title."""

    answer: tuple[Line, ...]
    before: Markup
    sections: tuple[tuple[str, str, Markup], ...]


def render_report(
    text: str, prefix: str, title: str, numbering: Numbering, figure: Callable[[str, str], Figure | str]
) -> Rendered:
    """Return a report as HTML. `figure` gives a picture by its name and alternative text, or says why there is none.

    Tables that stand before the first heading are named by `title`. Nothing of the text becomes active.
    """
    parser = _parser()
    tokens = parser.parse(text)
    tokens = [*_without_title(tokens)]
    answer, tokens = _answer(tokens)
    place = Place(prefix, numbering, figure, title)
    parts = list(_parts(tokens))
    before = _html(parser, parts[0], place, figures_first=True)
    sections = []
    for part in parts[1:]:
        heading = words_of(part[1])
        place.title, place.under_title, place.level = heading, 0, 3
        sections.append((numbering.anchor(prefix, heading), heading, _html(parser, part[3:], place)))
    lines = tuple(_line(parser, inline, place) for inline in answer)
    return Rendered(lines, before, tuple(sections))


class _Parser(MarkdownIt):
    """Lets through links to the web and names of PNG files alone; every other stays as the text that it is."""

    def validateLink(self, url: str) -> bool:  # noqa: N802  # the library's name
        """Return whether a link, or the address of a picture, is let through."""
        return re.fullmatch(r"https?://[^\s@]+|\w[\w.-]*\.png", url, re.ASCII) is not None


def _parser() -> MarkdownIt:
    parser = _Parser("commonmark", {"html": False, "linkify": False}).enable("table")
    parser.inline.ruler.before("text", "split", _skip_split)
    rules: dict[str, Any] = {
        "table_open": open_table,
        "table_close": close_table,
        "th_open": open_head,
        "td_open": open_cell,
    }
    rules |= {"th_close": close_cell, "td_close": close_cell, "tr_close": close_row, "link_open": _link}
    rules |= {"heading_open": _heading, "heading_close": _heading_end, "fence": _code, "code_block": _code}
    rules |= {"image": _image, "figure": _figure, "text": _text}
    for name, rule in rules.items():
        parser.add_render_rule(name, rule)
    return parser


def _skip_split(state: StateInline, silent: bool) -> bool:
    if not state.src.startswith(SPLIT, state.pos):
        return False
    state.pos += len(SPLIT)
    return True


def _html(parser: MarkdownIt, tokens: Sequence[Token], place: Place, *, figures_first: bool = False) -> Markup:
    describe_tables(tokens)
    tokens = [*_with_figures(tokens)]
    if figures_first:
        tokens.sort(key=lambda token: token.type != "figure")
    return Markup(parser.renderer.render(tokens, parser.options, {"place": place}))


def _without_title(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens but for a first heading, which the page has in words of its own."""
    first = tokens[:3]
    named = bool(first) and first[0].type == "heading_open" and first[0].tag == "h1"
    yield from tokens[3:] if named else tokens


def _answer(tokens: list[Token]) -> tuple[list[Token], list[Token]]:
    """The inline tokens of the list that a report begins with, or of its first paragraph, and what is left."""
    if tokens and tokens[0].type == "bullet_list_open":
        end = next(i for i, token in enumerate(tokens) if token.type == "bullet_list_close" and token.level == 0)
        return [token for token in tokens[:end] if token.type == "inline"], tokens[end + 1 :]
    if len(tokens) >= 3 and tokens[0].type == "paragraph_open":
        return [tokens[1]], tokens[3:]
    return [], tokens


def _line(parser: MarkdownIt, inline: Token, place: Place) -> Line:
    """A line of an answer, of which reports have all in bold: here its first words alone."""
    children = list(inline.children or [])
    marks = ("strong_open", "strong_close")
    plain = [
        child for child in children if child.type not in (*marks, "image") and (child.type != "text" or child.content)
    ]
    if plain and plain[0].type == "text" and (lead := _lead(plain[0].content)):
        rest = Token("text", "", 0, content=plain[0].content[len(lead) :])
        bold = Token("text", "", 0, content=lead)
        plain = [Token("strong_open", "strong", 1), bold, Token("strong_close", "strong", -1), rest, *plain[1:]]
    html = cast(RendererHTML, parser.renderer).renderInline(plain, parser.options, {"place": place})
    return Line(Markup(html), "".join(child.content for child in plain if child.type != "image"))


def _lead(text: str) -> str:
    """The words up to a first colon, or else the first sentence, if they are short."""
    for sign, most in ((":", LEAD), (". ", 2 * LEAD)):
        end = text.find(sign)
        if 0 < end <= most:
            return text[: end + 1]
    return ""


def _parts(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens before the first heading of the second level, and from each such heading on."""
    part: list[Token] = []
    for token in tokens:
        if token.type == "heading_open" and token.level == 0 and token.tag in ("h1", "h2"):
            yield part
            part = []
        part.append(token)
    yield part


def _heading(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    place: Place = env["place"]
    place.title, place.under_title = words_of(tokens[i + 1]), 0
    place.level = max(3, min(int(tokens[i].tag[1]) + 1, place.level + 1, 6))
    anchor = place.numbering.anchor(place.prefix, place.title)
    tokens[i].meta = {"level": place.level}
    return f'<h{place.level} id="{anchor}">'


def _heading_end(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return f"</h{tokens[i - 2].meta['level']}>\n"


def _with_figures(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens with each paragraph that is a picture as a figure, whose caption is what follows it in italics."""
    i = 0
    while i < len(tokens):
        if not (picture := _alone(tokens, i, "image")):
            yield tokens[i]
            i += 1
            continue
        meta: dict[str, Any] = {"name": str(picture[0].attrs.get("src", "")), "alt": picture[0].content}
        i += 3
        if caption := _alone(tokens, i, "em_open"):
            meta["caption"] = caption[1:-1]
            i += 3
        yield Token("figure", "figure", 0, meta=meta)


def _alone(tokens: Sequence[Token], i: int, kind: str) -> list[Token]:
    """The children of a paragraph that is one picture, or one run of italics; none for every other."""
    if [token.type for token in tokens[i : i + 3]] != ["paragraph_open", "inline", "paragraph_close"]:
        return []
    children = list(tokens[i + 1].children or [])
    if not children or children[0].type != kind:
        return []
    if kind == "image":
        return children if len(children) == 1 else []
    ends = [j for j, child in enumerate(children) if child.type == "em_close" and child.level == children[0].level]
    return children if ends[:1] == [len(children) - 1] else []


def _figure(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    place: Place = env["place"]
    meta = tokens[i].meta
    found = place.figure(meta["name"], meta["alt"])
    if isinstance(found, str):
        return f'<p class="lack">No figure here: {escape(found)}.</p>\n'
    place.numbering.figures += 1
    number = place.numbering.figures
    words = (
        self.renderInline(meta["caption"], options, env) if "caption" in meta else escape(typeset(found.words.caption))
    )
    size = f'width="{found.width}" height="{found.height}"'
    image = f'<img src="{found.uri}" {size} alt="{escape(typeset(found.words.alt))}">'
    region = f'<div class="picture" role="region" tabindex="0" aria-label="Figure {number}">{image}</div>'
    return f'<figure id="figure-{number}">{region}<figcaption><b>Figure {number}.</b> {words}</figcaption></figure>\n'


def _text(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return escape(typeset(tokens[i].content)).replace(*LAW)


def _image(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """A picture inside a line has no place for a caption: its words alone."""
    return f"[{escape(tokens[i].content)}]"


def _link(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """A link to the web; the name of a picture is let through for pictures alone, and leads nowhere."""
    address = str(tokens[i].attrs.get("href", ""))
    return f'<a href="{escape(address)}" rel="noreferrer nofollow">' if re.match("https?://", address) else "<a>"


def _code(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    return f"<pre><code>{escape(tokens[i].content)}</code></pre>\n"
