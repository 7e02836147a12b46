"""README and docs/: what they name exists, and what they say is what the repository holds."""

import json
import re
import shutil
import subprocess
import sys
import tomllib

import pandas as pd
import pytest
from pair_folders import ROOT

from embalign.experiments.tables import percent
from embalign.pairs.config import read_config

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAIRS = ("qwen-sentence-align", "smollm2-mpnet")


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE).group(1)


def committed():
    """Every committed file, as parts of its path."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [tuple(line.split("/")) for line in listed.splitlines()]


def drawn_paths():
    """The paths of README's tree: on each line the names before two spaces, under the folder they are indented by."""
    paths, above = set(), []
    for line in re.search(r"```\n(.*?)```", section("The tree"), re.DOTALL).group(1).splitlines():
        names = line.strip().split("  ")[0].split(" ")
        above = above[: (len(line) - len(line.lstrip())) // 2]
        paths |= {"/".join([*above, name]).replace("//", "/") for name in names}
        above = [*above, names[0].rstrip("/")]
    return paths


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def test_the_tree_names_nothing_that_does_not_exist():
    paths = drawn_paths()
    assert len(paths) > 25
    wrong = {path for path in paths if not (ROOT / path).exists() or (ROOT / path).is_dir() != path.endswith("/")}
    assert not wrong


def test_the_tree_names_every_folder_of_the_package_and_every_top_level_entry():
    files = [file for file in committed() if not file[0].startswith(".")]
    top = {file[0] + ("/" if len(file) > 1 else "") for file in files}
    folders = {"/".join(file[:depth]) + "/" for file in files for depth in range(2, len(file)) if file[0] == "embalign"}
    of_benchmark = {"/".join(file[:2]) + "/" for file in files if file[0] == "benchmark" and len(file) > 2}
    assert not (top | folders | of_benchmark) - drawn_paths()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_image_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    for target in targets:
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_fit_a_screen(page):
    assert not [line for line in page.read_text(encoding="utf-8").splitlines() if len(line) > 120]


def test_the_readme_is_read_in_one_go():
    assert len(README.splitlines()) <= 160


def test_the_glossary_defines_each_term_once():
    defined = re.findall(r"\*\*([\w-]+)\*\*", section("Glossary"))
    terms = {"draft", "teacher", "map", "deployment", "retention", "margin", "corner", "corner-free", "gate", "seed"}
    assert sorted(defined) == sorted(terms | {"cell"})


def results(pair):
    """What the committed reports of a pair say, by row of the results tables."""
    reports = ROOT / "benchmark" / pair / "reports"
    elbow = pd.read_csv(reports / "elbow" / "data_ratio_vs_metrics.csv")
    random = elbow[elbow["policy"] == "random"]
    fixed = random[random["budget"] == "steps"].groupby("ratio").mean(numeric_only=True)
    ridge = random[random["budget"] == "closed_form"].groupby("ratio").mean(numeric_only=True)
    density = elbow[(elbow["policy"] == "density") & (elbow["budget"] == "steps") & (elbow["ratio"] == 0.1)]
    reference = pd.read_csv(reports / "elbow" / "references.csv").groupby("reference").mean(numeric_only=True)
    curves = json.loads((reports / "elbow" / "verdict.json").read_text(encoding="utf-8"))["curves"]
    curve = {c["metric"]: c for c in curves if (c["policy"], c["budget"]) == ("random", "steps")}
    spectral = json.loads((reports / "spectral" / "verdict.json").read_text(encoding="utf-8"))["answer"]
    gate = pd.read_csv(reports / "gate" / "gate_exported.csv").iloc[0]

    def numbers(*values):
        return ", ".join(f"{value:.3f}" for value in values)

    def enough(metric):
        ratio = curve[metric]["recommended_ratio"]
        return percent(ratio), f"{percent(ratio)} ({fixed.loc[ratio, 'n_train']:.0f} items)"

    def or_below(metric):
        low, high = curve[metric]["recommended_interval"]
        return f"{percent(high)}; {percent(low)} not ruled out"

    cosine, recall = fixed["cosine_mean"], fixed["recall_at_1"]
    raw, untrained, teacher = (reference.loc[name, "recall_at_1"] for name in ("draft", "untrained", "teacher"))
    low, high = curve["recall_at_1"]["elbow_interval"]
    certified = {risk: gate[f"{gate['score']}_certified_{risk}_coverage"] for risk in ("10", "20")}
    accepts = percent(certified["20"])
    assert certified["10"] == 0
    return {
        "mean cosine: constant vector, trained map": numbers(reference.loc["mean_vector", "cosine_mean"], cosine[1.0]),
        "mean cosine: constant vector, trained map, ridge": numbers(
            reference.loc["mean_vector", "cosine_mean"], cosine[1.0], ridge.loc[1.0, "cosine_mean"]
        ),
        "Recall@1: raw draft, trained map, teacher": numbers(raw, recall[1.0], teacher),
        "Recall@1: raw draft, untrained map, trained map, teacher": numbers(raw, untrained, recall[1.0], teacher),
        "retention of Recall@1: raw draft, trained map": f"{raw / teacher:.0%}, {recall[1.0] / teacher:.0%}".replace(
            "%", " %"
        ),
        "enough for 95 % of the gain in mean cosine": enough("cosine_mean"),
        "enough for 95 % of the gain in Recall@1 over chance": (*enough("recall_at_1"), or_below("recall_at_1")),
        "elbow by Recall@1, with its 95 % interval": (
            f"{percent(curve['recall_at_1']['elbow'])} ({100 * low:.3g} to {percent(high)})"
        ),
        f"mean cosine of 10 % ({fixed.loc[0.1, 'n_train']:.0f} items): random, densest first": numbers(
            cosine[0.1], density["cosine_mean"].mean()
        ),
        "spectral loss, λ 0.001 to 0.05: 12 comparisons with none": re.search(
            r"of 12 comparisons with the baseline: ([^.]+)\.", spectral
        ).group(1),
        "gate, risk at most 20 %, at most 10 %: outputs accepted": f"{accepts}, none certifiable",
        "gate of the exported map, risk at most 20 %: accepts": (
            f"{accepts} (top-1 ≥ {gate['top1_certified_20_threshold']:.4f})"
        ),
    }


def table_rows(text):
    """The rows of a Markdown table whose columns are the pairs: label and one cell for each pair."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert [pair in cell for pair, cell in zip(PAIRS, rows[0][1:], strict=True)] == [True, True]
    return rows[2:]


@pytest.mark.parametrize(("place", "pair"), list(enumerate(PAIRS, start=1)))
def test_every_cell_of_the_readmes_results_is_what_the_committed_reports_say(place, pair):
    expected = results(pair)
    rows = table_rows(section("What the numbers say"))
    assert len(rows) >= 8
    for row in rows:
        allowed = expected[row[0]]
        assert row[place] in (allowed if isinstance(allowed, tuple) else (allowed,)), row[0]


@pytest.mark.parametrize(("place", "pair"), list(enumerate(PAIRS, start=1)))
def test_the_results_page_agrees_with_the_committed_reports(place, pair):
    expected = results(pair)
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    checked = [row for row in table_rows(text) if row[0] in expected]
    assert len(checked) >= 7
    for row in checked:
        allowed = expected[row[0]]
        assert row[place] in (allowed if isinstance(allowed, tuple) else (allowed,)), row[0]


def test_the_readme_says_on_how_many_items_and_seeds_its_results_rest():
    text = " ".join(section("What the numbers say").split())
    for pair in PAIRS:
        reports = ROOT / "benchmark" / pair / "reports"
        elbow = pd.read_csv(reports / "elbow" / "data_ratio_vs_metrics.csv")
        whole = elbow[(elbow["ratio"] == 1) & (elbow["policy"] == "random") & (elbow["budget"] == "steps")]
        outputs = len(pd.read_csv(reports / "gate" / "gate_outputs.csv"))
        corpus = (reports.parent / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        plain = sum("style" not in json.loads(line) for line in corpus)
        assert f"the {outputs} held-out items" in text
        assert f"100 %, which is {whole['n_train'].iloc[0]} items, ten seeds" in text
        assert whole["seed"].nunique() == 10
        assert f"exported map: {plain - outputs} items, one seed" in text
    untrained = pd.read_csv(ROOT / "benchmark" / PAIRS[0] / "reports" / "elbow" / "references.csv")
    recall = untrained.loc[untrained["reference"] == "untrained", "recall_at_1"].mean()
    assert f"untrained, its Recall@1 is {recall:.3f}" in text


def test_the_readmes_pair_is_a_valid_pair(tmp_path):
    (toml,) = re.findall(r"<<'END'\n(.*?)END\n", README, re.DOTALL)
    (tmp_path / "pair.toml").write_text(toml, encoding="utf-8")
    config = read_config(tmp_path)
    assert (config.draft.source, config.teacher.model) == ("ollama", "qwen2.5:7b")


@pytest.mark.parametrize("source", ["Ollama", "llama.cpp"])
def test_the_documented_pairs_are_valid_pairs(source, tmp_path):
    text = (ROOT / "docs" / "own-pair.md").read_text(encoding="utf-8")
    (toml,) = re.findall(rf"```toml\n# {re.escape(source)}\n(.*?)```", text, re.DOTALL)
    assert tomllib.loads(toml)
    (tmp_path / "pair.toml").write_text(toml, encoding="utf-8")
    assert read_config(tmp_path).draft.pooling


def test_the_documented_metric_is_measured_and_named(tmp_path):
    (diff,) = re.findall(
        r"```diff\n(.*?)```", (ROOT / "docs" / "adding-a-metric.md").read_text(encoding="utf-8"), re.DOTALL
    )
    shutil.copytree(ROOT / "embalign", tmp_path / "embalign", ignore=shutil.ignore_patterns("__pycache__"))
    applied = subprocess.run(
        ["git", "apply", "-"], input=diff, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert applied.returncode == 0, applied.stderr
    script = (
        "import numpy as np\n"
        "from embalign.evaluation.scorecard import score_alignment\n"
        "from embalign.verdicts.metrics import METRICS\n"
        "vectors = np.eye(8, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]]\n"
        "mapped = np.roll(vectors, 1, axis=0); mapped[:6] = vectors[:6]\n"
        "found = score_alignment(mapped, vectors, [str(i % 4) for i in range(8)], vectors.mean(axis=0))\n"
        "print(found.metrics['cosine_above_090'], METRICS['cosine_above_090'].label)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "0.75 cosine above 0.9\n", done.stderr
