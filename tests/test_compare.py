"""embalign compare: statistics against scipy and plain formulas, files of other tools, and a line for each mistake."""

import json
import re
import sys

import ir_measures.__main__
import numpy as np
import pandas as pd
import pytest
from pair_folders import ROOT
from result_tables import everything_in, mistaken, results, write
from scipy import stats

from embalign import judge_ab
from embalign.__main__ import main
from embalign.verdicts.paired import judge_paired
from embalign.verdicts.skewed import SkewedT, skewed_t

KEYS = ["seed", "item", "value"]


def test_without_skewness_the_interval_is_students():
    values = np.array([-2.0, -1.0, 0.5, 1.0, 2.0, 3.0, 0.0, 1.0, -0.5])
    values = np.concatenate([values, 2 * values.mean() - values])
    found, expected = skewed_t(values), stats.ttest_1samp(values, 0)
    assert found.skewness == pytest.approx(0, abs=1e-12)
    assert found.df == len(values) - 1
    assert found.p_two_sided() == pytest.approx(expected.pvalue)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()))


@pytest.mark.parametrize("skewness", [-3.0, -0.5, 0.0, 1e-12, 0.5, 3.0])
def test_bounds_and_p_values_of_skewed_means_agree(skewness):
    """What a bound excludes is what its test rejects, to either side, and the wider of two methods is taken."""
    found = SkewedT(0.3, 0.1, 40.0, skewness, 60)
    plain = stats.t(40).ppf(0.975) * 0.1
    low, high = found.interval()
    assert low <= 0.3 - plain + 1e-12
    assert high >= 0.3 + plain - 1e-12
    for alpha in (0.01, 0.05, 0.2):
        assert found.p_greater(found.lower_bound(alpha)) == pytest.approx(alpha, rel=1e-6)
        assert (-found).p_greater(-found.upper_bound(alpha)) == pytest.approx(alpha, rel=1e-6)


def test_skewed_means_are_covered_like_a_studentized_bootstrap_says():
    values = np.exp(np.random.default_rng(1).standard_normal(200))
    found = skewed_t(values)
    resamples = values[np.random.default_rng(2).integers(0, 200, (4000, 200))]
    t = (resamples.mean(axis=1) - values.mean()) / (resamples.std(axis=1, ddof=1) / np.sqrt(200))
    bootstrap = values.mean() - np.quantile(t, [0.975, 0.025]) * found.standard_error
    student = stats.ttest_1samp(values, 0).confidence_interval()
    assert found.upper_bound(0.025) == pytest.approx(bootstrap[1], abs=0.5 * found.standard_error)
    assert found.upper_bound(0.025) > student.high + 0.2 * found.standard_error


def test_few_false_differences_where_students_t_has_too_many():
    """Null of lognormal differences, 60 a run: Student's t finds something in about 10 %."""
    generator = np.random.default_rng(3)
    runs = np.exp(generator.standard_normal((600, 60))) - np.exp(0.5)
    student = (stats.ttest_1samp(runs, 0, axis=1).pvalue <= 0.05).mean()
    found = np.mean([skewed_t(values).p_two_sided() <= 0.05 for values in runs])
    assert student > 0.08
    assert found < 0.075


def pair(effect=0.02, **shape):
    return results(effect, **shape), results(**shape)


def test_seeds_alone_and_seeds_with_items_are_judged_as_by_judge_ab():
    treatment, control = pair(seeds=5, items=40)
    for keys in (["seed", "item", "value"], ["seed", "value"]):
        sides = [frame.groupby(keys[:-1], as_index=False)["value"].mean() for frame in (treatment, control)]
        found, expected = (judge(*sides, margin=0.05) for judge in (judge_paired, judge_ab))
        assert found.kind == expected.kind
        assert found.difference == pytest.approx(expected.difference)
        assert found.interval == pytest.approx(expected.interval)
        assert found.p_value == pytest.approx(expected.p_value, rel=1e-6)
        assert found.equivalence_p_value == pytest.approx(expected.equivalence_p_value, rel=1e-6)
        assert found.minimum_detectable_effect == pytest.approx(expected.minimum_detectable_effect)
    assert judge_paired(treatment, control).over == "seeds and items"


