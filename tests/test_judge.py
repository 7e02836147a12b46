"""embalign judge: curves as people keep them, the answer in words, and a line for each mistake."""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pair_folders import ROOT
from PIL import Image
from result_tables import SIZES, as_csv, curve, everything_in, mistaken, write

from embalign import judge_elbow
from embalign.__main__ import main
from embalign.errors import TableError
from embalign.judging.curve_report import answer
from embalign.judging.curves import Choice, CurveTable, read_curves
from embalign.judging.judged import judge_curve
from embalign.judging.output import result_folder
from embalign.judging.source import read_source

BASE = curve()
WIDE = BASE.pivot(index="n", columns="seed", values="value")
GERMAN = BASE.assign(n=[f"{n:,}".replace(",", ".") for n in BASE["n"]]).to_csv(index=False, sep=";", decimal=",")


def plain(frame):
    return pd.DataFrame(frame.to_numpy(), index=list(frame.index), columns=list(frame.columns))


def nested(frame):
    """An LCDB-like table: two inner seeds whose mean is the value."""
    parts = [frame.assign(inner_seed=inner, value=frame["value"] + shift) for inner, shift in ((0, -0.01), (1, 0.01))]
    names = {"n": "anchor", "seed": "outer_seed", "value": "score_valid"}
    return pd.concat(parts).rename(columns=names).assign(learner="SVC", fit_time=0.5)


FORMS = {
    "long.csv": BASE,
    "permuted.csv": BASE.sample(frac=1, random_state=0),
    "index.csv": BASE.to_csv(),
    "float-seeds.csv": BASE.astype({"seed": float}),
    "upper.csv": BASE.rename(columns=str.upper),
    "bom.csv": "\ufeff" + as_csv(BASE),
    "crlf.csv": as_csv(BASE).replace("\n", "\r\n"),
    "mac.csv": as_csv(BASE).replace("\n", "\r"),
    "blank-lines.csv": "# measured today\n\n" + as_csv(BASE).replace("\n", "\n\n"),
    "separator-named.csv": "sep=;\n" + BASE.to_csv(index=False, sep=";"),
    "separator-at-the-end.csv": as_csv(BASE).replace("\n", ",\n"),
    "quoted.csv": BASE.to_csv(index=False, quoting=1),
    "spaces.csv": as_csv(BASE).replace(",", ", "),
    "columns.txt": BASE.to_string(index=False),
    "tabs.tsv": BASE.to_csv(index=False, sep="\t"),
    "excel-unicode.txt": BASE.to_csv(index=False, sep="\t").encode("utf-16"),
    "german.csv": GERMAN,
    "thousands.csv": BASE.assign(n=[f"{n:,}" for n in BASE["n"]]),
    "spaced-thousands.csv": BASE.assign(n=[f"{n:,}".replace(",", "\u202f") for n in BASE["n"]]),
    "packed.csv.gz": gzip.compress(as_csv(BASE).encode()),
    "lines.jsonl": BASE.to_json(orient="records", lines=True),
    "records.json": BASE.to_json(orient="records"),
    "frame.json": BASE.to_json(),
    "seeds-above.csv": WIDE.to_csv(),
    "seeds-named.csv": WIDE.rename(columns="run_{}".format).to_csv(),
    "sizes-above.csv": WIDE.T.to_csv(),
    "sizes-above-without-seeds.csv": WIDE.T.to_csv(index=False),
    "scores-by-size.csv": plain(WIDE).to_csv(),
    "scores-by-split.csv": plain(WIDE.T).to_csv(),
    "grid-search.csv": WIDE.rename(columns="split{}_test_score".format).rename_axis("train_size").to_csv(),
    "index-and-splits.csv": plain(WIDE).rename(columns="split{}_test_score".format).to_csv(),
    "with-means.csv": WIDE.rename(columns="split{}_score".format).assign(mean_score=0.5, std_score=0.1).to_csv(),
    "blank-rows.csv": BASE.to_csv(index=False, sep=";") + ";;\n;;\n",
    "commas-in-texts.csv": BASE.assign(note="1,234", text="one, two"),
    "table.csv": nested(BASE),
    "aliases.csv": BASE.rename(columns={"n": "n_samples", "seed": "random_state", "value": "accuracy"}),
    "run-names.csv": BASE.assign(seed=[f"run {seed}" for seed in BASE["seed"]]),
    "both.csv": BASE.assign(ratio=BASE["n"] / 2000),
    "metric-column.csv": BASE.assign(metric="acc"),
    "one-part.csv": BASE.assign(split="Test"),
    "sizes-above-and-one-part.csv": WIDE.T.assign(split="test", model="SVC").to_csv(),
    "sizes-above-and-a-metric.csv": WIDE.T.assign(metric="acc").to_csv(),
    "named-repetitions.csv": pd.concat([BASE.assign(rep="rep 1"), BASE.assign(rep="rep 2")]),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_curve_is_the_same_in_every_form(name, tmp_path):
    (found,), _ = read_curves(read_source(write(tmp_path, name, FORMS[name])), Choice(columns={}))
    frame = found.frame.assign(seed=found.frame["seed"].str.extract(r"(\d+)$", expand=False).astype(int))
    frame = frame.sort_values(["n_train", "seed"], ignore_index=True)
    assert np.allclose(frame["value"], BASE["value"], rtol=0, atol=1e-12)
    assert frame["n_train"].tolist() == BASE["n"].tolist()
    assert frame["seed"].tolist() == BASE["seed"].tolist()
    assert frame["ratio"].tolist() == (BASE["n"] / 2000).tolist()


def ratios(scale=1.0, name="ratio"):
    return BASE.assign(**{name: np.round(BASE["n"] / 2000 * scale, 6)})[[name, "seed", "value"]]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (ratios(), None),
        (ratios(100, "percent"), "percent was read as per cent"),
        (ratios(100), "ratio was read as per cent"),
        (ratios(0.8), "the largest ratio, 0.8, was read as 100 %"),
        (ratios(name="train_size"), "train_size is at most 1 and was read as a ratio"),
        (ratios(100).assign(ratio=[f"{share:g} %" for share in ratios(100)["ratio"]]), None),
        (WIDE.T.rename(columns=lambda n: f"{n / 20:g}%").to_csv(index=False), None),
    ],
)
def test_ratios_are_shares_or_per_cent(content, note, tmp_path):
    (found,), _ = read_curves(read_source(write(tmp_path, "curve.csv", content)), Choice(columns={}))
    assert np.allclose(sorted(found.frame["ratio"]), sorted(BASE["n"] / 2000))
    assert "n_train" not in found.frame
    assert not note or note in found.notes


