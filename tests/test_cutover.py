"""embalign cutover: verdicts where the truth is planted, the interval that never contradicts them, and mistakes."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_files import write_csv, write_lines
from pair_folders import ROOT
from result_tables import everything_in, mistaken

from embalign.__main__ import main
from embalign.evaluation.deployment import DEPLOYMENTS, asked_by, vectors_of
from embalign.evaluation.hubs import without_hubs
from embalign.evaluation.scorecard import map_task, metrics_of, search_task
from embalign.judging.cutover import EXIT_CODES, Cutover, Question
from embalign.maps.searches import sample_of
from embalign.pairs.pair import load_pair
from embalign.verdicts.retention import Groups, judge_retention

GROUPS, SIZE = 150, 4
DRAFT, TEACHER = 48, 64
COMMAND = ("cutover", "--draft", "a.npy", "--teacher", "b.npy")
LABELLED = (*COMMAND, "--labels", "labels.csv")


def planted(seed=0):
    """Vectors of items in groups that a linear map turns into each other, beside dimensions that say nothing."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), SIZE)
    signal = generator.standard_normal((GROUPS, 24))[group] + 0.8 * generator.standard_normal((len(group), 24))
    turned = np.linalg.qr(generator.standard_normal((TEACHER, 24)))[0]
    draft = np.hstack([signal, 2.0 * generator.standard_normal((len(group), DRAFT - 24))])
    back = np.hstack([turned, np.zeros((TEACHER, DRAFT - 24))])
    labels = [(f"i{row}", f"g{number:03d}") for row, number in enumerate(group)]
    return SimpleNamespace(draft=draft, teacher=signal @ turned.T, exact=back, labels=labels)


def blurred(found, noise):
    """A map that is exact but for noise."""
    return found.exact + noise * np.random.default_rng(5).standard_normal(found.exact.shape)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a.npy, b.npy, labels.csv and three maps, which is the current one."""
    found = planted()
    np.save(tmp_path / "a.npy", found.draft.astype(np.float32))
    np.save(tmp_path / "b.npy", found.teacher.astype(np.float32))
    write_csv(tmp_path / "labels.csv", [("id", "label"), *found.labels])
    for name, noise in (("exact", 0.0), ("worse", 0.1), ("noise", 3.0)):
        np.save(tmp_path / f"{name}.npy", blurred(found, noise).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *words):
    """Exit code and lines of a command."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out.strip().split("\n")


def frames(of_map, of_teacher, groups=None):
    """Scores by query as the verdict takes them."""
    mapped, teacher = (pd.DataFrame({"item": range(len(of_map)), "value": values}) for values in (of_map, of_teacher))
    return (mapped if groups is None else mapped.assign(group=groups)), teacher


def scores(queries=400, keeps=0.9, seed=0, size=4):
    """Scores of a teacher and of a map that keeps that share on average, which varies by group."""
    generator = np.random.default_rng(seed)
    of_teacher = generator.beta(4, 2, queries)
    group = np.arange(queries) // size
    share = np.clip(keeps + 0.1 * generator.standard_normal(group.max() + 1)[group], 0, 1)
    return share * of_teacher, of_teacher, group


def test_planted_maps_pass_fail_and_stay_undecided(here, capsys):
    found = {name: run(capsys, *LABELLED, "--map", f"{name}.npy", "--keep", 0.95) for name in ("exact", "noise")}
    assert [code for code, _ in found.values()] == [0, 10]
    assert found["exact"][1][0].startswith("PASS: as index migration the map keeps at least 0.95 of the teacher's")
    assert found["noise"][1][0].startswith("FAIL: as index migration the map keeps less than 0.95 of the teacher's")
    retention = re.search(r"retention (0\.\d+)", run(capsys, *LABELLED, "--map", "worse.npy")[1][0])[1]
    code, lines = run(capsys, *LABELLED, "--map", "worse.npy", "--keep", retention)
    assert code == 11
    assert lines[0].startswith(f"UNDECIDED: whether the map, as index migration, keeps {float(retention):g} of the")
    assert "more than a hundred times as many queries" in lines[6]
    code, lines = run(capsys, *LABELLED, "--map", "worse.npy", "--keep", float(retention) - 0.03)
    assert code == 11
    assert re.search(r"about [\d,]+ more such queries that ask would decide it with power 0\.8", lines[6])