def test_groups_carry_the_error_and_the_mean_stays_that_over_items():
    treatment, control = pair(items=100)
    group = pd.Series(np.minimum(np.arange(100) // 4, 20))  # one of twenty items, twenty of four
    found = judge_paired(treatment.assign(group=group), control)
    difference = (treatment["value"] - control["value"]).to_numpy()
    residuals = pd.Series(difference - difference.mean()).groupby(group).sum()
    error = np.sqrt(21 / 20 * np.square(residuals).sum()) / 100
    assert found.difference == pytest.approx(difference.mean())
    assert found.groups == 21
    assert found.effective_groups == pytest.approx(100**2 / (20 * 16 + 400))
    assert found.over == "groups"
    assert np.ptp(found.interval) == pytest.approx(2 * stats.t(20).ppf(0.975) * error, rel=0.25)
    alone = judge_paired(treatment.assign(group=treatment["item"]), control)
    assert alone.interval == pytest.approx(judge_paired(treatment[KEYS], control).interval)


def test_rows_of_any_order_pair_and_one_seed_each_is_left_out():
    treatment, control = pair()
    found = judge_paired(treatment.sample(frac=1, random_state=0), control.assign(seed=7))
    assert found == judge_paired(treatment[["item", "value"]], control[["item", "value"]])
    assert (found.over, found.seeds) == ("items", 1)


def test_equivalent_needs_a_margin_and_may_have_a_direction():
    treatment, control = pair(effect=0.05, items=200, noise=0.02)
    assert judge_paired(treatment, control).kind == "better"
    assert judge_paired(control, treatment).kind == "worse"
    assert judge_paired(treatment, control, higher_is_better=False).kind == "worse"
    within = judge_paired(treatment, control, margin=0.1)
    assert (within.kind, within.direction) == ("equivalent", "better")
    assert judge_paired(treatment, control, margin=0.001).kind == "better"
    assert judge_paired(*pair(effect=0.001)).kind == "inconclusive"
    assert judge_paired(treatment, control).equivalence_p_value is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop(columns="value"), r"lacks column\(s\) value"),
        (lambda frame: frame[["value"]], "nothing to pair by"),
        (lambda frame: frame[:0], "has no rows"),
        (lambda frame: frame[1:], "must pair one to one by item: treatment has 59, control 60, and 59 pair"),
        (lambda frame: frame.assign(item=frame["item"].where(frame.index > 0)), "a row of the treatment has no item"),
        (lambda frame: pd.concat([frame, frame[:1]]), "two values for item q0"),
        (lambda frame: frame.assign(value=np.inf), "not finite"),
        (lambda frame: results(), r"all 60 differences are \+0"),
        (lambda frame: results().assign(value=lambda same: same["value"] + 0.1), r"all 60 differences are \+0.1"),
        (lambda frame: frame.assign(value="0,5"), "must hold numbers, row 0 has '0,5'"),
        (lambda frame: frame.assign(value=1e300 * frame["value"]), "too far from 1 to compute with"),
        (lambda frame: frame.assign(item=range(60)), "items are text on one side and numbers on the other"),
        (lambda frame: frame.assign(group="one"), "1 groups"),
        (lambda frame: frame.assign(group=None), "a row of the treatment has no group"),
    ],
)
def test_what_cannot_be_paired_is_named(change, words):
    treatment, control = pair()
    with pytest.raises(ValueError, match=words):
        judge_paired(change(treatment), control)


def test_what_is_no_frame_or_flag_is_named():
    with pytest.raises(
        TypeError, match="the treatment must be a pandas DataFrame with columns value, found a NoneType"
    ):
        judge_paired(None, pair()[1])
    with pytest.raises(TypeError, match="higher_is_better must be True or False, found 'no'"):
        judge_paired(*pair(), higher_is_better="no")


