"""README and docs/: what they name exists, and what they say is what the repository holds."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter

import msgspec
import pandas as pd
import pytest
from pair_folders import ROOT

from embalign.experiments.maps.protocol import System
from embalign.experiments.tables import percent, span
from embalign.pairs.config import Model, read_config

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The pairs in the tables of README, of the results page, and of the page on the corpus with queries.
SHOWN, PAIRS, REAL = (
    ("qwen-sentence-align", "debian-static-minilm"),
    ("qwen-sentence-align", "smollm2-mpnet", "debian-static-minilm", "debian-minilm-mpnet", "zh-en"),
    ("debian-static-minilm",),
)
MAPS = ("qwen-sentence-align", "smollm2-mpnet", "zh-en", "debian-minilm-mpnet", "debian-static-minilm")


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
    """All but the rows of tables, which Markdown cannot wrap."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if len(line) > 120 and not line.startswith("| ")]


def test_the_readme_is_read_in_one_go():
    assert len(README.splitlines()) <= 160


def test_the_glossary_defines_each_term_once():
    defined = re.findall(r"\*\*([\w-]+)\*\*", section("Glossary"))
    terms = {"draft", "teacher", "map", "deployment", "retention", "margin", "corner", "corner-free", "gate", "seed"}
    assert sorted(defined) == sorted(terms | {"cell", "CSLS"})