def judged(tmp_path, content, *options, name="curve.csv"):
    """The record and the report of a run of the command that must end well."""
    path = write(tmp_path, name, content)
    assert main(["judge", str(path), *options]) == 0
    folder = tmp_path / "curve_verdict"
    assert sorted(file.name for file in folder.iterdir()) == ["curve.png", "report.md", "verdict.json"]
    return json.loads((folder / "verdict.json").read_text()), (folder / "report.md").read_text(encoding="utf-8")


def test_the_command_says_what_judge_elbow_says(tmp_path, capsys):
    record, report = judged(tmp_path, BASE)
    (found,) = record["curves"]
    means = BASE.groupby("n")["value"].mean()
    frame = BASE.assign(ratio=BASE["n"] / 2000, n_train=BASE["n"])
    expected = judge_elbow(frame, margin=0.05 * (means[2000] - means[50]))
    assert found["kind"] == expected.kind
    assert found["margin"] == pytest.approx(expected.margin)
    assert found["recommended_ratio"] == expected.recommended_ratio
    assert found["last_doubling"]["value"] == pytest.approx(expected.last_doubling.value)
    assert found["gain"]["mean"] == pytest.approx(expected.loss[0.025].mean)
    assert [point["mean"] for point in found["points"]] == pytest.approx(means.tolist())
    assert found["origin"] is None
    printed = capsys.readouterr().out
    for line in found["answer"]:
        assert line in printed
        assert f"- **{line}**" in report
    for start in ("Data:", "Gain:", "Recommended ratio:", "Last doubling:", "Elbow:", "Too small to see:"):
        assert f"**{start}" in report
    assert [line.split(":")[0] for line in found["answer"]] == [
        *("Data", "Gain", "Recommended ratio", "Last doubling", "Elbow", "Too small to see")
    ]
    assert "No origin is given" in report
    assert "5 % of the gain" in report
    picture = Image.open(tmp_path / "curve_verdict" / "curve.png")
    assert picture.width == 1245
    assert np.unique(np.asarray(picture.convert("L"))).size > 20


def test_lower_is_better_turns_the_curve_and_an_origin_is_judged(tmp_path, capsys):
    upside_down = BASE.assign(value=1 - BASE["value"])
    record, report = judged(tmp_path, upside_down, "--lower-is-better", "--origin", "0,5", "--margin", "0.01")
    (found,) = record["curves"]
    assert found["origin"] == 0.5
    assert found["gain"]["mean"] == pytest.approx(0.5 - upside_down.query("n == 2000")["value"].mean())
    assert (found["margin"], found["margin_from"]) == (0.01, "given")
    assert "shown to be better than no training. A gain is a fall of the value." in report
    same = read_curves(read_source(write(tmp_path, "up.csv", BASE)), Choice(columns={}))[0][0]
    mirrored = judge_curve(same, tmp_path, higher_is_better=True, margin=0.01, origin=0.5).verdict
    assert (found["kind"], found["recommended_ratio"]) == (mirrored.kind, mirrored.recommended_ratio)
    capsys.readouterr()


def test_rows_without_data_are_the_origin(tmp_path):
    nothing = pd.DataFrame({"n": 0, "seed": range(5), "value": [0.5, 0.51, 0.49, 0.5, 0.5]})
    path = write(tmp_path, "curve.csv", pd.concat([nothing, BASE]))
    ((table,), _) = read_curves(read_source(path), Choice(columns={}))
    found = judge_curve(table, path, higher_is_better=True, margin=None, origin=None)
    whole = BASE.query("n == 2000").set_index("seed")["value"]
    assert found.gain.mean == pytest.approx((whole - nothing["value"]).mean())
    assert "without training (the value at n = 0)" in answer(found)[1]