def test_the_numbers_are_those_of_the_searches_and_every_deployment_is_asked(here, capsys):
    assert main(["import", *LABELLED[1:], "--out", "mypair"]) == 0
    pair, asked = load_pair(here / "mypair"), ("--map", "worse.npy", "--out")
    task = asked_by(pair, np.arange(GROUPS * SIZE))
    mapped = map_task(np.load("worse.npy"), task)
    for deployment in DEPLOYMENTS:
        run(capsys, "cutover", "--pair", here / "mypair", "--deployment", deployment, *asked, deployment)
        record = json.loads((here / deployment / "verdict.json").read_text(encoding="ascii"))
        searches = (vectors_of(deployment, mapped, task.teacher), task.teacher, task.draft)
        expected = [metrics_of(search_task(task, vectors))["ndcg_at_10"] for vectors in searches]
        assert [record[name] for name in ("of_map", "of_teacher", "no_map")] == pytest.approx(expected)
        assert record["retention"] == pytest.approx(expected[0] / expected[1])
        assert record["over_no_map"] == pytest.approx(expected[0] - expected[2])
        assert (record["queries"], record["index_size"]) == (GROUPS * SIZE, GROUPS * SIZE)
        assert record["command"] == "embalign cutover"


def test_bare_files_and_the_pair_of_them_give_the_same_answer_twice(here, capsys):
    assert main(["import", *LABELLED[1:], "--out", "mypair"]) == 0
    asked = ("--keep", 0.9, "--family", "affine", "--search", "csls")
    of_files, again = (run(capsys, *LABELLED, *asked) for _ in range(2))
    of_pair = run(capsys, "cutover", "--pair", here / "mypair", *asked)
    assert of_files == again
    assert of_pair[0] == of_files[0]
    assert of_pair[1] == [line for line in of_files[1] if not line.startswith("note:")]


def test_the_order_of_rows_does_not_matter(here, capsys):
    plain = run(capsys, *LABELLED, "--map", "worse.npy", "--ids", "labels.csv")
    order = np.random.default_rng(3).permutation(GROUPS * SIZE)
    found = planted()
    np.save("a.npy", found.draft[order].astype(np.float32))
    np.save("b.npy", found.teacher[order].astype(np.float32))
    write_csv(here / "ids.csv", [("id",), *((found.labels[row][0],) for row in order)])
    assert run(capsys, *LABELLED, "--map", "worse.npy", "--ids", "ids.csv") == plain


def test_without_labels_the_first_line_says_whose_word_relevance_is(here, capsys):
    code, lines = run(capsys, *COMMAND, "--map", "exact.npy")
    assert code == 0
    assert lines[0].startswith("PASS, by agreement with the teacher, not by relevance:")
    assert "Nothing says what is relevant" in lines[1]


def test_queries_and_judgements_are_asked(here, capsys):
    found = planted()
    generator = np.random.default_rng(8)
    for name, side in (("a", found.draft), ("b", found.teacher)):
        np.save(f"q{name}.npy", (side + 0.1 * generator.standard_normal(side.shape)).astype(np.float32))
    rows = range(GROUPS * SIZE)
    write_lines(here / "q.jsonl", ({"id": f"q{row}", "text": f"ask{row} of{row}"} for row in rows))
    write_lines(here / "c.jsonl", ({"id": f"i{row}", "text": f"word{row} other{row}"} for row in rows))
    (here / "qrels.tsv").write_text("".join(f"q{row}\ti{row}\t1\n" for row in rows))
    asked = ("--corpus", "c.jsonl", "--queries", "q.jsonl", "--qrels", "qrels.tsv")
    vectors = ("--draft-queries", "qa.npy", "--teacher-queries", "qb.npy")
    code, lines = run(capsys, *COMMAND, *asked, *vectors, "--map", "exact.npy", "--keep", 0.9)
    assert code == 0
    assert "Data: 600 queries of 600 groups" in lines[1]


