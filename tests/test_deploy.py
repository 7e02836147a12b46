"""An exported map in use: what W.json says, what the loader accepts, warns of and refuses."""

import dataclasses
import json
import re
import subprocess
import sys
import tracemalloc
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from pair_folders import ROOT, write_pair
from scipy import stats

from embalign.__main__ import main
from embalign.deploy import RISK_TARGETS, MapWarning, load, search
from embalign.deploy.card import Card
from embalign.deploy.map import Wanted, export_map
from embalign.errors import CorpusError, MapError
from embalign.evaluation.deployment import DEPLOYMENTS, task_of, vectors_of
from embalign.evaluation.scorecard import map_task, metrics_of, search_task
from embalign.pairs.pair import load_pair
from embalign.pairs.provenance import file_digest

GROUPS, SIZE = 150, 4


def clustered(nuisance, seed=0):
    """A source of items in clear groups: the draft is the teacher, turned, beside dimensions that say nothing."""
    generator = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), SIZE)
    signal = generator.standard_normal((GROUPS, 24))[group] + 0.5 * generator.standard_normal((len(group), 24))
    turned = np.linalg.qr(generator.standard_normal((64, 24)))[0]
    draft = np.hstack([signal, nuisance * generator.standard_normal((len(group), 24))])
    items = [
        SimpleNamespace(id=f"i{i}", text=f"word{i} other{i} third{i}", label=f"g{g:02d}") for i, g in enumerate(group)
    ]
    return SimpleNamespace(items=items, draft=draft, teacher=signal @ turned.T)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A pair whose raw draft is half noise that a map removes, its folder of exported files, and its task."""
    return export(tmp_path_factory.mktemp("noisy"), clustered(2.0))


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """The same for a draft that is the teacher in another basis: no map can beat its own search."""
    return export(tmp_path_factory.mktemp("turned"), clustered(0.0))


def export(folder, source):
    pair = load_pair(write_pair(folder / "pair", source, len(source.items)))
    maps = export_map(pair.folder, folder / "maps", wanted=Wanted("matrix")).parent
    return SimpleNamespace(pair=pair, maps=maps, task=task_of(pair), card=Card.from_disk(maps / "W.json"))


def quietly(*arguments, **options):
    """Load without the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MapWarning)
        return load(*arguments, **options)


def asked_and_held(found, adapter):
    """Queries and index of a task as the loader takes them in a deployment."""
    use = DEPLOYMENTS[adapter.deployment]
    queries = found.task.draft.queries if use.queries == "mapped" else found.task.teacher.queries
    return queries, adapter.map(found.task.draft.index) if use.index == "mapped" else found.task.teacher.index


