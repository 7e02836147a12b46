"""`embalign report`: what is on the page of a pair, that anybody can read it, and that a stranger's pair stays data."""

import base64
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess

import hostile
import light
import pytest
import synthetic_runs
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_folders import ROOT, write_pair
from PIL import Image
from tinyhtml5.parser import HTMLParser

from embalign.__main__ import main
from embalign.errors import LinkError, PageError, PairError
from embalign.experiments.elbow.report import write_report
from embalign.experiments.maps.protocol import System
from embalign.page import page as pages
from embalign.page.figures import KNOWN
from embalign.page.markdown import render_report
from embalign.page.page import make_page, write_page
from embalign.page.place import Numbering
from embalign.page.reading import read_reports
from embalign.page.typography import typeset
from embalign.pairs.config import known_pairs
from embalign.pairs.provenance import PROVENANCE, file_digest
from embalign.verdicts.basis import AGREEMENT

PAIRS = known_pairs(ROOT)
STYLE = (ROOT / "embalign" / "page" / "style.css").read_text(encoding="utf-8")
PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "<javascript:alert(1)>",
    "[a](trajectory.png) [b](../x.html) [c](#answer)",
    "![a](http://example.org/track.png)",
    "![a](../../secret.png)",
    "![a](x.svg)",
    '![a" onload="alert(1)](missing.png)',
    '[a](http://example.org/"onmouseover="alert(1))',
    "<style>body{display:none}</style>",
    "</style><script>alert(1)</script>",
    "<!-- -->@team <!-- x -->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "| <b>a</b> | b |\n| --- | --- |\n| <i>c</i> | <svg onload=alert(1)> |",
    "[x]: javascript:alert(1)\n\n[x]",
    "\u202egnp.x",
)
# All that a page is made of; nothing here can run, load or be sent.
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "nav", "footer", "div", "span"),
    *(
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "p",
        "a",
        "b",
        "strong",
        "em",
        "sup",
        "code",
        "pre",
        "br",
        "hr",
        "blockquote",
    ),
    *("ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "img"),
    *("figcaption", "details", "summary"),
}
ATTRIBUTES = {
    *("id", "class", "lang", "href", "rel", "role", "tabindex", "scope", "src", "width", "height", "alt", "open"),
    *("aria-label", "aria-labelledby", "aria-hidden", "start", "charset", "content", "http-equiv", "name"),
}


def parsed(html):
    """The tree of a page, which has no error in its HTML."""
    parser = HTMLParser(namespace_html_elements=False)
    tree = parser.parse(html)
    assert parser.errors == []
    return tree


def elements(tree):
    return [each for each in tree.iter() if isinstance(each.tag, str)]


def words(element):
    return " ".join("".join(element.itertext()).split())


def made(folder):
    """The page of the pair in a folder, as text."""
    return make_page(read_reports(str(folder), folder.parent), folder).html