def test_files_whose_names_begin_alike_have_results_of_their_own(tmp_path):
    for number in (1, 2):
        path = write(tmp_path, f"run.{number}.csv.gz", gzip.compress(as_csv(BASE).encode()))
        assert main(["judge", str(path), "--margin", "0.01"]) == 0
    assert (tmp_path / "run.1_verdict" / "report.md").is_file()
    assert (tmp_path / "run.2_verdict" / "report.md").is_file()


def test_each_metric_gets_an_answer_and_figure_panels_stack(tmp_path, capsys):
    two = BASE.rename(columns={"value": "acc"}).assign(f1=0.9 * BASE["value"] + 1e-3 * (BASE["seed"] % 2))
    record, report = judged(tmp_path, two, "--metric", "acc", "--metric", "f1")
    assert [found["metric"] for found in record["curves"]] == ["acc", "f1"]
    assert report.count("Elbow:") == report.count("Recommended ratio:") == 2
    assert "## acc" in report
    assert "curve.csv, f1:" in capsys.readouterr().out


def world(mean, noise=0.004, seeds=5, sizes=SIZES, items=0):
    generator = np.random.default_rng(7)
    rows = [
        (n, seed, item, mean(n) + generator.normal(0, noise) + (0.05 * (item % 3) if items else 0))
        for n in sizes
        for seed in range(seeds)
        for item in range(max(items, 1))
    ]
    frame = pd.DataFrame(rows, columns=["n", "seed", "item", "value"])
    return frame if items else frame.drop(columns="item")


TEN = tuple(round(50 * 2 ** (step * 0.8)) for step in range(10))
WORLDS = {
    "no_gain": (world(lambda n: 0.5), 0.6),
    "flat": (world(lambda n: 0.5), None),
    "declining": (world(lambda n: 0.8 - 0.02 * np.log(n)), None),
    "elbow": (world(lambda n: 0.1 * min(np.log(n), np.log(400)), sizes=TEN), None),
    "saturated": (world(lambda n: 1 - np.exp(-n / 200), sizes=TEN), None),
    "diminishing": (world(lambda n: -(n**-0.4), noise=1e-3, sizes=TEN), None),
    "rising": (world(lambda n: 0.05 * np.log(n)), None),
    "unidentifiable": (world(lambda n: 0.05 * np.log(n), sizes=SIZES[:3]), None),
    "two seeds": (world(lambda n: 0.05 * np.log(n), seeds=2), None),
    "items": (world(lambda n: 0.05 * np.log(n), seeds=3, items=12), None),
    "noise": (world(lambda n: 0.5 + 1e-3 * np.log(n), noise=0.1), 0.0),
}


@pytest.mark.parametrize("name", WORLDS)
def test_sentences_of_every_kind_agree_with_each_other(name, tmp_path):
    frame, origin = WORLDS[name]
    ((table,), _) = read_curves(read_source(write(tmp_path, "curve.csv", frame)), Choice(columns={}))
    found = judge_curve(table, tmp_path, higher_is_better=True, margin=None, origin=origin)
    if name in ("no_gain", "flat", "declining", "elbow", "saturated", "diminishing", "rising", "unidentifiable"):
        assert found.verdict.kind == name
    lines = dict(line.split(": ", 1) for line in answer(found))
    text = " ".join(lines.values())
    assert "nan" not in text
    assert "None" not in text
    assert not re.search(r"[{}]|  |\bpairs?\b|\bmap\b|\bdraft\b", text)
    enough = lines["Recommended ratio"]
    if found.verdict.kind == "no_gain":
        assert enough.startswith("none")
        assert lines["Elbow"].startswith("none, for there is no gain")
        assert "more data is shown to help" not in text
        assert "shown to be better than no training" not in lines["Gain"].replace("not shown to be", "")
    if found.margin_is_noise:
        assert enough.startswith("none")
        assert "every measured size is shown" not in text
        assert "would settle it" not in text
    if "more data is shown to help" in text:
        assert found.verdict.last_doubling.interval[0] > 0
        assert "beat" not in lines["Elbow"]
    if "every measured size is shown to lose at most the margin" in text:
        assert found.verdict.recommended_ratio == min(found.verdict.loss)
    if name == "two seeds":
        assert "inconclusive: 6 sizes and 2 seeds; an elbow needs 5 and 3" in text


@pytest.mark.parametrize(
    "form", [BASE.rename(columns={"seed": "fold"}), WIDE.rename(columns="split{}".format).to_csv()]
)
def test_folds_are_said_to_overlap(form, tmp_path):
    ((found,), _) = read_curves(read_source(write(tmp_path, "curve.csv", form)), Choice(columns={}))
    assert "training sets of cross-validation overlap" in found.notes[0]


def test_per_cent_signs_make_sizes_shares(tmp_path, capsys):
    record, _ = judged(tmp_path, BASE.assign(n=[f"{n / 20:g} %" for n in BASE["n"]]))
    assert record["columns"]["ratio"] == "n"
    assert {point["n"] for point in record["curves"][0]["points"]} == {None}
    assert "n = " not in capsys.readouterr().out.replace("ratio = n", "")


def test_sizes_that_differ_by_rounding_are_one(tmp_path):
    shares = BASE.assign(n=BASE["n"] / 2000).rename(columns={"n": "ratio"})
    shares["ratio"] = np.where(shares["seed"] == 3, np.nextafter(shares["ratio"], 0), shares["ratio"])
    ((found,), _) = read_curves(read_source(write(tmp_path, "curve.csv", shares)), Choice(columns={}))
    assert found.frame["ratio"].nunique() == len(SIZES)