def test_bad_margins_and_levels_are_named():
    for options in ({"margin": 0}, {"margin": float("nan")}, {"margin": "1"}, {"alpha": 0.7}):
        with pytest.raises(ValueError, match=next(iter(options))):
            judge_paired(*pair(), **options)


def compared(folder, first, second, *options, names=("a.csv", "b.csv")):
    """The record of a run of the command that must end well."""
    paths = [write(folder, name, content) for name, content in zip(names, (first, second), strict=True)]
    assert main(["compare", *map(str, paths), *options, "--out", str(folder / "out")]) == 0
    return json.loads((folder / "out" / "verdict.json").read_text())


def test_the_command_says_what_judge_paired_says(tmp_path, capsys):
    treatment, control = pair(effect=0.05, items=120)
    record = compared(tmp_path, control, treatment, "--group", "topic", "--margin", "0.01")
    (found,) = record["comparisons"]
    expected = judge_paired(treatment.rename(columns={"topic": "group"}), control, margin=0.01)
    assert found["kind"] == expected.kind == "better"
    assert found["interval"] == pytest.approx(expected.interval)
    assert found["over"] == "groups"
    printed = capsys.readouterr().out
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    for line in found["answer"]:
        assert line in printed
        assert f"- **{line}**" in report
    assert "b.csv against a.csv:" in printed
    assert "one run each says nothing of other seeds" in printed
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 5000


def test_without_out_nothing_is_written(tmp_path, capsys):
    treatment, control = pair(effect=0.001)
    paths = [str(write(tmp_path, name, frame)) for name, frame in (("a.csv", control), ("b.csv", treatment))]
    before = everything_in(tmp_path)
    assert main(["compare", *paths]) == 0
    assert everything_in(tmp_path) == before
    assert "whether the two are equivalent is judged with --margin" in capsys.readouterr().out


def ir_lines(folder, name, quality, measures=("nDCG@10", "P@1"), arguments=("-q",), shown=None):
    """A file as the real ir-measures prints it, of a run that ranks relevant documents high by that quality."""
    generator = np.random.default_rng(5)
    queries, documents = [f"q{number}" for number in range(40)], [f"d{number}" for number in range(12)]
    qrels, run = folder / "qrels", folder / f"{name}.run"
    relevance = generator.random((len(queries), len(documents))) < 0.25
    relevance[:, 0] = True
    scores = (
        quality * relevance
        + generator.random(relevance.shape)
        + np.random.default_rng(len(name)).random(relevance.shape)
    )
    cells = [(q, d, i, j) for i, q in enumerate(queries) for j, d in enumerate(documents)]
    qrels.write_text("".join(f"{q} 0 {d} {int(relevance[i, j])}\n" for q, d, i, j in cells))
    run.write_text("".join(f"{q} Q0 {d} 0 {scores[i, j]:.6f} x\n" for q, d, i, j in cells))
    sys.argv = ["ir_measures", str(qrels), str(run), *measures, *arguments]
    ir_measures.__main__.main_cli()
    path = folder / name
    path.write_text(shown.readouterr().out)
    return str(path)


@pytest.fixture
def _own_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))


@pytest.mark.usefixtures("_own_arguments")
@pytest.mark.parametrize("form", ["tsv", "jsonl"])
def test_ir_measures_own_files_are_read(form, tmp_path, capsys):
    options = ("-q", "--output_format", form)
    first, second = (
        ir_lines(tmp_path, n, q, arguments=options, shown=capsys) for n, q in (("weak", 0.2), ("strong", 2.0))
    )
    assert main(["compare", first, second, "--metric", "nDCG@10"]) == 0
    printed = capsys.readouterr().out
    assert "lines for all queries are left out: " in printed
    assert "Data: 40 items, one run each, paired" in printed
    assert "Verdict: better." in printed