def assert_inert(html):
    """Nothing of a page can run, load from elsewhere, or be sent anywhere."""
    tree = parsed(html)
    for each in elements(tree):
        assert each.tag in ELEMENTS
        assert set(each.attrib) <= ATTRIBUTES
        assert re.match(r"#[\w-]+$|https?://", each.get("href", "#x"))
        assert each.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert each.tag != "meta" or each.get("http-equiv") in (None, "Content-Security-Policy")
    (style,) = tree.iter("style")
    assert style.text == STYLE
    return tree


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The file and the tree of each shipped pair's page."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for pair in PAIRS:
        write_page(pair, ROOT, folder / f"{pair}.html")
        found[pair] = folder / f"{pair}.html", parsed((folder / f"{pair}.html").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def pair(tmp_path):
    """A copy of the smallest shipped pair: its settings and its reports but for the bake-off's, without its vectors."""
    folder = tmp_path / "mypair"
    shutil.copytree(ROOT / "benchmark" / "zh-en" / "reports", folder / "reports", ignore=shutil.ignore_patterns("maps"))
    shutil.copy(ROOT / "benchmark" / "zh-en" / "pair.toml", folder)
    return folder


def change(path, **changes):
    """Change keys at the top of a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | changes), encoding="utf-8")


def test_there_are_five_shipped_pairs_with_all_experiments():
    assert len(PAIRS) == 5
    for name in PAIRS:
        assert len(read_reports(name, ROOT).reports) >= 3


@pytest.mark.parametrize("name", PAIRS)
def test_a_page_is_small_inert_and_tells_the_browser_to_load_nothing(shipped, name):
    path, _ = shipped[name]
    assert 100_000 < path.stat().st_size < 3_000_000
    html = path.read_text(encoding="utf-8")
    tree = assert_inert(html)
    (policy,) = [meta.get("content") for meta in tree.iter("meta") if meta.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    allowed = {"default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'"}
    assert set(policy.split("; ")) == allowed | {"base-uri 'none'", "form-action 'none'"}
    assert "url(" not in STYLE
    assert "@import" not in STYLE


@pytest.mark.parametrize("name", PAIRS)
def test_headings_are_in_order_and_every_anchor_leads_somewhere(shipped, name):
    _, tree = shipped[name]
    levels = [int(each.tag[1]) for each in elements(tree) if re.fullmatch("h[1-6]", each.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    ids = [each.get("id") for each in elements(tree) if each.get("id")]
    assert len(ids) == len(set(ids)) > 30
    pointed = [each.get("href")[1:] for each in elements(tree) if each.get("href", "").startswith("#")]
    named = [each.get("aria-labelledby") for each in elements(tree) if each.get("aria-labelledby")]
    assert set(pointed + named) <= set(ids)
    assert {"main", "answer", "elbow", "spectral", "gate", "provenance"} <= {*pointed, *named}
    assert tree.get("lang") == "en"


@pytest.mark.parametrize("name", PAIRS)
def test_figures_and_tables_can_be_read_by_who_does_not_see_them(shipped, name):
    _, tree = shipped[name]
    figures = list(tree.iter("figure"))
    assert len(figures) == len(list(tree.iter("img"))) >= 5
    for figure in figures:
        (image,) = figure.iter("img")
        assert len(image.get("alt")) >= 80
        assert not image.get("alt").lower().startswith(("figure", "image", "picture"))
        assert int(image.get("width")) > 100
        assert len(words(figure.find("figcaption"))) > 60
    for table in tree.iter("table"):
        assert words(table.find("caption"))
        heads = list(table.iter("th"))
        assert {head.get("scope") for head in heads} <= {"col", "row"}
        assert all(words(head) for head in heads)
        assert all("row" in [cell.get("scope") for cell in row] for row in table.find("tbody") if words(row[0]))
    regions = [each for each in elements(tree) if each.get("role") == "region"]
    assert len(regions) == len(figures) + len(list(tree.iter("table")))
    assert all(each.get("tabindex") == "0" for each in regions)


def test_a_page_says_which_models_and_how_large_a_corpus(shipped):
    sizes = {}
    for name, (_, tree) in shipped.items():
        facts = {words(each[0]): words(each[1]) for each in next(tree.iter("dl"))}
        assert {"Draft", "Teacher", "Corpus", "Relevant", "Split", "Data"} == set(facts)
        assert all(re.search(r"\d dimensions", facts[role]) for role in ("Draft", "Teacher"))
        sizes[name] = facts["Corpus"], len((ROOT / "benchmark" / name / "corpus.jsonl").read_bytes().splitlines())
    for name in (
        "zh-en",
        "debian-minilm-mpnet",
        "debian-static-minilm",
    ):  # the others' files hold variants of style too
        assert sizes[name][0] == f"{sizes[name][1]:,} documents"
    assert sizes["smollm2-mpnet"][0] == "3,151 items"


def test_the_figures_that_the_experiments_draw_are_described():
    drawn = {path.name for path in (ROOT / "benchmark").glob("*/reports/*/*.png")}
    assert drawn == set(KNOWN)


@pytest.mark.parametrize("name", PAIRS)
def test_the_answer_is_first_and_says_what_the_verdicts_say(shipped, name):
    _, tree = shipped[name]
    reports = ROOT / "benchmark" / name / "reports"
    verdict = json.loads((reports / "elbow" / "verdict.json").read_text(encoding="utf-8"))
    table = next(tree.iter("table"))
    rows = {words(row[0]): [words(cell) for cell in row[1:]] for row in table.find("tbody")}
    uses = verdict["deployments"]
    assert [words(cell).lower() for cell in table.find("thead")[0][1:]] == [use.replace("_", " ") for use in uses]
    for title, key in (("No map", "no_map"), ("Trained map", "map"), ("Teacher", "teacher")):
        assert rows[title] == [f"{use[key]:.3f}" for use in uses.values()]
    assert [cell.split()[-1] for cell in rows["Better than no map?"]] == [
        use["better_than_no_map"].split()[-1] for use in uses.values()
    ]
    enough = [use["tuned"]["enough_pairs"] for use in uses.values()]
    assert [cell.split()[0] for cell in rows["Enough for 95 % of the gain"]] == [
        "none" if count is None else f"{count:,}" for count in enough
    ]
    answer = words(next(each for each in tree.iter("section")))
    for experiment, words_of in (("spectral", 1), ("gate", 3)):
        lines = re.findall(r"^- \*\*(.*)\*\*$", (reports / experiment / "report.md").read_text("utf-8"), re.MULTILINE)
        for line in lines[:words_of]:
            assert " ".join(typeset(line).split()) in answer


def rows_of_answer(tree):
    table = next(tree.iter("table"))
    titles = [words(cell).lower().replace(" ", "_") for cell in table.find("thead")[0][1:]]
    return {words(row[0]): dict(zip(titles, map(words, row[1:]), strict=True)) for row in table.find("tbody")}


@pytest.mark.parametrize("name", [name for name in PAIRS if (ROOT / f"benchmark/{name}/reports/maps").is_dir()])
def test_the_map_that_the_bake_off_picks_is_in_the_answer(shipped, name):
    _, tree = shipped[name]
    verdict = json.loads((ROOT / f"benchmark/{name}/reports/maps/verdict.json").read_text(encoding="utf-8"))
    rows, section = rows_of_answer(tree), words(next(tree.iter("section")))
    assert "picked map: Experiment 3, maps" in section
    for use, found in verdict["deployments"].items():
        picked = found["picked"]
        system = System(**max(picked["systems"], key=picked["systems"].count)).words
        assert rows["Picked map"][use].startswith(system)
        assert rows["Picked map, nDCG@10"][use] == f"{picked['ndcg_at_10']:.3f}"
        minus = picked["minus_no_map"]
        difference = f"{minus['difference']:+.3f} ({minus['interval'][0]:+.3f} to {minus['interval'][1]:+.3f})"
        assert rows["Picked map minus no map, searched alike"][use] == typeset(difference)
        upper = 2 * minus["difference"] - minus["lower_bound"]
        answer = "better" if minus["lower_bound"] > 0 else "worse" if upper < 0 else "not shown"
        assert rows["Picked map better than no map?"][use].endswith(answer)
        assert f"the bake-off picks is {'not shown to be better' if answer == 'not shown' else answer} than" in section
    assert rows["Picked map"]["draft_only"] == "not judged"


def bake_off(pair, **changes):
    """A bake-off's report on a pair that has none, with some keys of what is picked changed."""
    minus = {"difference": -0.02, "interval": [-0.03, -0.01], "lower_bound": -0.028}
    systems = [{"family": "mine.orthogonal", "search": "plain"}, {"family": "ridge", "search": "csls"}] * 2
    picked = {"systems": [*systems, systems[0]], "ndcg_at_10": 0.4, "minus_no_map": minus, "retention": 0.7}
    folder = pair / "reports" / "maps"
    folder.mkdir(parents=True)
    (folder / "report.md").write_text("# Which map\n\n- **An answer.**\n", encoding="utf-8")
    content = {"deployments": {"query_adapter": {"picked": picked | changes}}}
    (folder / "verdict.json").write_text(json.dumps(content), encoding="utf-8")
    return pair


def test_a_picked_map_that_loses_is_said_to_be_worse_also_where_nothing_else_was_run(pair):
    tree = parsed(made(bake_off(pair)))
    sentence = words(next(tree.iter("section")))
    assert "The trained map is worse than no map as query adapter" in sentence
    assert "The map that the bake-off picks is worse than no map searched alike as query adapter." in sentence
    shutil.rmtree(pair / "reports" / "elbow")
    shutil.rmtree(pair / "reports" / "spectral")
    tree = parsed(made(pair))
    rows = rows_of_answer(tree)
    assert rows["Picked map"] == {"query_adapter": "mine.orthogonal (3 of 5 seeds)"}
    assert rows["Picked map better than no map?"]["query_adapter"].endswith("worse")
    assert "Map minus no map" not in rows
    assert "Picked map: Experiment 3, maps; brackets" in words(next(tree.iter("section")))


@pytest.mark.parametrize(
    "changes",
    [
        {"systems": []},
        {"systems": [3]},
        {"minus_no_map": None},
        {"minus_no_map": {"interval": [1]}},
        {"ndcg_at_10": "x"},
    ],
)
def test_what_a_bake_off_says_otherwise_is_left_out(pair, changes):
    assert "Picked map" not in rows_of_answer(parsed(made(bake_off(pair, **changes))))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_in_the_name_of_a_family_becomes_active(pair, payload):
    tree = assert_inert(made(bake_off(pair, systems=[{"family": payload, "search": payload}])))
    assert "Picked map" in rows_of_answer(tree)


@pytest.mark.parametrize("name", PAIRS)
def test_all_of_each_report_is_on_the_page(shipped, name):
    _, tree = shipped[name]
    text = words(tree.find("body"))
    for path in (ROOT / "benchmark" / name / "reports").glob("*/*report.md"):
        report = path.read_text(encoding="utf-8")
        titles = re.findall(r"^##+ (.*)$", report, re.MULTILINE)
        assert len(titles) >= 3
        assert [title for title in titles if title.replace("`", "") not in text] == []
        cells = [cell.strip() for row in re.findall(r"^\| (.*) \|$", report, re.MULTILINE) for cell in row.split(" | ")]
        plain = [cell for cell in cells if re.fullmatch(r"[\w@ .,()%±+-]+", cell)]
        assert len(plain) > 5
        assert [cell for cell in plain if " ".join(typeset(cell).split()) not in text] == []


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """The contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_of_black_and_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(palette):
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(blocks) == 2
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[palette]))
    assert len(colours) == 16
    pairs = [(ink, ground) for ink in ("ink", "quiet", "link") for ground in ("ground", "raised")]
    pairs += [(f"{name}-ink", f"{name}-ground") for name in ("notice", "better", "worse", "unsure")]
    for ink, ground in pairs:
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["strong-line"], colours["ground"]) >= 3
    used = set(re.findall(r"var\(--([\w-]+)\)", STYLE))
    assert used == set(colours)
    elsewhere = re.sub(r":root \{.*?\}", "", STYLE, flags=re.DOTALL)
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", elsewhere)) == {"#ffffff"}  # the ground that figures are drawn on


def test_the_same_reports_give_the_same_bytes(pair, tmp_path):
    write_page(str(pair), tmp_path, tmp_path / "a.html")
    shutil.copytree(pair, tmp_path / "later" / "mypair")
    write_page(str(tmp_path / "later" / "mypair"), tmp_path / "later", tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_page_names_no_folder_of_the_machine(pair, tmp_path):
    (pair / "reports" / "gate" / "report.md").unlink()
    (pair / "reports" / "elbow" / "trajectory.png").unlink()
    html = made(pair)
    assert "No such file" in html
    assert str(tmp_path) not in html


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_in_a_report_becomes_active(pair, payload):
    """Whether it stands alone, in every kind of block, or in code."""
    blocks = "# t\n\n- **{}**\n\n{}\n\n## {}\n\n### {}\n\n> {}\n\n1. {}\n"
    for experiment, form in (("elbow", "{}"), ("spectral", blocks), ("gate", "```\n{}\n```\n")):
        text = form.replace("{}", payload)
        (pair / "reports" / experiment / "report.md").write_text(text, encoding="utf-8")
    html = made(pair)
    assert_inert(html)
    assert "\u202e" not in html


@settings(max_examples=60)
@given(st.data())
def test_no_generated_report_becomes_active_or_breaks_the_page(data):
    seeds = [("\n\n".join(PAYLOADS)).encode("utf-8", "surrogatepass")]
    seeds += [(ROOT / "benchmark" / "zh-en" / "reports" / "gate" / "report.md").read_bytes()[:3000]]
    content = data.draw(hostile.mutated(seeds)).decode("utf-8", "replace")
    found = render_report(content, "own-x", "t", Numbering(), lambda name, alt: f"{name} {alt}")
    parts = [line.html for line in found.answer] + [found.before, *(html for _, _, html in found.sections)]
    for part in parts:
        parser = HTMLParser(namespace_html_elements=False)
        tree = parser.parse(f"<!DOCTYPE html><html><head><title>x</title></head><body><div>{part}</div></body></html>")
        assert {error[1] for error in parser.errors} <= {"invalid-codepoint"}
        for each in elements(tree):
            assert each.tag in ELEMENTS - {"style", "meta", "img"} | {"head"}
            assert set(each.attrib) <= ATTRIBUTES
            assert re.match(r"https?://", each.get("href", "http://"))


def test_nothing_in_a_record_a_verdict_or_a_name_becomes_active(pair):
    worst = '</style></title>"><script>alert(1)</script><img src=x onerror=alert(1)>'
    folder = pair.with_name("<script>alert(1)<⁄script>\u202e'\"")
    pair.rename(folder)
    for experiment in ("elbow", "spectral", "gate"):
        reports = folder / "reports" / experiment
        about = json.loads((reports / PROVENANCE).read_text(encoding="utf-8"))
        changes = dict.fromkeys(("command", "python", "profile", "folder", "pair"), worst)
        changes |= {"seeds": [worst], "commit": {"id": worst}, "versions": {worst: worst}, "machine": {"x": [worst]}}
        changes |= {"artifacts": about["artifacts"] | {worst: worst, "../../x": worst, "a.csv": worst}}
        changes |= {"data": about["data"] | {"draft": {"model": worst, "dimension": worst}, "pair_sha256": worst}}
        change(reports / PROVENANCE, **changes)
        change(reports / "verdict.json", warnings=[{"words": worst}, worst, 3], relevance=worst)
    verdict = json.loads((folder / "reports" / "elbow" / "verdict.json").read_text(encoding="utf-8"))
    for use in verdict["deployments"].values():
        use["better_than_no_map"], use["tuned"]["kind"] = worst, worst
    change(folder / "reports" / "elbow" / "verdict.json", deployments=verdict["deployments"])
    tree = assert_inert(made(folder))
    assert "<script>alert(1)" in words(tree.find("body").find("header").find("h1"))
    assert sum(worst in words(each) for each in tree.iter("td")) >= 5
    assert any(worst in words(each) for each in elements(tree) if each.get("class") == "notice")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A pair with one short report, and its record and verdict as trees."""
    folder = tmp_path_factory.mktemp("bare") / "mypair"
    source = ROOT / "benchmark" / "zh-en"
    (folder / "reports" / "elbow").mkdir(parents=True)
    shutil.copy(source / "pair.toml", folder)
    (folder / "reports" / "elbow" / "report.md").write_text("- **It is so.**\n\n![a](trajectory.png)\n\n## A\n\ntext\n")
    trees = [
        json.loads((source / "reports" / "elbow" / name).read_text("utf-8")) for name in (PROVENANCE, "verdict.json")
    ]
    trees[1]["curves"] = trees[1]["curves"][:2]
    return folder, trees


@settings(max_examples=80)
@given(st.data())
def test_no_generated_record_or_verdict_stops_the_page_or_becomes_active(bare, data):
    folder, trees = bare
    for name, tree in zip((PROVENANCE, "verdict.json"), trees, strict=True):
        (folder / "reports" / "elbow" / name).write_bytes(data.draw(hostile.json_files([tree])))
    tree = assert_inert(made(folder))
    assert "It is so." in words(tree)


@pytest.mark.parametrize(
    "path", [("data", "split", "relevance"), ("commit", "dirty"), ("data", "draft", "model"), ("folder",)]
)
@pytest.mark.parametrize("value", [[], {"a": []}, None, True, 1e300], ids=["list", "object", "none", "true", "number"])
def test_a_value_of_another_kind_in_a_record_is_shown_or_left_out(bare, path, value):
    folder, trees = bare
    for name, tree in zip((PROVENANCE, "verdict.json"), trees, strict=True):
        content = hostile.marked(tree, path, value) if name == PROVENANCE and value is not None else tree
        (folder / "reports" / "elbow" / name).write_text(json.dumps(content), encoding="utf-8")
    assert "It is so." in words(assert_inert(made(folder)))


def test_a_pipe_in_place_of_a_report_is_not_waited_for(pair):
    (pair / "reports" / "gate" / "report.md").unlink()
    os.mkfifo(pair / "reports" / "gate" / "report.md")
    assert "gate/report.md: cannot be read (Not a regular file)" in words(parsed(made(pair)))


@pytest.mark.parametrize("kind", ["text", "bytes", "list", "deep"])
def test_a_record_that_is_something_else_is_said_where_it_would_stand(pair, kind):
    content = {"text": b"no JSON", "bytes": b"\xff\xfe", "list": b"[1]", "deep": b"[" * 100_000}[kind]
    for name in (PROVENANCE, "verdict.json"):
        (pair / "reports" / "elbow" / name).write_bytes(content)
    tree = parsed(made(pair))
    (notice,) = [each for each in tree.iter("div") if each.get("class") == "notice" and each.find("ul") is not None]
    for name in (PROVENANCE, "verdict.json"):
        assert re.search(
            rf"elbow: elbow/{name}: (not valid JSON|not what belongs there).*run the experiment", words(notice)
        )
    assert "How much is enough?" not in words(notice)
    assert len(list(tree.iter("figure"))) == 5


@pytest.mark.parametrize("where", ["report.md", "trajectory.png", "folder", "reports"])
def test_what_lies_behind_a_link_is_not_put_on_the_page(pair, tmp_path, where):
    secret = tmp_path / "outside"
    shutil.copytree(pair / "reports" / "elbow", secret / "elbow")
    text = (secret / "elbow" / "report.md").read_text(encoding="utf-8")
    (secret / "elbow" / "report.md").write_text(f"{text}\nmy-secret\n", encoding="utf-8")
    link = {"folder": pair / "reports" / "elbow", "reports": pair / "reports"}.get(
        where, pair / "reports/elbow" / where
    )
    if link.is_dir():
        shutil.rmtree(link)
    else:
        link.unlink()
    target = {"folder": secret / "elbow", "reports": secret}.get(where, secret / "elbow" / where)
    link.symlink_to(target)
    html = made(pair)
    assert "lies behind a link" in html
    assert "my-secret" not in html
    tree = parsed(html)
    assert len(list(tree.iter("img"))) == {"trajectory.png": 4, "report.md": 3, "folder": 3, "reports": 0}[where]


def picture(path, kind):
    Image.new("1", (8000, 8000) if kind == "large" else (30, 20)).save(path)
    content = path.read_bytes()
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "svg":
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>')
    elif kind == "bomb":
        path.write_bytes(content[:16] + (2**31 - 1).to_bytes(4, "big") * 2 + content[24:])
    elif kind == "heavy":
        path.write_bytes(content + bytes(3 * 2**20))
    elif kind == "jpeg":
        Image.new("RGB", (30, 20)).save(path, format="JPEG")


@pytest.mark.parametrize("kind", ["cut", "svg", "bomb", "heavy", "large", "jpeg"])
def test_a_picture_that_is_none_or_too_large_is_said_and_not_shown(pair, kind):
    picture(pair / "reports" / "elbow" / "trajectory.png", kind)
    html = made(pair)
    assert html == made(pair)
    tree = assert_inert(html)
    assert len(list(tree.iter("img"))) == 4
    (lack,) = [words(each) for each in tree.iter("p") if each.get("class") == "lack"]
    assert lack.startswith("No figure here: trajectory.png: ")
    assert "run the experiment again" in lack


def test_a_picture_is_on_the_page_once_however_often_a_report_names_it(pair):
    (pair / "reports" / "elbow" / "report.md").write_text("## A\n\n" + "![a](trajectory.png)\n\n" * 500)
    tree = parsed(made(pair))
    assert len(list(tree.iter("img"))) == 4
    assert sum("is shown above" in words(each) for each in tree.iter("p")) == 499


def test_a_report_that_is_too_large_or_no_text_is_said(pair):
    (pair / "reports" / "elbow" / "report.md").write_bytes(b"a " * 2**20)
    (pair / "reports" / "gate" / "report.md").write_bytes(b"\xff\xfe")
    text = words(parsed(made(pair)))
    assert "elbow/report.md: 2097152 bytes; the limit is 262144; run the experiment again" in text
    assert "gate/report.md: byte 0 is not UTF-8" in text


def test_files_changed_or_removed_since_the_run_are_named(pair):
    with (pair / "reports" / "elbow" / "report.md").open("a") as file:
        file.write("\nIt is better.\n")
    (pair / "reports" / "gate" / "cascade.csv").unlink()
    lines = write_page(str(pair), pair.parent, pair.parent / "x.html")
    assert "  Experiment 1, elbow: report.md: not as the run wrote it; run the experiment again" in lines
    gone = "cascade.csv: named by the run's record, and not there; run the experiment again"
    assert f"  Output-level gate: {gone}" in lines
    text = words(parsed((pair.parent / "x.html").read_text(encoding="utf-8")))
    assert "Parts of this page are not as a run left them." in text
    assert "report.mdchanged since the run" in text
    assert len(re.findall("1 changed since the run", text)) == 1


def test_nothing_is_said_where_all_is_as_it_was(shipped, tmp_path):
    assert len(write_page("zh-en", ROOT, tmp_path / "x.html")) == 1
    for _, tree in shipped.values():
        said = [words(each) for each in elements(tree) if each.get("class") == "notice"]
        assert not [text for text in said if not text.startswith("Warning: the raw draft finds")]  # of a report's own
        assert "The data in the pair's folder is that of the runs." in words(tree)


def test_an_older_record_and_verdict_leave_what_they_do_not_say(pair):
    for experiment in ("elbow", "spectral", "gate"):
        (pair / "reports" / experiment / PROVENANCE).write_text('{"experiment": "elbow", "seeds": 3}')
    (pair / "reports" / "elbow" / "verdict.json").write_text('{"deployments": {"query_adapter": {"map": "x"}}}')
    (pair / "reports" / "spectral" / "verdict.json").write_text('{"deployments": []}')
    text = words(parsed(made(pair)))
    assert "names no digest of a file, so nothing here was held to one" in text
    assert "Better than no map?" not in text
    assert "Commandnot recorded" in text


def test_runs_on_different_data_are_said(pair):
    path = pair / "reports" / "gate" / PROVENANCE
    change(path, data=json.loads(path.read_text(encoding="utf-8"))["data"] | {"pair_sha256": "0" * 64})
    text = words(parsed(made(pair)))
    assert "The runs were made on different data" in text
    assert "The data of the pair is not in its folder" in text


def test_an_experiment_that_was_not_run_is_missing_with_its_command(pair):
    shutil.rmtree(pair / "reports" / "spectral")
    (pair / "reports" / ".partial" / "spectral").mkdir(parents=True)
    (pair / "reports" / ".partial" / "spectral" / "missing.txt").write_text("x\n")
    tree = parsed(made(pair))
    (missing,) = [each for each in tree.iter("section") if each.get("aria-labelledby") == "missing"]
    assert "A run was begun; the same command resumes it. pytest benchmark/ -k spectral" in words(missing)
    assert "pytest benchmark/ -k spectral --pair mypair" in words(missing)
    assert "python tests/test_spectral_alignment.py --n 10 --pair mypair" in words(missing)
    assert not [each for each in elements(tree) if each.get("id") == "spectral"]


def test_an_experiment_of_ones_own_is_on_the_page_whatever_it_is_called(pair):
    for name in ("answer", "baseline", "x", "x-y"):
        folder = pair / "reports" / name
        folder.mkdir()
        (folder / "report.md").write_text("# T\n\n- **Yes: it does.**\n\n## Y\n\n## Main\n\ntext\n")
    tree = parsed(made(pair))
    ids = [each.get("id") for each in elements(tree) if each.get("id")]
    assert len(ids) == len(set(ids))
    assert {"own-answer", "own-baseline", "own-x", "own-x-y"} <= set(ids)
    assert words(tree).count("Yes: it does.") == 8


def test_the_summary_of_a_pair_without_labels_begins_with_whose_ranking_it_is(pair):
    """Of a real report on made-up cells: the terminal, the report and the page say the same first."""
    shutil.rmtree(pair / "reports")
    folder = pair / "reports" / "elbow"
    folder.mkdir(parents=True)
    split = {"own_queries": False, "relevance": "teacher", "train": 2000, "held_out": 60, "near_duplicates": 0}
    about = synthetic_runs.about("elbow")
    about["data"]["split"] = split | {"asking": 60, "groups": 12}
    write_report(synthetic_runs.elbow(), about, folder)
    artifacts = {path.name: file_digest(path) for path in folder.iterdir()}
    (folder / PROVENANCE).write_text(json.dumps(about | {"artifacts": artifacts}))
    tree = parsed(made(pair))
    section = next(tree.iter("section"))
    assert words(section[0]) == "The answer"
    assert words(section[1]) == AGREEMENT
    assert words(section[2]).startswith("By agreement with the teacher, the map is")
    assert "nDCG@10 of the teacher's own top 10" in words(section.find("div"))
    assert "Retention" not in words(section.find("div"))
    header = words(tree.find("body").find("header"))
    assert "the teacher's own ten nearest, since nobody has said what is relevant" in header


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda pair: shutil.rmtree(pair / "reports"), PageError, "no report of any experiment; first run one: pytest"),
        (lambda pair: (pair / "pair.toml").unlink(), PairError, "no pair "),
        (lambda pair: (pair / "pair.toml").write_text("x = 1"), PairError, "unknown field"),
        (shutil.rmtree, PairError, "neither benchmark/"),
    ],
)
def test_what_is_no_pair_or_has_no_report_is_one_line_with_a_remedy(pair, make, error, said):
    make(pair)
    with pytest.raises(error, match=said) as found:
        write_page(str(pair), pair.parent, pair.parent / "x.html")
    assert "\n" not in str(found.value)
    assert not (pair.parent / "x.html").exists()