@pytest.mark.parametrize("seeds", [[0, 1], [0, 1, 2, 3, 4]])
def test_a_blank_value_without_training_is_none(seeds, tmp_path):
    nothing = pd.DataFrame({"n": 0, "seed": seeds, "value": [0.3] * (len(seeds) - 1) + [np.nan]})
    ((found,), _) = read_curves(
        read_source(write(tmp_path, "curve.csv", pd.concat([BASE, nothing]))), Choice(columns={})
    )
    assert found.origin == {str(seed): 0.3 for seed in seeds[:-1]}


def test_a_margin_in_other_units_is_pointed_out(tmp_path, capsys):
    judged(tmp_path, BASE, "--margin", "5")
    assert "Note: the margin of 5 is wider than all values differ" in capsys.readouterr().out


def test_what_was_taken_for_what_is_said(tmp_path, capsys):
    record, _ = judged(tmp_path, nested(BASE).assign(score_train=1.0, note="x"), "--metric", "score_valid")
    printed = capsys.readouterr().out
    assert "read: n = anchor, seed = outer_seed, value = score_valid" in printed
    assert "values are means over 2 inner_seed of each outer_seed" in printed
    assert record["columns"]["seed"] == "outer_seed"


def test_columns_can_be_mapped_joined_and_rows_chosen(tmp_path):
    table = pd.concat([nested(BASE), nested(BASE.assign(value=0.1)).assign(learner="kNN")])
    path = write(tmp_path, "lcdb.csv", table)
    choice = Choice(
        {"n": "anchor", "seed": "outer_seed+inner_seed", "value": "score_valid"}, where=(("learner", "SVC"),)
    )
    ((found,), _) = read_curves(read_source(path), choice)
    assert found.frame["seed"].nunique() == 10
    assert len(found.frame) == 60


def of_two_metrics(frame, name="metric"):
    return pd.concat([frame.assign(**{name: "acc"}), (1 - frame).assign(**{name: "err"})])


TWO_METRICS = {
    "seeds above": of_two_metrics(WIDE.add_prefix("seed")).to_csv(),
    "seeds above, an index": of_two_metrics(plain(WIDE).add_prefix("seed")).to_csv(),
    "sizes above": of_two_metrics(WIDE.T, "measure").to_csv(),
    "sizes above, no seeds": of_two_metrics(WIDE.T).to_csv(index=False),
    "sizes above, an index": of_two_metrics(plain(WIDE.T), "measure").to_csv(),
}


@pytest.mark.parametrize("form", TWO_METRICS)
def test_metrics_in_a_column_of_a_wide_table_are_no_seeds(form, tmp_path, capsys):
    path = write(tmp_path, "curve.csv", TWO_METRICS[form])
    source = read_source(path)
    with pytest.raises(TableError, match="several metrics, acc, err; say which with --metric acc"):
        read_curves(source, Choice(columns={}))
    ((found,), _) = read_curves(source, Choice(columns={}, metrics=("acc",)))
    assert found.metric == "acc"
    found = found.frame.sort_values(["n_train", "seed"])
    assert np.allclose(found["value"], BASE["value"], rtol=0, atol=1e-12)
    assert found["n_train"].tolist() == BASE["n"].tolist()


def test_seeds_of_joined_columns_may_stand_beside_sizes(tmp_path):
    table = WIDE.T.assign(run="a", draw=range(5)).to_csv(index=False)
    ((found,), _) = read_curves(read_source(write(tmp_path, "curve.csv", table)), Choice(columns={"seed": "run+draw"}))
    assert sorted(found.frame["seed"].unique()) == [f"a/{seed}" for seed in range(5)]


@pytest.mark.parametrize("seed", ["base", "1.5", "7"])
def test_a_row_without_data_may_have_a_seed_of_its_own(seed, tmp_path):
    record, _ = judged(tmp_path, as_csv(BASE) + f"0,{seed},0.3\n")
    assert record["curves"][0]["origin"] == 0.3


def test_seeds_with_gaps_are_left_out_only_if_asked_and_named(tmp_path):
    gaps = BASE.drop(index=3).assign(value=lambda frame: frame["value"].where(frame.index != 9))
    source = read_source(write(tmp_path, "curve.csv", gaps))
    ((found,), _) = read_curves(source, Choice(columns={}, only_complete=True))
    assert sorted(found.frame["seed"].unique()) == ["0", "1", "2"]
    (note,) = found.notes
    assert note == "seeds that lack a value: 2 of 5 (seed 3 at n 50; seed 4 at n 100); these seeds are left out"