def test_a_map_of_this_very_pair_is_asked_only_by_what_its_training_did_not_see(here, capsys):
    assert main(["import", *LABELLED[1:], "--out", "mypair"]) == 0
    assert main(["export", "--pair", str(here / "mypair"), "--out", "maps", "--family", "matrix"]) == 0
    fitted = run(capsys, *LABELLED, "--family", "matrix")
    for place in ("maps", "maps/W.npy"):
        code, lines = run(capsys, *LABELLED, "--map", place)
        assert (code, lines[:4]) == (fitted[0], fitted[1][:4])
        assert lines[4] == "Map: W.npy, exported from this pair: what its training did not see asks"
    code, lines = run(capsys, *COMMAND, "--map", "maps")  # other groups: training rows may be among them
    assert (
        "exported from other texts or vectors (mypair). That it was not fitted on these rows is your word" in lines[4]
    )
    (here / "maps" / "W.json").unlink()
    code, lines = run(capsys, *LABELLED, "--map", "maps")
    assert lines[1].startswith("Data: 600 queries of 150 groups")
    assert "your word" in lines[4]


def test_the_map_of_a_family_is_judged_as_it_is_exported(here, capsys):
    assert main(["import", *LABELLED[1:], "--out", "mypair"]) == 0
    asked = ("--family", "deshrunk", "--search", "csls")
    for deployment in ("index_migration", "query_adapter"):
        words = ["--pair", str(here / "mypair"), "--out", deployment, "--deployment", deployment, *asked]
        assert main(["export", *words]) == 0
        code, lines = run(capsys, *LABELLED, "--deployment", deployment, *asked)
        assert lines[4].startswith("Map: deshrunk ridge by CSLS (penalty ")
        again, of_map = run(capsys, *LABELLED, "--deployment", deployment, "--map", deployment)
        assert (again, of_map[:4]) == (code, lines[:4])
        assert of_map[4].startswith("Map: map.safetensors by CSLS, exported from this pair")


@pytest.mark.parametrize("how", ["plain", "csls"])
def test_no_map_is_searched_as_the_map_is_and_said_to_be(here, capsys, how):
    """Whether the map is fitted here or read from files of an export; the number is that of the search itself."""
    assert main(["import", *LABELLED[1:], "--out", "mypair"]) == 0
    pair, asked = load_pair(here / "mypair"), ("--family", "affine", "--search", how)
    task, sample = asked_by(pair, pair.holdout.test), sample_of(pair, np.arange(GROUPS * SIZE))
    raw = without_hubs(task.draft, sample.draft, sample.own) if how == "csls" else task.draft
    expected = metrics_of(search_task(task, raw))["ndcg_at_10"]
    assert main(["export", "--pair", str(here / "mypair"), "--out", "maps", *asked]) == 0
    for words in (asked, ("--map", "maps")):
        _, lines = run(capsys, *LABELLED, *words, "--out", "found", "--summary", "job.md")
        record = json.loads((here / "found" / "verdict.json").read_text(encoding="ascii"))
        assert record["no_map"] == pytest.approx(expected)
        assert record["over_no_map"] == pytest.approx(record["of_map"] - expected)
        assert record["search"] == how
        is_csls = how == "csls"
        assert ("(the raw draft's own search, by CSLS as the map's)" in lines[2]) == is_csls
        assert lines[3].startswith("Against no map, searched alike: " if is_csls else "Against no map: ")
        assert ("teacher, no map by CSLS |" in (here / "job.md").read_text(encoding="utf-8")) == is_csls


def test_without_a_family_the_one_that_finds_most_inside_the_training_items_is_judged(here, capsys):
    _, lines = run(capsys, *LABELLED)
    assert "the highest of 20; next " in lines[4]


