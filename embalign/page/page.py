"""The page itself: the reports of a pair put into the template, and a file written over nothing but an earlier page."""

import base64
import functools
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jinja2
from markupsafe import Markup

from embalign.durable import move_all, sweep, writing
from embalign.errors import LinkError, PageError
from embalign.escaping import shell, visible
from embalign.page.facts import about_pair, provenance_of
from embalign.page.figures import Figure, read_figure
from embalign.page.markdown import Rendered, render_report
from embalign.page.place import Numbering
from embalign.page.reading import PairReports, Report, read_reports
from embalign.page.summary import summarise
from embalign.readers import MEBI, opened

LARGEST_PAGE = 32 * MEBI
LARGEST_FIGURES = 16 * MEBI  # of all figures together, as the page holds them
MOST_PROBLEMS = 20  # with figures, that are named one by one
BUILDING = ".embalign-report-"
# The last line of a page: the digest of all before it, by which a page that nobody has changed is known.
MARK = re.compile(rb"<!-- embalign report sha256 ([0-9a-f]{64}) -->\n\Z")
MARK_LENGTH = 100


@dataclass(frozen=True)
class Page:
    """A page as text, how many reports, figures and tables are on it, and what its reader is warned of."""

    html: str
    reports: int
    figures: int
    tables: int
    problems: tuple[str, ...]


def write_page(pair: str, root: Path, out: Path | None = None, reports_dir: Path | None = None) -> list[str]:
    """Write the page of a pair, by default as `<pair>.html` in `root`, and return what to tell the user.

    Raises PairError or PageError for what cannot be read, PageError for a file that is no page of this command.
    """
    reports = read_reports(pair, root, reports_dir)
    path = out or root / f"{reports.name}.html"
    _refuse(path)
    page = make_page(reports, (reports_dir or reports.folder))
    content = page.html.encode("utf-8")
    if len(content) > LARGEST_PAGE:
        raise PageError(f"{reports.folder}: its page would have {len(content)} bytes; the limit is {LARGEST_PAGE}")
    mark = f"<!-- embalign report sha256 {hashlib.sha256(content).hexdigest()} -->\n"
    _write(path, content + mark.encode("ascii"))
    held = f"{page.reports} reports, {page.figures} figures, {page.tables} tables"
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    size = f"{(len(content) + len(mark)) / 1000:,.0f} kB"
    return [
        f"{visible(str(shown))} written, {size}: the answer on {visible(reports.name)}, {held}",
        *(f"  {problem}" for problem in page.problems),
    ]


def make_page(pair: PairReports, trusted: Path) -> Page:
    """Return the page of a pair's reports; the same reports give the same bytes. Pictures lie in `trusted`."""
    numbering = Numbering(anchors=dict.fromkeys((report.source.anchor for report in pair.reports), 0))
    figures = _Figures(trusted, summarise(pair.reports, {}).levels)
    rendered: dict[str, Rendered] = {}
    for report in pair.reports:
        source = report.source
        figure = functools.partial(figures.find, report)
        rendered[source.anchor] = render_report(report.text, source.anchor, source.title, numbering, figure)
    answers = {anchor: found.answer for anchor, found in rendered.items()}
    problems = [f"{report.source.kind}: {words}" for report in pair.reports for words in report.problems]
    problems += figures.problems
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    html = _template().render(
        pair=pair,
        name=visible(pair.name),
        command=shell(["embalign", "report", "--pair", pair.named]),
        facts=about_pair(pair),
        summary=summarise(pair.reports, answers),
        rendered=rendered,
        problems=problems,
        provenance=provenance_of(pair),
        version=metadata.version("embalign"),
        style=Markup(style),
        style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii"),
    )
    return Page(html, len(pair.reports), numbering.figures, numbering.tables, tuple(problems))


class _Figures:
    """The figures of a page, each put on it once, and why one is not; `levels` is for who cannot see them."""

    def __init__(self, trusted: Path, levels: str) -> None:
        self.trusted, self.levels = trusted, levels
        self.problems: list[str] = []
        self.shown: dict[Path, int] = {}

    def find(self, report: Report, name: str, alt: str) -> Figure | str:
        """Return a figure of a report, or why it is not shown."""
        if report.folder / name in self.shown:
            return f"{visible(name)} is shown above"
        if sum(self.shown.values()) > LARGEST_FIGURES:
            return "the page is full"
        try:
            found = read_figure(name, visible(alt), report.folder, self.trusted, self.levels)
        except PageError as error:
            words = str(error).replace(f"{visible(str(report.folder))}{os.sep}", "")
            if len(self.problems) < MOST_PROBLEMS:
                self.problems.append(f"{report.source.kind}: {words}")
            return words
        self.shown[report.folder / name] = len(found.uri)
        return found


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("embalign", "page"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.j2")


def _refuse(path: Path) -> None:
    """Raise PageError where a page would be written over what is no earlier page, LinkError for a link."""
    other = "name another file with --out"
    if path.is_symlink():
        raise LinkError(f"{path} is a symbolic link, and nothing is written through one; remove it, or {other}")
    if path.is_dir():
        raise PageError(f"{path}: a folder; name a file in it with --out, such as {path / 'report.html'}")
    if path.exists() and not _is_own(path):
        raise PageError(
            f"{path}: not a page that this command has written, or changed since; it is not written over: move it "
            f"away, or {other}"
        )


def _is_own(path: Path) -> bool:
    """Whether a file is a page of this command as it was written."""
    try:
        with opened(path) as file:
            content = file.read(LARGEST_PAGE + MARK_LENGTH + 1)
    except OSError:
        return False
    found = MARK.search(content, max(0, len(content) - MARK_LENGTH))
    return found is not None and hashlib.sha256(content[: found.start()]).hexdigest().encode() == found[1]


def _write(path: Path, content: bytes) -> None:
    folder = path.parent
    with writing(path, PageError, "name another file with --out"):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder, BUILDING)
        with tempfile.TemporaryDirectory(dir=folder, prefix=BUILDING) as building:
            (Path(building) / path.name).write_bytes(content)
            move_all(Path(building), folder)