def test_the_pages_examples_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    """The page's curve of scikit-learn, the command on it, and the same verdict by the function."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "judge.md").read_text(encoding="utf-8")
    write_curve, from_python = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(write_curve, {})
    assert main(shlex.split(re.search(r"`embalign (judge curve\.csv --origin 0\.1)`", page)[1])) == 0
    (found,) = json.loads((tmp_path / "curve_verdict" / "verdict.json").read_text())["curves"]
    assert [point["n"] for point in found["points"]] == [40, 80, 160, 320, 640, 1257]
    assert found["gain"]["mean"] > 0.5
    capsys.readouterr()
    exec(from_python, {})
    assert capsys.readouterr().out.split()[0] == found["kind"]


def test_of_many_sizes_some_are_judged_and_that_is_said(tmp_path):
    dense = world(lambda n: 0.05 * np.log(n), sizes=range(20, 4001, 20))
    ((found,), _) = read_curves(read_source(write(tmp_path, "curve.csv", dense)), Choice(columns={}))
    sizes = sorted(found.frame["n_train"].unique())
    assert len(sizes) <= 20
    assert {20, 2000, 4000} <= set(sizes)
    assert found.notes[0].startswith(f"of 200 sizes {len(sizes)} are judged")
    with pytest.raises(ValueError, match="200 ratios; the limit is 40"):
        judge_elbow(dense.assign(ratio=dense["n"] / 4000), margin=0.01)


def test_values_with_per_cent_signs_stay_in_per_cent(tmp_path):
    signs = BASE.assign(value=[f"{100 * value:.4f} %" for value in BASE["value"]])
    ((found,), _) = read_curves(read_source(write(tmp_path, "curve.csv", signs)), Choice(columns={}))
    assert found.percent
    assert found.frame["value"].max() == pytest.approx(100 * BASE["value"].max())


def test_a_rerun_replaces_its_own_result_byte_by_byte_and_nothing_else(tmp_path, capsys):
    judged(tmp_path, BASE)
    folder = tmp_path / "curve_verdict"
    first = everything_in(folder)
    (folder / "notes.txt").write_text("mine")
    assert main(["judge", str(tmp_path / "curve.csv")]) == 0
    second = everything_in(folder)
    assert second.pop(folder / "notes.txt") == b"mine"
    record = json.loads(second.pop(folder / "verdict.json"))
    assert record["replaced"] == record["files"]
    assert second == {path: content for path, content in first.items() if path.name != "verdict.json"}
    (folder / "report.md").write_text("my own words")
    code, line = mistaken(["judge", str(tmp_path / "curve.csv")], tmp_path, capsys)
    assert code == 4
    assert "report.md was changed since it was written" in line


def fill(folder, words):
    with result_folder(folder, "judge", {}, ("one.txt", "two.txt")) as building:
        for name in ("one.txt", "two.txt"):
            (building / name).write_text(words)


def test_what_a_kill_between_two_moves_leaves_is_written_over(tmp_path):
    """The new record is then there beside old files, whose digests it has."""
    folder = tmp_path / "out"
    fill(folder, "old")
    fill(folder, "new")
    (folder / "two.txt").write_text("old")
    fill(folder, "third")
    assert {(folder / name).read_text() for name in ("one.txt", "two.txt")} == {"third"}
    (folder / "two.txt").write_text("mine")
    with pytest.raises(TableError, match=r"two.txt was changed since"):
        fill(folder, "fourth")
    assert (folder / "one.txt").read_text() == "third"


def test_what_a_killed_run_was_building_is_swept(tmp_path):
    left = tmp_path / ".embalign-judge-abc"
    left.mkdir()
    fill(tmp_path / "out", "one")
    assert left.exists()
    os.utime(left, (0, 0))
    fill(tmp_path / "out", "other")
    assert not left.exists()


def test_hostile_names_reach_neither_terminal_nor_markdown(tmp_path, capsys):
    odd = "acc\x1b[31m|<img src=x>$\\frac{"
    path = tmp_path / "cur|ve<b>$.csv"
    BASE.rename(columns={"value": odd}).to_csv(path, index=False)
    assert main(["judge", str(path), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "\x1b" not in printed + report
    assert "<img" not in report.replace("\\<img", "")


def test_help_has_an_example_and_imports_nothing_heavy():
    heavy = ("numpy", "pandas", "scipy", "matplotlib", "sklearn", "torch", "jinja2")
    script = (
        "import sys\nfrom embalign.__main__ import main\n"
        "for command in ('judge', 'compare'):\n"
        "    try:\n        main([command, '--help'])\n    except SystemExit:\n        pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert done.stdout.count("example:\n  embalign ") == 2


def many(count):
    return pd.concat(
        [BASE.rename(columns={"value": f"m{number}"}).set_index(["n", "seed"]) for number in range(count)], axis=1
    )


MISTAKES = {
    "no such file": (None, [], 4, "No such file"),
    "empty": ("", [], 4, "the file is empty"),
    "spaces alone": (" \n \n", [], 4, "the file is empty"),
    "names alone": ("n,seed,value\n", [], 4, "no rows"),
    "no names": (as_csv(BASE).split("\n", 1)[1], [], 4, "the first line holds numbers"),
    "a workbook": (b"PK\x03\x04" + b"\0" * 40, [], 4, "Excel"),
    "an array": (b"\x93NUMPY\x01\0", [], 4, "NumPy array"),
    "parquet": (b"PAR1abc", [], 4, "parquet"),
    "a pickle": (b"\x80\x05\x95", [], 4, "never loaded"),
    "Latin-1": ("n,seed,value\n1,caf\xe9,2\n".encode("latin-1"), [], 4, "UTF-8"),
    "NUL bytes": (b"n,seed\0,value\n", [], 4, "NUL"),
    "broken gzip": (b"\x1f\x8b" + b"x" * 30, [], 4, "gzip"),
    "a name twice": ("n,n,value\n1,2,3\n", [], 4, "2 columns are named 'n'"),
    "a field too many": (as_csv(BASE) + "1,2,3,4\n", [], 4, "cannot be read as a table"),
    "an open quote": ('n,seed,value\n1,"2,3\n', [], 4, "cannot be read as a table"),
    "bad JSON": ('{"n": 1,\n', [], 4, "not valid JSON"),
    "JSON of numbers": ("[1, 2, 3]", [], 4, "not rows that are objects"),
    "no sizes": (BASE.drop(columns="n"), [], 4, "no column n or ratio among seed, value"),
    "no seeds": (BASE.drop(columns="seed"), [], 4, "no column seed"),
    "training epochs are no seeds": (BASE.rename(columns={"seed": "epoch"}), [], 4, "no column seed"),
    "metrics or seeds": (
        many(2).reset_index().drop(columns="seed"),
        [],
        4,
        "if they are metrics, add a column seed or name it",
    ),
    "means over seeds": (
        BASE.groupby("n")["value"].agg(["mean", "std"]).reset_index(),
        [],
        4,
        "mean, std are over seeds, and a verdict needs each one",
    ),
    "no values": (BASE.drop(columns="value"), [], 4, "no column of values among n, seed"),
    "several values": (many(3).reset_index(), [], 4, "m0, m1, m2 may each be the value"),
    "no such metric": (BASE, ["--metric", "valeu"], 4, "did you mean 'value'?"),
    "no such column": (BASE, ["--columns", "n=size"], 4, "no column 'size' (--columns n=size)"),
    "a role that is none": (BASE, ["--columns", "size=n"], 2, "roles are n, ratio"),
    "a column map without sign": (BASE, ["--columns", "n"], 2, "is not ROLE=COLUMN"),
    "a role twice": (BASE, ["--columns", "n=n,n=seed"], 2, "n is given twice"),
    "two names of the values": (BASE, ["--metric", "value", "--columns", "value=value"], 4, "both name the values"),
    "no such row": (BASE, ["--where", "seed=9"], 4, "no row has seed='9'"),
    "a condition without sign": (BASE, ["--where", "seed"], 2, "is not COLUMN=VALUE"),
    "two sizes": (BASE.assign(size=BASE["n"]).rename(columns={"n": "samples"}), [], 4, "may both be n"),
    "text for a number": (BASE.astype({"value": str}).replace({"value": {"0.749361": "high"}}), [], 4, "'high', which"),
    "mean and spread": (BASE.assign(value=[f"{v:.3f}±0.01" for v in BASE["value"]]), [], 4, "a mean with its spread"),
    "infinity": (BASE.assign(value=[*BASE["value"][:-1], np.inf]), [], 4, "not finite"),
    "ambiguous thousands": ("n;seed;value\n1.000;0;1.234\n", [], 4, "--decimal . or --decimal ,"),
    "two decimal signs": ('n,seed,value\n10,0,"0,85"\n20,0,0.85\n', [], 4, "the decimal sign is not clear"),
    "a sign that is none": (BASE, ["--decimal", ";"], 2, "--decimal"),
    "per cent in some rows": (BASE.assign(value=["85 %", *BASE["value"].astype(str)[1:]]), [], 4, "per cent sign"),
    "a negative size": (BASE.assign(n=-BASE["n"]), [], 4, "a size is a number above 0"),
    "a blank size": (as_csv(BASE) + ",3,0.5\n", [], 4, "row 31: n is ''"),
    "a blank seed": (as_csv(BASE) + "50,,0.5\n", [], 4, "row 31: seed is empty"),
    "only n = 0": (BASE.assign(n=0), [], 4, "no row has a size above 0"),
    "counts called ratio": (BASE.rename(columns={"n": "ratio"}), [], 4, "--columns n=ratio"),
    "millions": (BASE.assign(ratio=1.0, n=BASE["n"] * 1000), [], 4, "beside n 50000 and n 2000000"),
    "n beside another ratio": (BASE.assign(ratio=1.0), [], 4, "stands beside n 50 and n 2000"),
    "one seed": (BASE[BASE["seed"] == 0], [], 4, "one seed"),
    "one size": (BASE[BASE["n"] == 50], [], 4, "one size is no curve"),
    "a gap": (BASE.drop(index=7), [], 4, "(seed 2 at n 100)"),
    "a blank value": (BASE.assign(value=BASE["value"].where(BASE.index != 7)), [], 4, "--only-complete"),
    "gaps in every seed": (
        BASE.drop(index=range(5)).drop(index=[5, 11, 17, 23, 29]),
        ["--only-complete"],
        4,
        "none would",
    ),
    "training and test": (
        pd.concat([BASE.assign(split=part) for part in ("train", "test")]),
        [],
        4,
        "split holds train, test, which are parts of the data and no repetitions; keep one with --where split=test",
    ),
    "parts and no seeds": (
        pd.concat([BASE[BASE["seed"] == 0].assign(fold=part) for part in ("Train", "dev", "ood")]).drop(columns="seed"),
        [],
        4,
        "fold holds Train, dev, ood, which are parts of the data and no repetitions; keep one with --where fold=Train",
    ),
    "parts that are named seeds": (
        pd.concat([BASE.assign(part=part) for part in ("dev", "eval")]),
        ["--columns", "seed=seed+part"],
        4,
        "--where part=dev",
    ),
    "one part and no seeds": (BASE.drop(columns="seed").assign(split="test"), [], 4, "no column seed"),
    "metrics as repetitions": (
        pd.concat([BASE.assign(rep=name) for name in ("acc", "f1")]),
        [],
        4,
        "they differ in rep, and 'acc' is no number of a repetition: keep some rows with --where rep=acc",
    ),
    "metrics as seeds": (
        pd.concat([BASE[BASE["seed"] == 0].assign(run=name) for name in ("acc", "f1")]).drop(columns="seed"),
        [],
        4,
        "run holds acc, f1, which are metrics and no repetitions; choose one with --columns metric=run --metric acc",
    ),
    "systems as seeds": (
        pd.concat([BASE[BASE["seed"] == 0].assign(run=name) for name in ("minilm12", "dense")]).drop(columns="seed"),
        [],
        4,
        "run holds minilm12, dense, which may be systems and no repetitions; choose one with --where run=minilm12",
    ),
    "joined sizes": (BASE, ["--columns", "n=n+seed"], 4, "no column 'n+seed' (--columns n=n+seed)"),
    "joined values": (BASE, ["--columns", "value=n+value"], 4, "no column 'n+value'"),
    "joined metrics": (BASE.assign(m="a", k="b"), ["--columns", "metric=m+k"], 4, "no column 'm+k'"),
    "a row twice": (pd.concat([BASE, BASE[:1]]), [], 4, "n 50, seed 0 has 2 values"),
    "learners of two words": (
        pd.concat([BASE.assign(**{"my model": m}) for m in ("a b", "c")]),
        [],
        4,
        "--where 'my model=a b'",
    ),
    "metrics of two words": (
        BASE.assign(**{"top 1": 0.1, "top 5": 0.2}).drop(columns="value"),
        [],
        4,
        "--metric 'top 1'",
    ),
    "several learners": (pd.concat([BASE.assign(model=m) for m in "ab"]), [], 4, "--where model=a"),
    "a copied seed": (pd.concat([BASE, BASE[BASE["seed"] == 1].assign(seed=9)]), [], 4, "remove the copies"),
    "one constant": (BASE.assign(value=0.5), [], 4, "the value is the same at every size"),
    "constants": (BASE.assign(value=BASE["seed"]), [], 4, "the value is the same at every size"),
    "values beyond computing": (BASE.assign(value=BASE["value"] * 1e300), [], 4, "too large to be computed with"),
    "values below computing": (BASE.assign(value=BASE["value"] * 1e-300), [], 4, "too small to be computed with"),
    "values whose fourth powers overflow": (BASE.assign(value=BASE["value"] * 1e80), [], 4, "too large to be computed"),
    "values whose fourth powers vanish": (BASE.assign(value=BASE["value"] * 1e-80), [], 4, "too small to be computed"),
    "an origin beyond computing": (BASE, ["--origin=-1e100"], 2, "'-1e100' is too large to compute with"),
    "sizes of no data": (
        BASE.assign(n=[10.0 ** (16 * SIZES.index(n) - 40) for n in BASE["n"]]),
        [],
        4,
        "sizes go from 1e-40 to 1e+40, too far apart for one curve",
    ),
    "one column as two": (BASE, ["--columns", "n=n,seed=n"], 4, "'n' both n and seed; a column has one role"),
    "per cent up to 50": (
        BASE.assign(n=BASE["n"] / 40).rename(columns={"n": "ratio"}),
        [],
        4,
        "rename the column percent",
    ),
    "seeds of another name": (BASE.rename(columns={"seed": "draw"}), [], 4, "name it with --columns seed=NAME"),
    "a margin of nothing": (BASE, ["--margin", "0"], 2, "is not above 0"),
    "a margin that is no number": (BASE, ["--margin", "small"], 2, "is not a finite number"),
    "an origin that is no number": (BASE, ["--origin", "nan"], 2, "is not a finite number"),
    "no folder": (BASE, ["--out", "{folder}/curve.csv"], 4, "not a folder"),
    "another's folder": (BASE, ["--out", "{folder}/other"], 4, "was not written by this command"),
    "another's record": (BASE, ["--out", "{folder}/record"], 4, "no result of embalign judge"),
    "too many curves": (many(13).reset_index(), [f"--metric=m{n}" for n in range(13)], 4, "at most 12"),
}


@pytest.mark.parametrize(
    "names",
    [
        ("run-1", "run-2", "run-3"),
        ("k3v91x0a", "0p2m7qd1", "zz81ab4c"),
        ("sunny-river-12", "bold-sky-7", "calm-dew-130"),
        ("2026-11-28T10:00:00Z", "2026-11-28T11:30:00Z", "2026-11-29T08:15:00Z"),
        ("bm25", "dense", "hybrid"),
    ],
)
def test_a_column_run_of_names_that_trackers_draw_or_that_the_user_says_so_holds_seeds(names, tmp_path):
    seeds = sorted(BASE["seed"].unique())[:3]
    rows = BASE[BASE["seed"].isin(seeds)]
    content = rows.assign(run=rows["seed"].map(dict(zip(seeds, names, strict=True)))).drop(columns="seed")
    options = ["--columns", "seed=run"] if "bm25" in names else []
    record, _ = judged(tmp_path, content, *options)
    assert record["curves"][0]["seeds"] == 3


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line_and_nothing_is_written(name, tmp_path, capsys):
    content, options, code, words = MISTAKES[name]
    if content is not None:
        write(tmp_path, "curve.csv", content)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.md").write_text("mine")
    (tmp_path / "record").mkdir()
    (tmp_path / "record" / "verdict.json").write_text('{"kind": "mine"}')
    options = [option.format(folder=tmp_path) for option in options]
    found, line = mistaken(["judge", str(tmp_path / "curve.csv"), *options], tmp_path, capsys)
    assert found == code, line
    assert words in line


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    """As a full disk or a lack of rights has it; the tests may run with the rights to write everywhere."""
    path = write(tmp_path, "curve.csv", BASE)
    code, line = mistaken(["judge", str(path), "--out", "/proc/verdict"], tmp_path, capsys)
    assert (code, "cannot be written" in line) == (4, True)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    """As in a pipe to head: the result is written, and nothing is said."""
    path = write(tmp_path, "curve.csv", BASE)
    command = f"{shlex.quote(sys.executable)} -m embalign judge {shlex.quote(str(path))} | true"
    found = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, timeout=120, check=True)
    assert found.stderr == b""
    assert (tmp_path / "curve_verdict" / "verdict.json").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("judge", "{curve}", "--out", ""),
        ("judge", ""),
        ("compare", "{curve}", "{curve}", "--out", ""),
        ("compare", "{curve}", ""),
        ("export", "--pair", "no", "--out", ""),
        ("report", "--pair", "no", "--out", ""),
        ("report", "--pair", "no", "--reports-dir", ""),
        ("import", "--draft", "a.npy", "--teacher", "b.npy", "--out", ""),
        ("init", ""),
    ],
    ids=" ".join,
)
def test_an_empty_name_is_never_the_current_folder(words, tmp_path, monkeypatch, capsys):
    """As of a variable that is not set."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "curve.csv", BASE)
    code, line = mistaken([word.format(curve=path) for word in words], tmp_path, capsys)
    assert (code, "an empty name; is the variable set?" in line) == (2, True)