def test_the_words_on_error_rates_are_those_of_the_measurement():
    """A rate that was measured above 5 % is named, and no line promises 5 % at most."""
    measured = (ROOT / "docs" / "calibration" / "cutover.md").read_text(encoding="utf-8")
    highest = re.search(r"A wrong PASS or FAIL .*?\(most: \w+, (\S+ %)\)", measured)[1]
    page = " ".join((ROOT / "docs" / "cutover.md").read_text(encoding="utf-8").split())
    assert f"they came in up to {highest} of a thousand draws" in page
    assert not re.search(r"(is wrong|to come|are wrong) in at most 5 %", page)


def test_a_map_that_loses_to_the_raw_draft_is_told_so(here, capsys):
    np.save("a.npy", np.load("b.npy")[:, :DRAFT])  # a draft that is nearly its teacher
    np.save("blurred.npy", np.eye(TEACHER, DRAFT) + 0.1 * np.random.default_rng(2).standard_normal((TEACHER, DRAFT)))
    code, lines = run(capsys, *LABELLED, "--map", "blurred.npy", "--keep", 0.3)
    assert code == 0
    assert lines[3].startswith("Against no map: worse, -")
    assert "finds more than this map, whatever the verdict" in lines[3]
    assert "a reason for a map is lacking" in lines[6]