@pytest.mark.usefixtures("_own_arguments")
def test_means_over_all_queries_are_refused(tmp_path, capsys):
    first, second = (ir_lines(tmp_path, name, 1.0, arguments=(), shown=capsys) for name in ("one", "other"))
    code, line = mistaken(["compare", first, second], tmp_path, capsys)
    assert code == 4
    assert "run the tool again with -q" in line


def trec_eval(frame, measures=("map", "ndcg_cut_10")):
    rows = [f"runid                 \tall\tmine\nnum_q                 \tall\t{len(frame)}\n"]
    rows += [
        f"{measure:22}\t{item}\t{value:.6f}\n"
        for item, value in zip(frame["item"], frame["value"], strict=True)
        for measure in measures
    ]
    return "".join(rows) + "".join(f"{measure:22}\tall\t{frame['value'].mean():.4f}\n" for measure in measures)


def harness(frame, filters=("none",)):
    """Sample logs as lm-eval-harness writes them, an object a line."""
    return "".join(
        json.dumps(
            {
                "doc_id": number,
                "doc": {"question": "?"},
                "target": number % 4,
                "arguments": [["a", "b"]],
                "resps": [[["-1.0", "True"]]],
                "filtered_resps": [["-1.0", "True"]],
                "filter": name,
                "metrics": ["acc"],
                "doc_hash": f"hash{number}",
                "prompt_hash": "p",
                "target_hash": "t",
                "acc": float(value),
            }
        )
        + "\n"
        for number, value in enumerate(frame["value"])
        for name in filters
    )


def samples(frame):
    """Sample logs as inspect's samples_df writes them to CSV."""
    letters = np.where(frame["value"] > 0.5, "C", "I")
    return pd.DataFrame(
        {
            "sample_id": [f"uuid-{number}-{frame['value'].sum()}" for number in range(len(frame))],
            "eval_id": f"eval-{frame['value'].sum()}",
            "id": frame["item"],
            "epoch": frame["seed"] + 1,
            "input": "question, with a comma",
            "target": "A",
            "score_match": letters,
            "total_tokens": 100,
            "error": "",
        }
    )


def letters(frame):
    return frame.assign(value=(frame["value"] > 0.5).astype(float))


RIGHT = [letters(frame) for frame in pair(effect=0.2, items=80)]
REPEATED = [letters(frame) for frame in pair(effect=0.2, items=80, seeds=3)]
PLAIN = list(pair(effect=0.1, items=80))
OF_TOOLS = {
    "trec_eval": ([trec_eval(frame) for frame in PLAIN], ["--metric", "ndcg_cut_10"], PLAIN, "items"),
    "lm-eval": ([harness(frame) for frame in RIGHT], [], RIGHT, "items"),
    "inspect": ([samples(frame) for frame in RIGHT], [], RIGHT, "items"),
    "inspect, epochs": ([samples(frame) for frame in REPEATED], [], REPEATED, "seeds and items"),
    "a column map": (
        [frame.rename(columns={"item": "name", "value": "points"})[["name", "points"]] for frame in PLAIN],
        ["--columns", "item=name,value=points"],
        PLAIN,
        "items",
    ),
    "German": ([frame.to_csv(index=False, sep=";", decimal=",") for frame in PLAIN], [], PLAIN, "items"),
}


@pytest.mark.parametrize("tool", OF_TOOLS)
def test_files_of_other_tools_are_read(tool, tmp_path, capsys):
    (treatment, control), options, frames, over = OF_TOOLS[tool]
    paths = [str(write(tmp_path, name, content)) for name, content in (("a.txt", control), ("b.txt", treatment))]
    assert main(["compare", *paths, *options]) == 0
    printed = capsys.readouterr().out
    expected = judge_paired(*(frame[KEYS] for frame in frames))
    assert expected.over == over
    assert f"difference {expected.difference:+.4f}"[:16] in printed
    assert f"Verdict: {expected.kind}" in printed