def test_an_earlier_page_is_written_over_and_nothing_else(pair, tmp_path):
    out = tmp_path / "page.html"
    write_page(str(pair), tmp_path, out)
    first = out.read_bytes()
    change(pair / "reports" / "elbow" / PROVENANCE, command="another")
    write_page(str(pair), tmp_path, out)
    assert out.read_bytes() != first
    for content in (first[:-1], first + b"\n", first.replace(b"zh", b"hz", 1), b"", b"<!DOCTYPE html>", b"x" * 200):
        out.write_bytes(content)
        with pytest.raises(PageError, match="it is not written over: move it away, or name another file with --out"):
            write_page(str(pair), tmp_path, out)
        assert out.read_bytes() == content
    assert not list(tmp_path.glob(".embalign*"))


def test_a_folder_or_a_link_is_not_written_to(pair, tmp_path):
    (tmp_path / "there.html").write_text("x")
    (tmp_path / "link.html").symlink_to("there.html")
    with pytest.raises(LinkError, match="is a symbolic link"):
        write_page(str(pair), tmp_path, tmp_path / "link.html")
    with pytest.raises(PageError, match="a folder; name a file in it with --out"):
        write_page(str(pair), tmp_path, tmp_path)
    assert (tmp_path / "there.html").read_text() == "x"