def test_summary_and_folder_are_written_where_asked_and_nothing_else(here, capsys):
    before = everything_in(here)
    run(capsys, *LABELLED, "--map", "exact.npy")
    assert everything_in(here) == before
    (here / "job.md").write_text("already here\n")
    run(capsys, *LABELLED, "--map", "exact.npy", "--summary", "job.md", "--out", "found")
    text = (here / "job.md").read_text(encoding="utf-8")
    assert text.startswith("already here\n### ")
    assert "embalign cutover: PASS" in text.split("\n")[1]
    table = [line for line in text.split("\n") if line.startswith("|")]
    assert len(table) == 8
    assert all(line.count("|") == 3 for line in table)
    assert sorted(path.name for path in (here / "found").iterdir()) == ["report.md", "verdict.json"]
    report = (here / "found" / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# May I cut over? PASS\n\n- PASS: as index migration")
    first = everything_in(here / "found")
    run(capsys, *LABELLED, "--map", "exact.npy", "--out", "found")
    assert everything_in(here / "found")[here / "found" / "report.md"] == first[here / "found" / "report.md"]


MISTAKES = {
    "nothing": (("cutover",), 2, "nothing to judge: add --draft and --teacher, or name a pair with --pair"),
    "one side": (("cutover", "--draft", "a.npy"), 2, "nothing to judge: add --teacher,"),
    "a pair and files": ((*LABELLED, "--pair", "x"), 2, "--draft, --teacher, --labels would make another"),
    "per cent": ((*LABELLED, "--keep", "95"), 2, "'95' is not a share above 0 and at most 1, such as 0.95"),
    "keep nothing": ((*LABELLED, "--keep", "0"), 2, "'0' is not a share"),
    "keep of text": ((*LABELLED, "--keep", "all"), 2, "'all' is not a share"),
    "keep of NaN": ((*LABELLED, "--keep", "nan"), 2, "'nan' is not a share"),
    "an unknown deployment": ((*LABELLED, "--deployment", "index_migrations"), 2, "did you mean index_migration"),
    "a negative seed": ((*LABELLED, "--seed", "-1"), 2, "is not a whole number"),
    "no such file": ((*COMMAND, "--labels", "lables.csv"), 4, r"lables\.csv: cannot be read"),
    "labels in another order": (
        (*COMMAND, "--labels", "shuffled.csv", "--family", "ridge"),
        4,
        "the teacher's own search is not shown to be better than chance: labels and vectors may have nothing to do",
    ),
    "a search for a family": ((*LABELLED, "--family", "csls"), 2, r"invalid choice: 'csls' \(choose from [^;]*\)$"),
    "a map and a family": ((*LABELLED, "--map", "exact.npy", "--family", "ridge"), 2, "leave one out"),
    "a family of both sides": (
        (*LABELLED, "--deployment", "draft_only", "--family", "ridge"),
        4,
        "--family ridge: in draft_only both sides are mapped by one matrix; leave --family out",
    ),
    "no such pair": (("cutover", "--pair", "mypairs"), 4, "no pair 'mypairs'"),
    "no such map": ((*LABELLED, "--map", "W.npy"), 4, r"W\.npy: cannot be read"),
    "a folder without a map": ((*LABELLED, "--map", "empty"), 4, "empty: neither map.safetensors nor W.npy is there"),
    "a map transposed": ((*LABELLED, "--map", "turned.npy"), 4, r"needs floats of shape \(64, 48\).*save W\.T"),
    "a map of NaN": ((*LABELLED, "--map", "nan.npy"), 4, "the map holds NaN or infinite values"),
    "a map of whole numbers": (
        (*LABELLED, "--map", "whole.npy"),
        4,
        r"whole\.npy: numbers of type int64, .* of floats",
    ),
    "an archive as map": (
        (*LABELLED, "--map", "maps.npz"),
        4,
        r"maps\.npz: not a readable \.npy file of numbers \(it is an archive, such as \.npz\)",
    ),
    "labels as map": (
        (*LABELLED, "--map", "labels.csv"),
        4,
        r"labels\.csv: not a readable \.npy file of numbers \(it does not begin as one\); embalign export --family",
    ),
    "a map of other vectors": ((*LABELLED, "--map", "b.npy"), 4, r"shape \(600, 64\) does not fit"),
    "vectors of NaN": (("cutover", "--draft", "nan_rows.npy", "--teacher", "b.npy"), 4, "not finite|NaN"),
    "rows of other texts": (("cutover", "--draft", "mixed.npy", "--teacher", "b.npy"), 4, "do not seem to belong"),
    "few groups": ((*COMMAND, "--labels", "few.csv", "--map", "exact.npy"), 4, "fewer than 8 .*more groups"),
    "queries alone": ((*LABELLED, "--queries", "q.jsonl"), 2, "add --draft-queries and --teacher-queries"),
    "a file as folder": ((*LABELLED, "--map", "exact.npy", "--out", "a.npy"), 4, r"a\.npy: not a folder"),
    "a folder as summary": ((*LABELLED, "--map", "exact.npy", "--summary", "empty"), 4, "cannot be appended"),
    "a summary nowhere": ((*LABELLED, "--summary", "no/where.md"), 4, r"no/where\.md: the summary cannot be"),
    "a variable that is not set": ((*LABELLED, "--summary", ""), 2, "argument --summary: an empty name; is the var"),
    "labels as summary": (
        (*LABELLED, "--map", "exact.npy", "--summary", "empty/../labels.csv"),
        4,
        "the summary cannot be appended to it .it is one of the files to judge.; name a file with --summary",
    ),
    "vectors as summary": ((*LABELLED, "--summary", "a.npy"), 4, "it is one of the files to judge"),
    "a named array's file as summary": (
        ("cutover", "--draft", "maps.npz:a", *COMMAND[3:], "--summary", "maps.npz"),
        4,
        "it is one of the files to judge",
    ),
    "the map as summary": ((*LABELLED, "--map", "exact.npy", "--summary", "exact.npy"), 4, "one of the files to judge"),
    "a map's folder and its map as summary": (
        (*LABELLED, "--map", "of_map", "--summary", "of_map/W.npy"),
        4,
        "it is one of the files to judge",
    ),
    "a summary in a pair": (("cutover", "--pair", "pair", "--summary", "pair/x.md"), 4, "data of a pair are there"),
    "an empty file name": (("cutover", "--draft", "", "--teacher", "b.npy"), 4, "cannot be read|no format"),
    "a result of another": ((*LABELLED, "--map", "exact.npy", "--out", "other"), 4, "no result of embalign cutover"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(mistake, here, capsys):
    found = planted()
    np.save("turned.npy", found.exact.T)
    np.save("nan.npy", np.full_like(found.exact, np.nan))
    rows = found.draft.copy()
    rows[7] = np.nan
    np.save("nan_rows.npy", rows)
    np.save("mixed.npy", np.random.default_rng(1).permutation(found.draft))
    write_csv(here / "few.csv", [("id", "label"), *((name, f"g{int(label[1:]) % 6}") for name, label in found.labels)])
    order = np.random.default_rng(4).permutation(len(found.labels))
    write_csv(
        here / "shuffled.csv", [("id", "label"), *((f"i{row}", found.labels[at][1]) for row, at in enumerate(order))]
    )
    np.save("whole.npy", found.exact.astype(np.int64))
    np.savez("maps.npz", a=found.exact)
    for name in ("empty", "of_map", "pair"):
        (here / name).mkdir()
    np.save("of_map/W.npy", found.exact)
    (here / "pair" / "pair.toml").write_text("")
    (here / "other").mkdir()
    (here / "other" / "verdict.json").write_text('{"command": "embalign judge"}')
    command, expected, words = MISTAKES[mistake]
    code, line = mistaken(list(command), here, capsys)
    assert code == expected, line
    assert re.search(words, line), line


def test_a_map_beside_another_description_is_refused(here, capsys):
    assert main(["import", *LABELLED[1:], "--out", "mypair"]) == 0
    assert main(["export", "--pair", str(here / "mypair"), "--out", "maps", "--family", "matrix"]) == 0
    np.save("maps/W.npy", planted().exact)
    code, line = mistaken([*LABELLED, "--map", "maps"], here, capsys)
    assert (code, "not the map that W.json describes" in line) == (4, True)


def test_exit_codes_leave_the_process():
    done = subprocess.run(
        [sys.executable, "-m", "embalign", "cutover", "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0
    assert "example:\n  embalign cutover --draft" in done.stdout
    assert EXIT_CODES == {"pass": 0, "fail": 10, "undecided": 11}


@settings(max_examples=60)
@given(
    keeps=st.floats(0.3, 1.0),
    keep=st.floats(0.05, 1.0),
    seed=st.integers(0, 10_000),
    size=st.sampled_from([1, 3, 10]),
    queries=st.sampled_from([80, 150, 400]),
)
def test_interval_and_verdict_never_disagree(keeps, keep, seed, size, queries):
    mapped, teacher = frames(*scores(queries, keeps, seed, size))
    found = judge_retention(mapped, teacher, keep)
    low, high = found.interval
    assert low <= found.retention <= high
    assert found.kind == ("pass" if keep <= low else "fail" if keep >= high else "undecided")
    assert (found.kind == "undecided") == (found.more_queries != 0)
    # What is printed does not contradict it either.
    shown = Cutover(Question("draft_only", keep), found, "labels", 9, 0.0, None, "worse", (), True, "plain").interval
    assert found.kind == "pass" or float(shown[0]) <= keep
    assert found.kind == "fail" or shown[1] == "no bound" or float(shown[1]) >= keep


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), keep=st.floats(0.5, 1.0))
def test_rows_of_scores_may_come_in_any_order(seed, keep):
    mapped, teacher = frames(*scores(seed=seed))
    turned = [frame.sample(frac=1, random_state=seed + place) for place, frame in enumerate((mapped, teacher))]
    assert judge_retention(*turned, keep) == judge_retention(mapped, teacher, keep)


def test_errors_are_rare_where_the_retention_is_what_is_asked():
    """Whole groups of unequal size and level, 400 samples: at most 5 % each way, within five standard errors."""
    generator = np.random.default_rng(11)
    sizes = np.maximum(1, generator.pareto(1.5, 500) * 3).astype(int).clip(max=60).astype(float)
    of_teacher = sizes * generator.beta(4, 3, 500)
    of_map = of_teacher * generator.beta(9, 1, 500)
    keep = of_map.sum() / of_teacher.sum()
    said = []
    for _ in range(400):
        rows = generator.integers(0, 500, 120)
        said.append(Groups(sizes[rows], of_map[rows], of_teacher[rows]).judge(keep))
    assert said.count("pass") <= 400 * 0.05 + 5 * 4.4
    assert said.count("fail") <= 400 * 0.05 + 5 * 4.4
    assert Groups(sizes, of_map, of_teacher).judge(0.5) == "pass"
    assert Groups(sizes, of_map, of_teacher).judge(1.0) == "fail"


def test_a_few_topics_that_are_all_right_do_not_pass_for_many():
    """Ten groups that all keep everything do not rule out that some lose much."""
    sizes = np.full(10, 8.0)
    kept = Groups(sizes, 0.6 * sizes, 0.6 * sizes)
    assert kept.judge(0.95) == "undecided"
    assert kept.judge(0.7) == "pass"


def test_as_many_more_queries_as_are_said_decide_it():
    of_map, of_teacher, group = scores(200, 0.93, seed=3)
    mapped, teacher = frames(of_map, of_teacher, group)
    keep = round(judge_retention(mapped, teacher, 0.9).retention - 0.012, 3)
    found = judge_retention(mapped, teacher, keep)
    assert found.kind == "undecided"
    sums = [np.bincount(group, weights=values) for values in (np.ones(200), of_map, of_teacher)]
    many = round((200 + found.more_queries) / 4)
    generator = np.random.default_rng(0)
    drawn = [generator.integers(0, 50, many) for _ in range(200)]
    decided = [Groups(*(values[rows] for values in sums)).judge(keep) == "pass" for rows in drawn]
    assert 0.65 <= np.mean(decided) <= 0.95


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mapped, teacher: (mapped, teacher.assign(value=0.0)), "the teacher's own search finds nothing"),
        (lambda mapped, teacher: (mapped.assign(value=95.0), teacher), "the map has 95 for 0: a score lies"),
        (lambda mapped, teacher: (mapped, teacher.assign(value=-0.1)), "the teacher has -0.1 for 0: a score lies"),
        (lambda mapped, teacher: (mapped.iloc[1:], teacher), "pair one to one by item: map has 399, teacher 400"),
        (lambda mapped, teacher: (pd.concat([mapped, mapped]), teacher), "the map has two values for item 0"),
        (lambda mapped, teacher: (mapped.assign(value=np.nan), teacher), "the map has a value that is not finite"),
        (lambda mapped, teacher: (mapped.drop(columns="item"), teacher), "the map lacks column.s. item"),
        (lambda mapped, teacher: (mapped.assign(group=mapped["item"] % 7), teacher), "with fewer than 8"),
    ],
)
def test_scores_that_cannot_be_judged_are_refused_in_words(change, words):
    mapped, teacher, _ = (*frames(*scores()), None)
    with pytest.raises(ValueError, match=words):
        judge_retention(*change(mapped, teacher), 0.9)


@pytest.mark.parametrize("keep", [0, -0.1, 1.5, 95, "0.9", None, float("nan"), True])
def test_a_share_outside_0_to_1_is_refused(keep):
    with pytest.raises(ValueError, match="keep must lie between 0 and 1"):
        judge_retention(*frames(*scores()), keep)


def test_the_guide_says_of_the_queries_needed_what_the_calibration_measured():
    table = pd.read_csv(ROOT / "docs" / "calibration" / "cutover.csv")
    needed = table[(table["world"] == "needed") & (table["deployment"] == "index_migration")]
    page = (ROOT / "docs" / "cutover.md").read_text(encoding="utf-8").partition("## How many queries it takes")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    assert rows[0][2:] == ["0.02", "0.05", "0.1"]
    assert len(rows) == 2 + 5
    for pair, relevance, *cells in rows[2:]:
        of_pair = needed[(needed["pair"] == pair) & (needed["relevance"] == relevance)]
        for gap, cell in zip((0.02, 0.05, 0.1), cells, strict=True):
            found = of_pair.loc[np.isclose(of_pair["gap"], -gap), "queries"]
            assert cell == (f"{found.iloc[0]:,.0f}" if len(found) else "more than 50,000")