def test_links_and_odd_files_are_refused(tmp_path, capsys):
    path = write(tmp_path, "curve.csv", BASE)
    target = tmp_path / "elsewhere.md"
    target.write_text("mine")
    (tmp_path / "curve_verdict").mkdir()
    (tmp_path / "curve_verdict" / "report.md").symlink_to(target)
    assert mistaken(["judge", str(path)], tmp_path, capsys)[0] == 4
    os.mkfifo(tmp_path / "pipe.csv")
    code, line = mistaken(["judge", str(tmp_path / "pipe.csv")], tmp_path, capsys)
    assert (code, "Not a regular file" in line) == (4, True)


@pytest.mark.parametrize("scale", [1e-59, 1e59])
def test_the_verdict_does_not_depend_on_the_unit(scale):
    """Near the ends of what is accepted, with values by item, whose fourth powers are summed."""
    noise = np.random.default_rng(3).normal(0, 0.05, 3 * len(BASE))
    frame = pd.concat([BASE.assign(item=item) for item in range(3)]).rename(columns={"n": "n_train"})
    frame = frame.assign(ratio=frame["n_train"] / 2000, value=frame["value"] + noise)
    found = judge_elbow(frame.assign(value=frame["value"] * scale), margin=0.02 * scale, origin=0.5 * scale)
    plain_verdict = judge_elbow(frame, margin=0.02, origin=0.5)
    assert (found.kind, found.recommended_ratio) == (plain_verdict.kind, plain_verdict.recommended_ratio)
    assert found.gain.interval() == pytest.approx([scale * end for end in plain_verdict.gain.interval()])