def test_parts_of_the_data_may_be_parts_of_the_items(tmp_path, capsys):
    paths = [
        str(
            write(
                tmp_path, name, pd.concat([frame.assign(split=part) for part in ("dev", "test")]).drop(columns="seed")
            )
        )
        for name, frame in (("a.csv", OLD), ("b.csv", NEW))
    ]
    assert main(["compare", *paths, "--columns", "item=item+split"]) == 0
    assert "120 items" in capsys.readouterr().out


def test_two_systems_in_one_file(tmp_path, capsys):
    treatment, control = pair(effect=0.1)
    both = pd.concat([control.assign(system="old"), treatment.assign(system="new")])
    path = str(write(tmp_path, "all.csv", both))
    assert main(["compare", path, "--by", "system"]) == 0
    assert main(["compare", path, "--by", "system=new,old"]) == 0
    printed = capsys.readouterr().out
    assert "new against old:\n" in printed
    assert "old against new:\n" in printed
    assert printed.count("Verdict: better.") == printed.count("Verdict: worse.") == 1


def test_what_both_have_is_compared_only_if_asked(tmp_path, capsys):
    treatment, control = pair(effect=0.1, seeds=3)
    gaps = treatment.drop(index=[4]).assign(value=lambda frame: frame["value"].where(frame.index != 70))
    paths = [
        str(write(tmp_path, name, frame))
        for name, frame in (("a.csv", control[control["item"] != "q59"]), ("b.csv", gaps))
    ]
    assert main(["compare", *paths, "--only-common"]) == 0
    printed = capsys.readouterr().out
    assert "Data: 57 items, 3 seeds" in printed
    assert "b.csv: rows without a value are left out: 1" in printed
    assert "only in b.csv: 1 of 60 items (q59): left out, 59 are compared" in printed
    assert (
        "items that lack a seed: 2 of 59 (b.csv has no value of item q10 with seed 1); these items are left out"
        in printed
    )


def test_several_metrics_are_adjusted_for_their_number(tmp_path):
    def two(frame):
        return frame.rename(columns={"value": "mrr"}).assign(ndcg=frame["value"] ** 2)

    treatment, control = (two(frame) for frame in pair(effect=0.015, items=100))
    both = compared(tmp_path, control, treatment, "--metric", "mrr", "--metric", "ndcg")["comparisons"]
    assert [found["metric"] for found in both] == ["mrr", "ndcg"]
    assert sorted(found["p_value"] for found in both)[0] * 2 == pytest.approx(
        min(found["p_value_after_holm"] for found in both)
    )


def test_different_units_are_pointed_out(tmp_path, capsys):
    treatment, control = pair()
    large = treatment.assign(value=1000 * treatment["value"])
    paths = [str(write(tmp_path, name, frame)) for name, frame in (("a.csv", control), ("b.csv", large))]
    assert main(["compare", *paths]) == 0
    assert "check that both are in the same unit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("column", "name", "value"), [("item", "mean", None), ("item", "ALL", None), ("qid", "all", 9)]
)
def test_a_mean_among_items_is_no_item(column, name, value, tmp_path, capsys):
    paths = []
    for file, frame in zip(("a.csv", "b.csv"), pair(seeds=2), strict=True):
        means = frame.groupby("seed", as_index=False)["value"].mean().round(4).assign(item=name)
        means = means if value is None else means.assign(value=value)
        paths.append(str(write(tmp_path, file, pd.concat([frame, means]).rename(columns={"item": column}))))
    assert main(["compare", *paths]) == 0
    printed = capsys.readouterr().out
    assert f"lines for all {'queries' if column == 'qid' else 'items'} are left out: 2 ({name})" in printed
    assert "Data: 60 items, 2 seeds, paired" in printed