def changed(found, folder, change):
    """The exported files with another W.json."""
    about = json.loads((found.maps / "W.json").read_text())
    change(about)
    (folder / "W.npy").write_bytes((found.maps / "W.npy").read_bytes())
    (folder / "W.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_the_file_says_how_good_the_map_is_in_each_deployment(noisy, deployment):
    task, use = noisy.task, noisy.card.deployments[deployment]
    mapped = map_task(np.load(noisy.maps / "W.npy"), task)
    found, raw = search_task(task, vectors_of(deployment, mapped, task.teacher)), search_task(task, task.draft)
    assert use.index_size == len(noisy.pair.items) == task.index_size
    for name, stated in use.quality.items():
        assert stated.value == pytest.approx(metrics_of(found)[name])
        assert stated.interval[0] <= stated.value <= stated.interval[1]
    ceiling = metrics_of(search_task(task, task.teacher))["ndcg_at_10"]
    assert use.retention["ndcg_at_10"].value == pytest.approx(use.quality["ndcg_at_10"].value / ceiling)
    assert {name: stated.value for name, stated in use.no_map.items()} == pytest.approx(
        {name: metrics_of(raw)[name] for name in use.no_map}
    )
    # Groups are of one size here, so that values by group are plain means.
    by_group = (found.ndcg - raw.ndcg).reshape(-1, SIZE).mean(axis=1)
    error = stats.sem(by_group)
    assert use.over_no_map.lower_bound == pytest.approx(
        by_group.mean() - stats.t.ppf(0.95, len(by_group) - 1) * error, abs=1e-9
    )


def test_a_map_that_removes_noise_beats_no_map_and_one_of_a_rotation_does_not(noisy, turned):
    assert all(use.beats_no_map for use in noisy.card.deployments.values())
    assert not any(use.beats_no_map for use in turned.card.deployments.values())
    assert turned.card.deployments["query_adapter"].retention["ndcg_at_10"].value > 0.99


def test_the_file_is_plain_json_without_nan(noisy):
    def refuse(constant):
        raise AssertionError(constant)

    about = json.loads((noisy.maps / "W.json").read_text(encoding="ascii"), parse_constant=refuse)
    assert list(about["deployments"]) == list(DEPLOYMENTS)
    assert set(about["deployments"]["draft_only"]["thresholds"]) == {f"{target:.2f}" for target in RISK_TARGETS}
    thresholds = about["deployments"]["query_adapter"]["thresholds"]
    assert "an index of 600 items" in thresholds["0.20"]["promise"]
    assert about["shape"] == [64, 48]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
@pytest.mark.parametrize("block", [2**22, 700])
def test_answers_are_those_of_exact_search_and_as_many_are_accepted_as_certified(noisy, deployment, block, monkeypatch):
    monkeypatch.setattr(search, "BLOCK", block)
    adapter = load(noisy.maps, deployment, risk=0.2)
    queries, index = asked_and_held(noisy, adapter)
    answers = adapter.accept(queries * 3, index * 2, own=noisy.task.own)
    mapped = map_task(adapter.weights, noisy.task)
    found = search_task(noisy.task, vectors_of(deployment, mapped, noisy.task.teacher))
    np.testing.assert_allclose(answers.score, getattr(found, adapter.use.score), atol=1e-6)
    assert (answers.nearest == found.nearest).mean() > 0.99
    assert adapter.threshold is not None
    assert answers.accepted.mean() == pytest.approx(adapter.use.thresholds["0.20"].coverage, abs=0.02)
    assert answers.accepted.tolist() == (answers.score >= adapter.threshold).tolist()


@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_files_of_before_there_were_families_load_as_they_did(noisy, tmp_path):
    def before(about):
        del about["maps"], about["recipe"], about["relevance"]

    old, new = load(changed(noisy, tmp_path, before)), load(noisy.maps)
    queries, index = asked_and_held(noisy, old)
    answers = [adapter.accept(queries, index) for adapter in (old, new)]
    assert answers[0].accepted.tolist() == answers[1].accepted.tolist()
    assert answers[0].nearest.tolist() == answers[1].nearest.tolist()
    np.testing.assert_array_equal(old.weights, np.load(noisy.maps / "W.npy"))


def test_the_margin_is_the_lead_over_the_second_nearest(noisy, tmp_path):
    def by_margin(about):
        use = about["deployments"]["query_adapter"]
        use["score"], use["thresholds"]["0.20"]["threshold"] = "margin", 0.01

    adapter = load(changed(noisy, tmp_path, by_margin))
    queries, index = asked_and_held(noisy, adapter)
    answers = adapter.accept(queries, index, own=noisy.task.own)
    found = search_task(
        noisy.task, vectors_of("query_adapter", map_task(adapter.weights, noisy.task), noisy.task.teacher)
    )
    np.testing.assert_allclose(answers.score, found.margin, atol=1e-6)
    assert 0 < answers.accepted.sum() < len(answers.accepted)


def test_mapped_vectors_are_of_unit_length_and_in_the_direction_of_the_map(noisy):
    adapter = load(noisy.maps / "W.npy")
    draft = noisy.pair.draft[:5]
    mapped = adapter.map(draft * 7)
    assert (mapped.dtype, mapped.shape) == (np.float32, (5, 64))
    expected = draft @ np.load(noisy.maps / "W.npy").T
    np.testing.assert_allclose(mapped, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


def test_an_index_of_another_size_is_warned_of_with_both_sizes(noisy):
    adapter = load(noisy.maps / "W.json")
    queries, index = asked_and_held(noisy, adapter)
    with pytest.warns(MapWarning, match=r"has 400 items.*certified on 600.*risk among accepted answers grows") as said:
        answers = adapter.accept(queries, index[:400])
    assert said[0].filename == __file__
    assert answers.accepted.any()


def test_without_a_certified_threshold_nothing_is_accepted_and_a_warning_says_so(noisy, tmp_path):
    def uncertified(about):
        about["deployments"]["query_adapter"]["thresholds"]["0.05"]["threshold"] = None

    adapter = load(changed(noisy, tmp_path, uncertified), risk=0.05)
    queries, index = asked_and_held(noisy, adapter)
    with pytest.warns(MapWarning, match="no threshold is certified for a risk of 5 % as query adapter"):
        answers = adapter.accept(queries, index)
    assert not answers.accepted.any()
    assert answers.nearest.tolist() == noisy.task.own.tolist()


def test_a_threshold_that_no_similarity_can_reach_accepts_nothing(noisy, tmp_path):
    def beyond(about):
        about["deployments"]["query_adapter"]["thresholds"]["0.20"]["threshold"] = 1e300

    adapter = load(changed(noisy, tmp_path, beyond))
    assert not adapter.accept(*asked_and_held(noisy, adapter)).accepted.any()


def test_a_map_that_does_not_beat_no_map_is_warned_of_when_it_is_loaded(turned):
    with pytest.warns(MapWarning, match=r"as query adapter, this map is not shown to beat no map.*search with") as said:
        load(turned.maps)
    assert said[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deployment": "reranker"}, "no deployment 'reranker': use query_adapter, index_migration or draft_only"),
        ({"risk": 0.3}, "a risk of 0.3: use 0.05, 0.1 or 0.2"),
        ({"risk": "0.2"}, "a risk of '0.2': use 0.05, 0.1 or 0.2"),
    ],
)
def test_what_was_not_measured_is_refused_with_what_was(noisy, options, message):
    with pytest.raises(MapError, match=message):
        load(noisy.maps, **options)


def save(array):
    """Change a folder's map, and its digest in W.json with it."""

    def change(folder):
        np.save(folder / "W.npy", array, allow_pickle=True)
        about = json.loads((folder / "W.json").read_text())
        about["sha256"] = file_digest(folder / "W.npy")
        (folder / "W.json").write_text(json.dumps(about))

    return change


def without(name):
    def change(folder):
        about = json.loads((folder / "W.json").read_text())
        del about[name]
        (folder / "W.json").write_text(json.dumps(about))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: np.save(folder / "W.npy", np.ones((64, 48))), r"W\.npy: not the map that W\.json describes"),
        (lambda folder: (folder / "W.npy").unlink(), r"W\.npy: cannot be read \(No such file.*export the map again"),
        (lambda folder: (folder / "W.json").unlink(), r"W\.json: cannot be read"),
        (lambda folder: (folder / "W.json").write_text('{"pair": "sm'), r"W\.json: not the description of a map"),
        (
            lambda folder: (folder / "W.json").write_bytes(b'{"pair": "\xff"}'),
            r"W\.json: not the description of a map \(",
        ),
        (without("deployments"), r"missing required field `deployments`.*export the map again"),
        (save(np.ones((48, 64))), r"shape \(48, 64\), but W\.json says floats of \(64, 48\)"),
        (save(np.full((64, 48), np.nan)), "NaN or infinite"),
        (save(np.array([{}], dtype=object)), "not a readable .npy"),
        (save(np.ones((64, 48), int)), "says floats"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(noisy, tmp_path, change, message):
    change(changed(noisy, tmp_path, lambda about: None))
    with pytest.raises(MapError, match=message):
        load(tmp_path)


def with_value(vectors, value, row=7):
    vectors = vectors.copy()
    vectors[row] = value
    return vectors


@pytest.mark.parametrize(
    ("deployment", "queries", "index", "options", "message"),
    [
        ("query_adapter", np.ones((3, 64)), np.ones((9, 64)), {}, r"draft vectors of shape \(3, 64\).*shape \(n, 48\)"),
        ("query_adapter", np.ones(48), np.ones((9, 64)), {}, r"vector\[None\]"),
        ("query_adapter", np.ones((3, 48), int), np.ones((9, 64)), {}, "type int64"),
        ("query_adapter", np.ones((3, 48)), np.ones((9, 48)), {}, r"index vectors of shape \(9, 48\).*teacher's space"),
        ("index_migration", np.ones((3, 64)), np.ones((9, 48)), {}, r"map the draft's once with \.map\(drafts\)"),
        ("index_migration", np.ones((3, 48)), np.ones((9, 64)), {}, "queries of the teacher of shape"),
        ("query_adapter", with_value(np.ones((9, 48)), np.nan), np.ones((9, 64)), {}, "vector 7 holds NaN"),
        ("query_adapter", with_value(np.ones((9, 48)), 0), np.ones((9, 64)), {}, "vector 7 has length 0"),
        ("query_adapter", np.ones((3, 48)), with_value(np.ones((9, 64)), np.inf), {}, "index vector 7 holds NaN"),
        ("query_adapter", np.ones((3, 48)), np.ones((1, 64)), {}, "index of 1 rows is too small"),
        ("query_adapter", np.ones((3, 48)), np.ones((9, 64)), {"own": np.arange(2)}, "own needs a row"),
        ("query_adapter", np.ones((3, 48)), np.ones((9, 64)), {"own": np.array([0, 1, 9])}, "own needs a row"),
    ],
)
@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_vectors_that_do_not_fit_are_refused_by_cause_and_remedy(noisy, deployment, queries, index, options, message):
    with pytest.raises(MapError, match=message):
        load(noisy.maps, deployment).accept(queries, index, **options)


@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_a_row_of_the_index_without_direction_is_never_the_nearest(noisy):
    index = with_value(noisy.task.teacher.index, 0, noisy.task.own[0])
    answers = load(noisy.maps).accept(noisy.task.draft.queries, index)
    assert noisy.task.own[0] not in answers.nearest
    assert answers.nearest[1] == noisy.task.own[1]


@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_memory_does_not_grow_with_queries_times_index(noisy, monkeypatch):
    monkeypatch.setattr(search, "BLOCK", 2**16)
    adapter = load(noisy.maps)
    generator = np.random.default_rng(0)
    queries = generator.standard_normal((2000, 48), np.float32)
    index = generator.standard_normal((20_000, 64), np.float32)
    tracemalloc.start()
    adapter.accept(queries, index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20  # all similarities would take 153 MiB


def test_loading_and_deciding_imports_neither_torch_nor_pandas(noisy):
    script = (
        "import sys\n"
        "from embalign.deploy import load\n"
        "import numpy as np\n"
        f"adapter = load({str(noisy.maps)!r})\n"
        "adapter.accept(np.eye(48, dtype='f4'), np.ones((600, 64), 'f4') + np.eye(600, 64, dtype='f4'))\n"
        "print([name for name in ('torch', 'pandas', 'scipy', 'sklearn', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_loaded_map_cannot_be_changed(noisy):
    with pytest.raises(dataclasses.FrozenInstanceError):
        load(noisy.maps).threshold = 0.0


def test_help_says_what_chooses_the_steps_and_the_penalty_of_a_matrix(capsys):
    for command in ("export", "cutover"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert "its steps or penalty chosen by mean cosine, not by nDCG@10" in said


def test_the_command_prints_what_the_map_is_worth_in_each_deployment(turned, tmp_path, capsys):
    assert main(["export", "--pair", str(turned.pair.folder), "--out", str(tmp_path), "--family", "matrix"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    fit = r"(?:trained for \d+ steps|ridge, penalty [\d.e-]+)"
    where = "on held-out groups of the training items"
    chosen = r"\(chosen by mean cosine, not by nDCG@10\)"
    words = rf"recipe: {fit} {chosen}, query adapter nDCG@10 ([\d.]+) {where}; {fit} gives ([\d.]+)"
    numbers = re.fullmatch(words, lines[1]).groups()
    assert Card.from_disk(tmp_path / "W.json").recipe["steps_and_penalty_by"] == "cosine_mean"
    assert float(numbers[0]) >= float(numbers[1])
    assert lines[2] == "measured on 120 held-out queries of 30 label groups, index of the whole corpus"
    adapter = lines[3:5]
    assert adapter[0].startswith("query adapter: nDCG@10 0.9")
    assert "NOT shown to be better than no map" in adapter[0]
    assert "certified for an index of 600 items: risk 10 %: " in adapter[1]


def test_a_teacher_that_finds_nothing_is_named(tmp_path):
    """Labels of two items each, whose vectors are opposite: the one relevant item is always the last."""
    source = clustered(0.0)
    half = source.teacher[: len(source.items) // 2]
    source.teacher = np.stack([half, -half], axis=1).reshape(len(source.items), -1)
    source.draft = source.teacher[:, :48]
    for i, item in enumerate(source.items):
        item.label = f"g{i // 2:03d}"
    with pytest.raises(CorpusError, match="teacher's own search finds nothing"):
        export(tmp_path, source)
