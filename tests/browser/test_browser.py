"""The pages of `embalign report` in a real browser: what it loads, how it fits, who can read it, how it prints.

tox -e browser, with Debian's chromium: apt-get install chromium poppler-utils
"""

import json
import os
import shutil
import subprocess

import pytest
from pair_folders import ROOT

from embalign.page.page import write_page
from embalign.pairs.config import known_pairs

Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="run tox -e browser").Axe
sync_playwright = pytest.importorskip("playwright.sync_api", reason="run tox -e browser").sync_playwright
SHIPPED = known_pairs(ROOT)
DAMAGED = "damaged"
PAIRS = [*SHIPPED, DAMAGED]
NAMES = ("chromium", "chromium-browser", "google-chrome")
A4 = 695  # CSS pixels between the margins of a printed page
OPEN = "document.querySelectorAll('details').forEach(each => { each.open = true })"
WIDER = """
limit => {
  const scrolls = each => each && (getComputedStyle(each).overflowX === 'auto' || scrolls(each.parentElement));
  const reaches = each => each.getBoundingClientRect().width > 0 && each.getBoundingClientRect().right > limit + 0.5;
  return [...document.querySelectorAll('body *')]
    .filter(each => reaches(each) && !each.closest('.skip') && !scrolls(each.parentElement))
    .map(each => each.outerHTML.slice(0, 120));
}
"""


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """The page of each shipped pair by its name, and one on which everything is said that may be said of a pair."""
    folder = tmp_path_factory.mktemp("pages")
    for pair in SHIPPED:
        write_page(pair, ROOT, folder / f"{pair}.html")
    damaged = folder / ("a-long-name-of-a-pair-" * 4)
    shutil.copytree(ROOT / "benchmark" / "zh-en" / "reports", damaged / "reports")
    shutil.copy(ROOT / "benchmark" / "zh-en" / "pair.toml", damaged)
    elbow, spectral, gate = (damaged / "reports" / name for name in ("elbow", "spectral", "gate"))
    verdict = json.loads((elbow / "verdict.json").read_text(encoding="utf-8"))
    warned = verdict | {"relevance": "teacher", "warnings": [{"words": "labels mean nothing. " * 9}]}
    (elbow / "verdict.json").write_text(json.dumps(warned), encoding="utf-8")
    (elbow / "trajectory.png").write_bytes(b"no picture")
    shutil.rmtree(spectral)
    (gate / "verdict.json").unlink()
    (gate / "report.md").write_text(
        "- **" + "word" * 100 + "**\n\n## " + "x" * 300 + "\n\n```\n" + "y" * 500 + "\n```\n"
    )
    write_page(str(damaged), folder, folder / f"{DAMAGED}.html")
    return {pair: (folder / f"{pair}.html").as_uri() for pair in PAIRS}


@pytest.fixture(scope="session")
def browser():
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail("no chromium on the path; install one: apt-get install chromium", pytrace=False)
    sandbox = [] if os.getuid() else ["--no-sandbox"]  # which root has none
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield started
        started.close()


@pytest.fixture
def opened(browser, pages):
    """Return a function that opens a pair's page in a window of its own."""
    contexts = []

    def open_page(pair, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.loaded, page.said = [], []
        page.on("request", lambda request: page.loaded.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(pages[pair])
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("pair", PAIRS)
def test_a_page_loads_nothing_but_itself_and_the_browser_has_nothing_to_say(opened, pages, pair):
    page = opened(pair)
    page.evaluate(OPEN)
    page.wait_for_load_state("networkidle")
    assert [url for url in page.loaded if not url.startswith("data:image/png;base64,")] == [pages[pair]]
    assert page.said == []
    pictures = page.evaluate("[...document.images].map(image => [image.complete, image.naturalWidth])")
    assert len(pictures) >= (5 if pair in SHIPPED else 1)
    assert all(complete and width > 100 for complete, width in pictures)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("pair", PAIRS)
def test_nothing_is_wider_than_the_window(opened, pair, width):
    page = opened(pair, width)
    for script in ("", OPEN):
        page.evaluate(script)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert page.evaluate(WIDER, width) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pair", PAIRS)
def test_an_accessibility_checker_finds_nothing(opened, pair, scheme):
    """All rules of axe, those of best practice too; everything that is folded is open."""
    for width in (390, 1280):
        page = opened(pair, width, color_scheme=scheme)
        page.evaluate(OPEN)
        found = Axe().run(page)
        assert len(found.response["passes"]) >= 20
        assert found.response["violations"] == [], found.generate_report()


@pytest.mark.parametrize("pair", PAIRS)
def test_without_scripts_all_can_be_read_and_what_is_folded_opened(opened, pair):
    page = opened(pair, java_script_enabled=False)
    assert "The answer" in page.inner_text("main")
    folded = page.locator("details:not([open])").first
    assert not folded.locator("table, p, pre").first.is_visible()
    folded.locator("summary").click()
    page.wait_for_timeout(100)
    assert page.locator("details[open]").count() >= 2


def test_a_keyboard_reaches_the_answer_first_and_each_table(opened):
    page = opened("smollm2-mpnet", 390)
    page.keyboard.press("Tab")
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "scroll"


@pytest.mark.parametrize("pair", PAIRS)
def test_on_paper_nothing_is_folded_or_cut_off(opened, pair, tmp_path):
    page = opened(pair, A4)
    page.emulate_media(media="print")
    assert page.evaluate(WIDER, A4) == []
    titles = page.evaluate("[...document.querySelectorAll('main h2, main h3')].map(each => each.textContent)")
    cells = page.evaluate("[...document.querySelectorAll('table')].map(each => each.rows.length)")
    path = tmp_path / "page.pdf"
    page.pdf(path=path, prefer_css_page_size=True)
    about = subprocess.run(["pdfinfo", path], capture_output=True, text=True, check=True).stdout
    assert "A4" in about
    pages = int(about.partition("Pages:")[2].split()[0])
    assert (8 if pair in SHIPPED else 4) <= pages <= 60
    text = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True).stdout
    words = " ".join(text.split())
    printed = [title for title in titles if title != "Contents" and len(title) < 200]
    assert len(printed) > (20 if pair in SHIPPED else 5)
    assert [title for title in printed if " ".join(title.split()) not in words] == []
    assert sum(cells) < len([line for line in text.splitlines() if line.strip()])
    assert not [number for number in range(1, len(cells) - 10) if f"Table {number}." not in words]