def results(pair):
    """What the committed reports of a pair say, by row of the results tables."""
    reports = ROOT / "benchmark" / pair / "reports"
    elbow = pd.read_csv(reports / "elbow" / "data_ratio_vs_metrics.csv")
    by_policy = elbow.groupby(["policy", "budget", "ratio"]).mean(numeric_only=True)
    whole, ridge = by_policy.loc["random", "tuned", 1.0], by_policy.loc["random", "closed_form", 1.0]
    tenth, densest = (by_policy.loc[policy, "closed_form", 0.1] for policy in ("random", "density"))
    tuned, fixed = (by_policy.loc["random", budget, 0.2] for budget in ("tuned", "steps"))
    reference = pd.read_csv(reports / "elbow" / "references.csv").groupby("reference").mean(numeric_only=True)
    verdict = json.loads((reports / "elbow" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["warnings"] == []
    spectral = json.loads((reports / "spectral" / "verdict.json").read_text(encoding="utf-8"))
    gate = json.loads((reports / "gate" / "verdict.json").read_text(encoding="utf-8"))
    use = "query_adapter_ndcg_at_10"
    judged = {use: "query adapter", "index_migration_ndcg_at_10": "index migration"}
    return {
        **in_use(verdict["deployments"], verdict["primary"]["pairs"]),
        **enough(verdict["curves"], judged | {"cosine_mean": "by mean cosine"}),
        "mean cosine: constant vector, trained map": numbers(
            reference.loc["mean_vector", "cosine_mean"], whole["cosine_mean"]
        ),
        "mean cosine: constant vector, trained map, ridge": numbers(
            reference.loc["mean_vector", "cosine_mean"], whole["cosine_mean"], ridge["cosine_mean"]
        ),
        "leave-one-out Recall@1: no map, untrained, map, teacher": numbers(
            *(reference.loc[name, "recall_at_1"] for name in ("draft", "untrained")),
            whole["recall_at_1"],
            reference.loc["teacher", "recall_at_1"],
        ),
        "query adapter nDCG@10 of all pairs: tuned steps, ridge": numbers(whole[use], ridge[use]),
        "query adapter nDCG@10 of 20 % of the pairs: tuned steps, fixed steps": numbers(tuned[use], fixed[use]),
        "mean cosine of 20 % of the pairs: tuned steps, fixed steps": numbers(
            tuned["cosine_mean"], fixed["cosine_mean"]
        ),
        "query adapter nDCG@10 of 10 % of the pairs, ridge: random, densest first": numbers(tenth[use], densest[use]),
        "mean cosine of 10 % of the pairs, ridge: random, densest first": numbers(
            tenth["cosine_mean"], densest["cosine_mean"]
        ),
        "spectral loss at the memo's λ: comparisons with none": compared(spectral["contrasts"]),
        **controlled(spectral["contrasts"], use),
        **gated(gate),
        **(picked(reports / "maps" / "verdict.json") if pair in MAPS else {}),
    }


def picked(verdict):
    """What the bake-off picks inside the training items in each deployment, and what that is worth."""
    rows, deployments = {}, json.loads(verdict.read_text(encoding="utf-8"))["deployments"]
    for name, found in deployments.items():
        label, chosen = name.replace("_", " "), found["picked"]
        systems = [System(**each).words for each in chosen["systems"]]
        usual = max(dict.fromkeys(systems), key=systems.count)
        rows[f"{label}: picked of ten families"] = f"{usual}, nDCG@10 {chosen['ndcg_at_10']:.3f}"
        for of, words in (("minus_no_map", "no map"), ("minus_memo", "the trained map")):
            low, high = chosen[of]["interval"]
            answer = "better" if chosen[of]["lower_bound"] > 0 else "worse" if high < 0 else "not shown"
            difference = f"{chosen[of]['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
            rows[f"{label}: picked map minus {words}"] = f"{answer}, {difference}"
        rows[f"{label}: picked map, retention"] = percent(chosen["retention"])
        count, every = len(found["cannot_be_told_from_the_best"]), len(found["systems"])
        rows[f"{label}: systems that may be the best"] = f"{count} of {every}"
        for system in found["systems"]:
            if system["search"] == "plain" and system["minus_ridge"]:
                difference = system["minus_ridge"]
                words = f"{difference['difference']:+.3f} ({signed(difference['interval'])})"
                rows[f"{label}: {System(system['family'], 'plain').words} minus ridge, plain search"] = words
    return rows


def numbers(*values):
    return ", ".join(f"{value:.3f}" for value in values)


def in_use(deployments, pairs):
    """Each deployment of the map of all pairs, held against no map."""
    rows = {}
    for name, found in deployments.items():
        label = name.replace("_", " ")
        values = numbers(found["no_map"], found["map"], found["teacher"])
        rows[f"{label}, nDCG@10: no map, trained map, teacher"] = values
        low, high = found["interval"]
        difference = f"{found['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
        rows[f"{label}: trained map minus no map"] = f"{found['better_than_no_map']}, {difference}"
        rows[f"{label}: retention"] = percent(found["retention"])
        fewest = found["better_from_ratio"]
        rows[f"{label}: shown better than no map from"] = (
            "never" if fewest is None else f"{round(fewest * pairs)} pairs"
        )
    return rows


def enough(curves, judged):
    """How many pairs are enough for random selection and tuned steps, and whether there is an elbow."""
    rows = {}
    for curve in curves:
        if (curve["policy"], curve["budget"]) != ("random", "tuned") or curve["metric"] not in judged:
            continue
        words, ratio = judged[curve["metric"]], curve["recommended_ratio"]
        pairs = f"{round(ratio * curve['pairs'])} pairs ({percent(ratio)})"
        low, high = curve["recommended_items_interval"]
        short = pairs if ratio < 1 else f"all {curve['pairs']} pairs"
        rows[f"enough for 95 % of the gain, {words}"] = (short, f"{short}; interpolated {low} to {high}")
        last = curve["last_doubling"]
        rows[f"last doubling, {words}"] = (
            f"{last['kind'].replace('_', ' ')}, {last['value']:+.3f}",
            f"{last['kind'].replace('_', ' ')}, {last['value']:+.3f} ({signed(last['interval'])})",
        )
        found = f"{percent(curve['elbow'])} ({span(curve['elbow_interval'])})" if curve["elbow"] else "none"
        rows[f"elbow, {words}"] = (found, f"{found}, {curve['kind'].replace('_', ' ')}")
    return rows


def signed(interval):
    """An interval with signs, as the tables have it."""
    return f"{interval[0]:+.3f} to {interval[1]:+.3f}"


def worded(contrast):
    """The verdict of a contrast, as reports have it."""
    below = contrast["below_margin"]
    return "inert" if contrast["inert"] else f"{below}, below the margin" if below else contrast["kind"]


def compared(contrasts):
    """How often the loss as the memo writes it has each verdict against no added loss, inert terms last."""
    wanted = {"treatment": "spectral", "control": "baseline", "convention": "raw"}
    words = Counter(worded(each) for each in contrasts if wanted.items() <= each.items())
    inert = words.pop("inert", 0)
    counts = "; ".join(f"{count} {word}" for word, count in words.most_common())
    return f"{words.total()}: {counts}" + (f"; {inert} more are inert" if inert else "")


def controlled(contrasts, metric):
    """What the memo's largest λ changes from each start, and what its controls do."""
    names = {"spectral": "spectral loss", "signed_permutation": "scrambled loss", "norm_only": "norm penalty"}
    rows = {}
    for each in contrasts:
        if (each["convention"], each["weight"], each["metric"]) != ("raw", 0.05, metric):
            continue
        if each["control"] == "baseline" and each["treatment"] in names:
            label = f"{names[each['treatment']]} minus none, λ 0.05, {each['init']} start, query adapter nDCG@10"
            rows[label] = f"{worded(each)}, {each['verdict']['difference']:+.4f}"
    assert len(rows) == 2 * len(names)
    return rows


def gated(gate):
    """What the certified gate accepts with the whole corpus as the index, and what the cascade sends to the teacher."""
    whole = {use["deployment"]: use["targets"] for use in gate["uses"] if use["index"] == "whole corpus"}

    def accepted(risk):
        shares = {name.replace("_", " "): targets[risk]["coverage"] for name, targets in whole.items()}
        return (
            "; ".join(f"{name} {percent(share)}" for name, share in shares.items() if share)
            or "nothing, in any deployment"
        )

    sent = gate["cascade"]["sent_for"]["0.95"]
    return {
        **{f"gate certified at {100 * float(risk):.0f} % risk, accepts": accepted(risk) for risk in ("0.20", "0.10")},
        "sent to the teacher for 95 % of its nDCG@10: by score, at random": (
            f"{percent(sent['score'])}, {percent(sent['random'])}"
        ),
    }


def table_rows(text, pairs):
    """The rows of a Markdown table whose columns are the pairs: label and one cell for each pair."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert all(pair in cell for pair, cell in zip(pairs, rows[0][1:], strict=True))
    return rows[2:]


@pytest.mark.parametrize(("place", "pair"), list(enumerate(SHOWN, start=1)))
def test_every_cell_of_the_readmes_results_is_what_the_committed_reports_say(place, pair):
    expected = results(pair)
    rows = table_rows(section("What the numbers say"), SHOWN)
    assert len(rows) >= 10
    for row in rows:
        allowed = expected[row[0]]
        assert row[place] in (allowed if isinstance(allowed, tuple) else (allowed,)), row[0]


@pytest.mark.parametrize(
    ("page", "pairs", "place"),
    [
        *(("results", PAIRS, place) for place in range(1, 1 + len(PAIRS))),
        *(("maps-results", MAPS, place) for place in range(1, 1 + len(MAPS))),
        ("real-corpus", REAL, 1),
    ],
)
def test_the_results_pages_agree_with_the_committed_reports(page, pairs, place):
    expected = results(pairs[place - 1])
    _, _, text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").partition("## What was measured")
    checked = [row for row in table_rows(text, pairs) if row[0] in expected]
    assert len(checked) >= 7
    for row in checked:
        allowed = expected[row[0]]
        assert row[place] in (allowed if isinstance(allowed, tuple) else (allowed,)), row[0]


def test_the_readme_says_on_how_many_items_and_seeds_its_results_rest():
    text = " ".join(section("What the numbers say").split())
    for pair in SHOWN:
        reports = ROOT / "benchmark" / pair / "reports"
        elbow = pd.read_csv(reports / "elbow" / "data_ratio_vs_metrics.csv")
        whole = elbow[(elbow["ratio"] == 1) & (elbow["policy"] == "random") & (elbow["budget"] == "tuned")]
        sizes = pd.read_csv(reports / "elbow" / "references.csv")[["queries", "index_size"]].max().astype(int)
        seeds = {5: "five", 10: "ten"}[whole["seed"].nunique()]
        pool = whole["n_train"].iloc[0]
        about = json.loads((reports / "gate" / "provenance.json").read_text(encoding="utf-8"))
        fitted = about["data"]["split"]["train"] if "split" in about["data"] else sizes["index_size"] - sizes["queries"]
        assert (
            f"`{pair}`: {sizes['queries']} held-out queries search an index of all {sizes['index_size']:,} items"
            in text
        )
        assert f"100 % is {pool:,} pairs, {seeds} seeds; gate of the exported map: {fitted:,} pairs, one seed" in text


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


def test_the_documented_prompts_and_dimensions_are_keys_of_a_side():
    text = (ROOT / "docs" / "own-pair.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n# prompts and dimensions\n(.*?)```", text, re.DOTALL)
    side = msgspec.convert(tomllib.loads(toml)["draft"], Model)
    assert (side.query_prompt[-1], side.document_prompt[-1], side.dimensions) == (" ", " ", 256)


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