def test_a_page_without_end_is_not_written(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "LARGEST_PAGE", 1000)
    with pytest.raises(PageError, match="the limit is 1000"):
        write_page(str(pair), tmp_path, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_the_command_writes_the_page_here_and_says_what_is_on_it(pair, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--pair", "mypair"]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert re.match(r"mypair\.html written, \d+ kB: the answer on mypair, 3 reports, 5 figures, \d+ tables$", said)
    assert (tmp_path / "mypair.html").is_file()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    os.rename(pair / "reports", moved / "mypair")
    assert main(["report", "--pair", "mypair", "--reports-dir", "elsewhere", "--out", "new/other.html"]) == 0
    assert (tmp_path / "new" / "other.html").read_bytes() == (tmp_path / "mypair.html").read_bytes()
    assert main(["report"]) == 4
    assert "no pair is named" in capsys.readouterr().err


def test_a_run_names_the_command_of_the_page_and_the_page_has_the_run(tmp_path, smollm2, monkeypatch, capsys):
    root = tmp_path / "root"
    light.build_root(root, write_pair(tmp_path / "pair" / "small", smollm2, 60), cells=4)
    done = subprocess.run(
        light.command(), cwd=root, env=light.environment(LIGHT_SECONDS="0"), capture_output=True, text=True, check=False
    )
    assert "all reports of a pair on one HTML page: embalign report --pair small\n" in done.stdout
    (root / "benchmark" / "small" / "reports" / "light" / "report.md").write_text("**It is done.**\n")
    monkeypatch.chdir(root)
    assert main(["report", "--pair", "small"]) == 0
    text = words(parsed((root / "small.html").read_text(encoding="utf-8")))
    assert "It is done." in text
    assert "The data in the pair's folder is that of the runs." in text
    capsys.readouterr()