@pytest.mark.parametrize(
    ("change", "asked", "words"),
    [
        ({"value": 1e80}, {}, "too far from 1 to compute with"),
        ({}, {"origin": 1e100}, "values of the curve and its origin go up to 1e.100, too far"),
        ({}, {"margin": 1e150}, "margin must be a number of at least 0 and below 1e.60"),
        ({"n_train": 1.0}, {}, "sizes go from .* to .*, too far apart"),
    ],
)
def test_numbers_that_leave_the_range_of_floats_are_named(change, asked, words):
    frame = BASE.rename(columns={"n": "n_train"}).assign(ratio=BASE["n"] / 2000, item=0)
    if "n_train" in change:
        frame["n_train"] = frame["ratio"] ** 20 * 1e10
    frame = pd.concat([frame, frame.assign(item=1, value=frame["value"] + 0.1)])
    frame["value"] *= change.get("value", 1)
    with pytest.raises(ValueError, match=words):
        judge_elbow(frame, **{"margin": 0.01, **asked})


def test_a_curve_that_cannot_be_judged_is_named():
    frame = curve(2).rename(columns={"n": "n_train"})
    frame = frame.assign(ratio=frame["n_train"] / 2000, value=1.0).astype({"seed": str})
    table = CurveTable("f1", frame, None, False, (), ())
    with pytest.raises(TableError, match="f1 cannot be judged: seeds 0 and 1 have the same curve"):
        judge_curve(table, __file__, higher_is_better=True, margin=None, origin=None)