def test_an_item_that_is_called_mean_stays_one(tmp_path, capsys):
    words = [frame.replace({"item": {"q3": "mean"}}) for frame in pair()]
    paths = [str(write(tmp_path, file, frame)) for file, frame in zip(("a.csv", "b.csv"), words, strict=True)]
    assert main(["compare", *paths]) == 0
    assert "Data: 60 items" in capsys.readouterr().out


@pytest.mark.parametrize("names", [("ndcg_cut_10", "nDCG@10"), ("acc", "accuracy"), ("bm25", "new"), ("value", "map")])
def test_one_metric_may_have_two_names(names, tmp_path, capsys):
    frames = [frame.rename(columns={"value": name}) for frame, name in zip(pair(), names, strict=True)]
    paths = [str(write(tmp_path, file, frame)) for file, frame in zip(("a.csv", "b.csv"), frames, strict=True)]
    assert main(["compare", *paths]) == 0
    assert "Data: 60 items" in capsys.readouterr().out


def test_items_in_two_forms_of_unicode_are_the_same(tmp_path, capsys):
    names = [[f"{letter}{row}" for row in range(60)] for letter in ("\u00e9", "e\u0301")]
    frames = [frame.assign(item=items) for frame, items in zip(pair(), names, strict=True)]
    paths = [str(write(tmp_path, file, frame)) for file, frame in zip(("a.csv", "b.csv"), frames, strict=True)]
    assert main(["compare", *paths]) == 0
    assert "Data: 60 items" in capsys.readouterr().out


def test_cells_may_hold_whole_logs(tmp_path, capsys):
    paths = [
        str(write(tmp_path, name, frame.assign(prompt='a "b",\n' * 30_000).iloc[:9]))
        for name, frame in zip(("a.csv", "b.csv"), pair(), strict=True)
    ]
    assert main(["compare", *paths]) == 0
    assert "Data: 9 items" in capsys.readouterr().out


def test_a_margin_in_other_units_is_pointed_out(tmp_path, capsys):
    paths = [str(write(tmp_path, name, frame)) for name, frame in zip(("a.csv", "b.csv"), pair(), strict=True)]
    assert main(["compare", *paths, "--margin", "5"]) == 0
    assert "note: the margin of 5 is wider than all values differ" in capsys.readouterr().out
    assert main(["compare", *paths, "--metric", "value", "--metric", "value"]) == 0
    assert "after Holm" not in capsys.readouterr().out


NEW, OLD = pair(effect=0.1)
NEW_SEEDS, OLD_SEEDS = pair(effect=0.1, seeds=3)
ITEMS = OLD[["item", "value"]]
BY_SEED, BY_SEED_TOO = (frame.groupby("seed", as_index=False)["value"].mean() for frame in (OLD_SEEDS, NEW_SEEDS))
MISTAKES = {
    "one file": (OLD, None, [], 4, "found 1 of two files"),
    "a file that is not there": (OLD, None, ["{folder}/none.csv"], 4, "No such file"),
    "the same file": (OLD, OLD, [], 4, "hold the same bytes"),
    "the same values": (OLD, OLD.assign(seed=1), [], 4, "are these copies of one result?"),
    "an empty file": (OLD, "", [], 4, "b.csv: the file is empty"),
    "a run of TREC": ("q1 Q0 d1 1 3.2 mine\nq1 Q0 d2 2 3.1 mine\n", NEW, [], 4, "a.csv: this is a run, a ranking for"),
    "judgements of TREC": ("q1 0 d1 1\nq1 0 d2 0\n", NEW, [], 4, "a.csv: these are judgements of relevance"),
    "neither item nor seed": (OLD, NEW[["value"]], [], 4, "b.csv: no column item or seed among value"),
    "no values": (OLD, NEW[["item", "topic"]], [], 4, "b.csv: no column of values"),
    "several values": (
        OLD.assign(p1=0.1).rename(columns={"value": "p5"}),
        NEW.assign(p1=0.1).rename(columns={"value": "p5"}),
        [],
        4,
        "p5, p1 may each be the value",
    ),
    "no such metric": (OLD, NEW, ["--metric", "valu"], 4, "did you mean 'value'?"),
    "no such column": (OLD, NEW, ["--columns", "item=qid"], 4, "no column 'qid' (--columns item=qid)"),
    "a role of curves": (OLD, NEW, ["--columns", "n=item"], 2, "roles are seed, item, value, metric"),
    "items in one file alone": (ITEMS, NEW[["item", "value"]][:50], [], 4, "only in a.csv: 10 of 60 items (q50, "),
    "no common item": (ITEMS, ITEMS.assign(item=ITEMS["item"].str.upper()), [], 4, "share no item"),
    "other seeds": (BY_SEED, BY_SEED_TOO.assign(seed=[5, 6, 7]), [], 4, "number independent repetitions alike"),
    "a seed less": (OLD_SEEDS, NEW_SEEDS[NEW_SEEDS["seed"] > 0], [], 4, "only in a.csv: 1 of 3 seeds (0)"),
    "items on one side": (OLD_SEEDS, BY_SEED_TOO, [], 4, "a.csv has items and b.csv has none"),
    "seeds on one side": (OLD_SEEDS, NEW[["item", "value"]], [], 4, "a.csv has seeds and b.csv has none"),
    "a cell less": (OLD_SEEDS, NEW_SEEDS.drop(index=[70]), [], 4, "b.csv has no value of item q10 with seed 1"),
    "numbers of rows for items": (
        OLD_SEEDS.assign(item=range(180)),
        NEW_SEEDS.assign(item=range(180)),
        [],
        4,
        "if the column numbers rows",
    ),
    "parts of the data": (
        pd.concat([OLD.assign(split=part) for part in ("dev", "test")]).drop(columns="seed"),
        pd.concat([NEW.assign(split=part) for part in ("dev", "test")]).drop(columns="seed"),
        [],
        4,
        "split holds dev, test, which are parts of the data and no repetitions; keep one with --where split=test",
    ),
    "joined values": (OLD, NEW, ["--columns", "value=item+value"], 4, "no column 'item+value'"),
    "joined metrics": (OLD, NEW, ["--columns", "metric=item+topic"], 4, "no column 'item+topic'"),
    "a row twice": (OLD, pd.concat([NEW, NEW[:1]]), [], 4, "seed 0, item q0 has 2 values"),
    "several filters": (
        harness(OLD, ("strict-match", "flexible-extract")),
        harness(NEW),
        [],
        4,
        "--where filter=strict-match",
    ),
    "a blank value": (OLD, NEW.assign(value=NEW["value"].where(NEW.index != 3)), [], 4, "b.csv, row 4: value is empty"),
    "no value at all": (
        OLD,
        NEW.assign(value=np.nan),
        ["--only-common", "--metric", "value"],
        4,
        "no value in any row",
    ),
    "two metrics by column": (
        OLD.rename(columns={"value": "ndcg"}),
        NEW.rename(columns={"value": "recall"}),
        [],
        4,
        "a.csv has 'ndcg' and b.csv has 'recall'",
    ),
    "two metrics by row": (OLD.assign(metric="map"), NEW.assign(metric="P@5"), [], 4, "a.csv has 'map' and b.csv has"),
    "two metrics of trec_eval": (trec_eval(OLD, ["map"]), trec_eval(NEW, ["ndcg"]), [], 4, "compare one metric"),
    "per cent on one side": (
        OLD.assign(value=OLD["value"].clip(0, 1)),
        NEW.assign(value=100 * NEW["value"].clip(0, 1)),
        [],
        4,
        "if one is in per cent, write both alike",
    ),
    "means alone": (
        OLD[:1].assign(item="all").rename(columns={"item": "qid"}),
        NEW[:1].assign(item="all").rename(columns={"item": "qid"}),
        [],
        4,
        "means over all queries alone",
    ),
    "values beyond computing": (OLD, NEW.assign(value=NEW["value"] * 1e300), [], 4, "too large to be computed with"),
    "fourth powers beyond computing": (OLD, NEW.assign(value=NEW["value"] * 1e80), [], 4, "too large to be computed"),
    "a margin beyond computing": (OLD, NEW, ["--margin", "1e150"], 2, "'1e150' is too large to compute with"),
    "one column as two": (OLD, NEW, ["--columns", "item=topic,seed=topic"], 4, "'topic' both item and seed"),
    "text for a number": (OLD, NEW.assign(value=["good", *NEW["value"][1:]]), [], 4, "'good', which is not a number"),
    "per cent signs on one side": (OLD, NEW.assign(value=[f"{v:.2%}" for v in NEW["value"]]), [], 4, "per cent signs"),
    "few items": (OLD[:6], NEW[:6], [], 4, "6 items: with fewer than 8"),
    "one value each": (BY_SEED[:1], BY_SEED_TOO[:1], [], 4, "repeat with other seeds"),
    "few groups": (OLD.assign(topic="t"), NEW.assign(topic="t"), ["--group", "topic"], 4, "bring items of more groups"),
    "no such group": (OLD, NEW, ["--group", "subject"], 4, "no column 'subject' in a.csv or b.csv"),
    "an item in two groups": (OLD, NEW.assign(topic="t9"), ["--group", "topic"], 4, "is in several groups"),
    "groups of seeds": (BY_SEED.assign(topic="t"), BY_SEED_TOO, ["--group", "topic"], 4, "--group topic needs items"),
    "means by training epoch": (
        "epoch,steps,cosine_pearson\n0,-1,0.5\n1,-1,0.6\n",
        "epoch,steps,cosine_pearson\n0,-1,0.55\n1,-1,0.65\n",
        [],
        4,
        "sentence-transformers' evaluators",
    ),
    "no such system": (OLD.assign(system="a"), None, ["--by", "system=a,b"], 4, "no 'b' in system"),
    "one system": (OLD.assign(system="a"), None, ["--by", "system"], 4, "1 systems in system, a; name two"),
    "systems and two files": (OLD, NEW, ["--by", "seed"], 4, "give one file"),
    "a margin below 0": (OLD, NEW, ["--margin", "-1"], 2, "is not above 0"),
    "a margin in per cent": (OLD, NEW, ["--margin", "5%"], 2, "is not a finite number"),
    "no file": (None, None, [], 2, "FILE"),
    "an unknown option": (OLD, NEW, ["--groups", "topic"], 2, "unrecognized arguments"),
    "a folder that is a file": (OLD, NEW, ["--out", "{folder}/a.csv"], 4, "not a folder"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line_and_nothing_is_written(name, tmp_path, capsys):
    first, second, options, code, words = MISTAKES[name]
    paths = [
        str(write(tmp_path, file, content))
        for file, content in (("a.csv", first), ("b.csv", second))
        if content is not None
    ]
    options = [option.format(folder=tmp_path) for option in options]
    found, line = mistaken(["compare", *paths, *options], tmp_path, capsys)
    assert found == code, line
    assert words in line


def test_the_pages_example_runs(capsys):
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example, {})
    assert capsys.readouterr().out.startswith("better ")


@pytest.mark.parametrize(("shift", "words"), [(0.05, " is shown."), (0.02, " is not shown.")])
def test_a_difference_is_held_against_the_margin(shift, words, tmp_path, capsys):
    rng = np.random.default_rng(5)
    old = pd.DataFrame({"item": range(200), "value": rng.uniform(size=200)})
    new = old.assign(value=old["value"] + shift + rng.normal(0, 0.1, 200))
    old.to_csv(tmp_path / "old.csv", index=False)
    new.to_csv(tmp_path / "new.csv", index=False)
    assert main(["compare", str(tmp_path / "old.csv"), str(tmp_path / "new.csv"), "--margin", "0.01"]) == 0
    printed = capsys.readouterr().out
    assert "Verdict: better." in printed
    assert words in printed
