"""Exported maps of every family, searched plainly or by CSLS: on disk, loaded, prepared, and searched by a database."""

import dataclasses
import json
import subprocess
import sys
import tracemalloc
import warnings
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from pair_folders import ROOT, write_pair, write_queries_pair
from safetensors.numpy import load_file, save_file

from embalign.__main__ import main
from embalign.alignment.config import DEFAULT
from embalign.deploy import NAMES, SEARCHES, MapWarning, choice, files, load, search
from embalign.deploy import map as exporting
from embalign.deploy.card import Card
from embalign.deploy.map import Wanted, export_map
from embalign.deploy.summary import map_line, summarise
from embalign.errors import MapError, TrainingDivergedError
from embalign.evaluation.deployment import task_of
from embalign.evaluation.hubs import hubness, without_hubs
from embalign.evaluation.index import Index
from embalign.evaluation.scorecard import metrics_of, search_task
from embalign.experiments.grid import Cell
from embalign.experiments.maps.cells import measure_reference
from embalign.maps import searches
from embalign.maps.choose import fitted_texts
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS
from embalign.maps.searches import sample_of
from embalign.maps.training import Training
from embalign.maps.transforms import KINDS
from embalign.pairs.pair import load_pair
from embalign.pairs.provenance import file_digest
from embalign.verdicts.use import NO_MAP


@pytest.fixture(scope="module")
def small(smollm2, tmp_path_factory):
    """A pair of 240 items of real embeddings, its task, and the sample of queries that CSLS is measured with."""
    pair = load_pair(write_pair(tmp_path_factory.mktemp("small") / "pair", smollm2, 240))
    return SimpleNamespace(pair=pair, task=task_of(pair), sample=sample_of(pair, np.arange(240)))


@pytest.fixture(scope="module")
def by_csls(small, tmp_path_factory):
    """Folders of exported maps searched by CSLS, by family, each made once."""
    made = {}

    def of(family):
        if family not in made:
            out = tmp_path_factory.mktemp(family) / "maps"
            with pytest.MonkeyPatch.context() as patched:
                of_two_tries = dataclasses.replace(FAMILIES[family], settings=FAMILIES[family].settings[:2])
                patched.setitem(exporting.FAMILIES, family, of_two_tries)
                made[family] = export_map(small.pair.folder, out, wanted=Wanted(family, "csls")).parent
        return made[family]

    return of


def quietly(*words, **options):
    """Load without the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MapWarning)
        return load(*words, **options)


def refitted(pair, card, deployment):
    """The map that a card describes, fitted once more."""
    of_texts, own = pair.fitted_on(fitted_texts(pair, deployment)), card.maps[deployment]
    rows = of_texts.train
    parts = of_texts.draft[rows], of_texts.teacher[rows], of_texts.groups[rows]
    training = Training(*parts, card.seed, DEFAULT.steps_for(len(rows)))
    return FAMILIES[own.family].fit(training, own.setting)


def as_given(found, adapter):
    """Queries, index and sample as a user has them in a deployment: the index is mapped by `map` where it is to be."""
    task, sample = found.task, found.sample
    if adapter.deployment == "query_adapter":
        return task.draft.queries, task.teacher.index, sample.draft
    return task.teacher.queries, adapter.map(task.draft.index), sample.teacher


def changed(folder, out, change):
    """Exported files with another card; the digest stays that of the map."""
    card = json.loads((folder / "map.json").read_text())
    change(card)
    out.mkdir(exist_ok=True)
    (out / "map.safetensors").write_bytes((folder / "map.safetensors").read_bytes())
    (out / "map.json").write_text(json.dumps(card))
    return out


def plain(card):
    for own in card["maps"].values():
        own["search"] = "plain"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_map_of_every_family_searches_from_its_files_as_it_did_when_it_was_measured(small, by_csls, tmp_path, family):
    """Plainly and by CSLS: the same vectors, the same similarity of every query to every row, the same quality."""
    folder = by_csls(family)
    card = Card.from_disk(folder / "map.json")
    exact = 2e-5 if family == "kernel" else 2e-6  # its large coefficients of both signs enlarge what is rounded
    folders = {"csls": folder, "plain": changed(folder, tmp_path / "plain", plain)}
    for deployment in DEPLOYMENTS:
        fitted = refitted(small.pair, card, deployment)
        vectors = fitted.embedded(small.task, deployment)
        asked = fitted.asked(deployment, small.sample.draft, small.sample.teacher)
        measured = {"plain": vectors, "csls": without_hubs(vectors, asked, small.sample.own)}
        for how, expected in measured.items():
            adapter = quietly(folders[how], deployment)
            queries, index, sample = as_given(small, adapter)
            prepared = adapter.prepare(index, sample, own=small.sample.own)
            by_product = adapter.for_inner_product(queries) @ prepared.for_inner_product().T
            similarity = expected.searched.similarity(vectors.queries).numpy()
            np.testing.assert_allclose(by_product, similarity, atol=exact)
            found = search_task(small.task, expected)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MapWarning)
                answers = adapter.accept(queries * 3, prepared, own=small.task.own)
            np.testing.assert_allclose(answers.score, getattr(found, adapter.use.score), atol=2 * exact)
            assert (answers.nearest == found.nearest).mean() > 0.97
        stated = card.deployments[deployment].quality
        assert {name: own.value for name, own in stated.items()} == pytest.approx(
            {name: metrics_of(found)[name] for name in stated}, abs=1e-6
        )


def test_what_csls_finds_is_not_what_a_plain_search_finds(small, by_csls):
    adapter = quietly(by_csls("ridge"))
    queries, index, sample = as_given(small, adapter)
    prepared = adapter.prepare(index, sample)
    without = dataclasses.replace(prepared, penalty=None)
    found = [search.two_nearest(adapter.map(queries), each.vectors, each.penalty, None) for each in (prepared, without)]
    assert 0.05 < (found[0][0] != found[1][0]).mean() < 0.95


@pytest.mark.parametrize("block", [2**22, 900])
@pytest.mark.parametrize("with_own", [True, False])
def test_the_penalty_is_that_of_the_evaluation_whatever_is_held_at_once(small, monkeypatch, block, with_own):
    monkeypatch.setattr(search, "BLOCK", block)
    index, sample = small.task.teacher.index, small.sample.teacher[::3]
    own = small.sample.own[::3] if with_own else None
    expected = hubness(Index(index), sample, own) / 2
    np.testing.assert_allclose(search.hub_penalty(index * 2, search.unit(sample, 0), own), expected, atol=1e-6)


@pytest.mark.parametrize(("rows", "penalty"), [(1, 0.0), (2, 0.25)])
def test_a_sampled_query_says_nothing_of_the_row_that_is_itself(rows, penalty):
    """Of row 0, with its own query alone there is nothing to tell; with another, at 60 degrees, half of 0.5."""
    sample = np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]], np.float32)[:rows]
    found = search.hub_penalty(np.array([[1.0, 0.0], [0.0, 1.0]]), sample, np.array([0, 1])[:rows])
    assert found[0] == pytest.approx(penalty, abs=1e-6)


def test_by_default_each_deployment_has_what_finds_most_inside_the_training_items(small, tmp_path, monkeypatch, capsys):
    some = {name: FAMILIES[name] for name in ("ridge", "procrustes", "reversed", "kernel")}
    monkeypatch.setattr(exporting, "FAMILIES", some)
    assert main(["export", "--pair", str(small.pair.folder), "--out", str(tmp_path)]) == 0
    card = Card.from_disk(tmp_path / "map.json")
    assert list(card.deployments) == list(card.maps) == list(DEPLOYMENTS)
    lines = capsys.readouterr().out.splitlines()
    for place, (deployment, own) in enumerate(card.maps.items()):
        assert {family: set(found) for family, found in own.inner.items()} == {name: set(SEARCHES) for name in some}
        tried = {(family, how): value for family, found in own.inner.items() for how, value in found.items()}
        assert tried[own.family, own.search] == max(tried.values())
        second = sorted(tried.values())[-2]
        assert lines[2 + 3 * place].startswith(f"{deployment.replace('_', ' ')}: nDCG@10 ")
        words = f"nDCG@10 {max(tried.values()):.3f} on held-out groups of the training items, the highest of 8"
        assert words in lines[3 + 3 * place]
        assert lines[3 + 3 * place].endswith(f", {second:.3f}")


def test_a_deployment_and_a_search_may_be_named(small, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "FAMILIES", {name: FAMILIES[name] for name in ("ridge", "affine")})
    path = export_map(small.pair.folder, tmp_path, wanted=Wanted(search="plain", deployments=["index_migration"]))
    card = Card.from_disk(path.with_suffix(".json"))
    assert list(card.deployments) == list(card.maps) == ["index_migration"]
    assert {how for found in card.maps["index_migration"].inner.values() for how in found} == {"plain"}
    assert card.maps["index_migration"].sample == 0
    with pytest.raises(MapError, match="exported for index_migration, not query_adapter; export it again with --depl"):
        load(tmp_path)
    with pytest.raises(MapError, match=r"not draft_only; for that, one matrix maps both sides: .*--family matrix"):
        load(tmp_path, "draft_only")


@pytest.mark.parametrize("family", ["ridge", "cosine"])
def test_one_matrix_of_a_family_is_a_file_of_numpy_for_every_deployment(small, tmp_path, family):
    path = export_map(small.pair.folder, tmp_path, wanted=Wanted(family))
    assert path.name == "W.npy"
    card = Card.from_disk(tmp_path / "W.json")
    weights = refitted(small.pair, card, "query_adapter").query.weights
    np.testing.assert_array_equal(np.load(path), weights)
    for deployment in ("query_adapter", "index_migration", "draft_only"):
        adapter = quietly(tmp_path, deployment)
        np.testing.assert_array_equal(adapter.weights, weights)
        assert not adapter.needs_preparation
    assert sum(line.startswith("map: ") for line in summarise(path).splitlines()) == 1


def test_texts_that_maps_were_fitted_on_are_named_where_queries_are_not_documents(debian, tmp_path):
    pair = load_pair(write_queries_pair(tmp_path / "pair", debian, 300))
    path = export_map(pair.folder, tmp_path / "maps", wanted=Wanted("affine", "csls"))
    card = Card.from_disk(path.with_suffix(".json"))
    queries, documents = (len(pair.fitted_on(kind).train) for kind in ("queries", "documents"))
    words = f"{queries} training queries and {documents} training documents; the held-out test queries and documents"
    assert card.trained_on.startswith(words)
    assert card.maps["query_adapter"].sample == len(pair.queries)


def test_a_family_whose_training_diverges_is_left_out(small, tmp_path, monkeypatch):
    def diverge(training, setting):
        raise TrainingDivergedError("the loss is nan")

    broken = dataclasses.replace(FAMILIES["cosine"], fit=diverge)
    monkeypatch.setattr(exporting, "FAMILIES", {"cosine": broken, "ridge": FAMILIES["ridge"]})
    path = export_map(small.pair.folder, tmp_path, wanted=Wanted(deployments=["query_adapter"]))
    own = Card.from_disk(path.with_suffix(".json")).maps["query_adapter"]
    assert (own.family, list(own.inner)) == ("ridge", ["ridge"])
    with pytest.raises(TrainingDivergedError):
        choice.take_best(small.pair, ["query_adapter"], [broken], ["plain"])


def test_where_a_familys_training_diverges_on_all_items_the_next_best_is_taken(small):
    """The try of the better family is judged on inner groups, and its fit on all items fails."""
    every = len(small.pair.fitted_on("queries").train)

    def diverge_on_all(training, setting):
        if len(training.draft) == every:
            raise TrainingDivergedError("the loss is nan")
        return FAMILIES["deshrunk"].fit(training, setting)

    broken = dataclasses.replace(FAMILIES["deshrunk"], fit=diverge_on_all)
    families = [dataclasses.replace(FAMILIES["ridge"], settings=({"penalty": 1e6},)), broken]
    taken = choice.take_best(small.pair, ["query_adapter"], families, ["plain"])["query_adapter"]
    assert taken.inner["deshrunk"]["plain"] > taken.inner["ridge"]["plain"]
    assert taken.family == "ridge"
    with pytest.raises(TrainingDivergedError):
        choice.take_best(small.pair, ["query_adapter"], [broken], ["plain"])


def test_a_map_is_held_against_no_map_searched_alike_as_in_the_bake_off(small, by_csls, tmp_path):
    folder = by_csls("ridge")
    of_plain = export_map(small.pair.folder, tmp_path, wanted=Wanted("ridge", deployments=["query_adapter"])).parent
    no_map = Cell("maps", "references", small.pair.name, (("reference", NO_MAP),), 0)
    expected = measure_reference(small.pair, no_map).metrics
    for path, prefix in ((folder / "map.json", "_csls"), (of_plain / "W.json", "")):
        use = Card.from_disk(path).deployments["query_adapter"]
        value = expected[f"query_adapter{prefix}_ndcg_at_10"]
        assert use.no_map["ndcg_at_10"].value == pytest.approx(value, abs=1e-6)
        assert use.over_no_map.difference == pytest.approx(use.quality["ndcg_at_10"].value - value, abs=1e-6)
        assert use.no_map_search == ("csls" if prefix else "plain")
    assert summarise(folder / "map.json").count("than no map, searched by CSLS too (") == len(DEPLOYMENTS)
    assert "CSLS" not in summarise(of_plain / "W.json")
    with pytest.warns(MapWarning, match=r"the raw draft's own search by CSLS is .*search with the raw draft by CSLS"):
        load(changed(folder, tmp_path / "worse", beaten), "query_adapter")


def beaten(card):
    card["deployments"]["query_adapter"]["beats_no_map"] = False


def test_where_nothing_could_be_held_out_the_line_says_so(by_csls):
    own = Card.from_disk(by_csls("ridge") / "map.json").maps["query_adapter"]
    assert "nothing inside the training items could be held out" in map_line(msgspec.structs.replace(own, inner={}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"family": "forest"}, "no family 'forest' can be exported: use matrix, ridge"),
        ({"search": "fuzzy"}, "no search 'fuzzy' can be exported: use plain, csls"),
        ({"deployments": ["draft_only"]}, "no deployment 'draft_only' can be exported: use query_adapter, index_mig"),
        ({"family": "matrix", "search": "csls"}, "matrix is searched plainly"),
    ],
)
def test_what_is_not_there_to_export_is_refused_with_what_is(words, message):
    with pytest.raises(MapError, match=message):
        Wanted(**words)


def test_names_are_those_of_the_families_and_searches():
    assert ("matrix", *FAMILIES) == NAMES
    assert searches.SEARCHES == SEARCHES
    fields = {name: [each.name for each in dataclasses.fields(kind)] for name, kind in KINDS.items()}
    assert {kind: list(axes) for kind, axes in files.AXES.items()} == fields


def test_a_folder_is_of_one_format(small, by_csls, tmp_path):
    changed(by_csls("ridge"), tmp_path, plain)
    with pytest.raises(MapError, match=r"map\.safetensors: a map of another format is there; remove it, or choose"):
        export_map(small.pair.folder, tmp_path, wanted=Wanted("matrix"))
    (tmp_path / "W.npy").write_bytes(b"")
    with pytest.raises(MapError, match=r"map\.safetensors and W\.npy are both there; name the one to load"):
        load(tmp_path)
    assert quietly(tmp_path / "map.json").search == quietly(tmp_path / "map.safetensors").search == "plain"
    with pytest.raises(MapError, match=r"neither map\.safetensors nor W\.npy is there; embalign export writes one"):
        load(tmp_path.parent)


def test_anyone_who_may_read_the_card_may_read_the_map(by_csls):
    modes = {path.stat().st_mode & 0o777 for path in by_csls("ridge").iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(
    ("family", "how", "message"),
    [
        ("ridge", "csls", r"takes hubs from the index: prepare it once, index = adapter\.prepare\(index, queries\)"),
        ("reversed", "plain", r"changes the teacher's index: prepare it once"),
    ],
)
def test_an_index_that_was_not_prepared_is_refused_where_it_must_be(small, by_csls, tmp_path, family, how, message):
    folder = by_csls(family) if how == "csls" else changed(by_csls(family), tmp_path, plain)
    adapter = quietly(folder)
    assert adapter.needs_preparation
    with pytest.raises(MapError, match=message):
        adapter.accept(small.task.draft.queries, small.task.teacher.index)


@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_a_plain_map_finds_the_same_with_and_without_preparation(small, by_csls, tmp_path):
    adapter = load(changed(by_csls("affine"), tmp_path, plain))
    assert not adapter.needs_preparation
    queries, index, _ = as_given(small, adapter)
    both = [adapter.accept(queries, held) for held in (index, adapter.prepare(index), adapter.prepare(index, queries))]
    assert [answers.nearest.tolist() for answers in both] == [both[0].nearest.tolist()] * 3
    with pytest.raises(MapError, match=r"a map of kind affine with an offset is no matrix; use \.map\(vectors\)"):
        _ = adapter.weights


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, r"searched by CSLS.*give a sample of queries, \.prepare\(index, queries\); 2,000 are enough"),
        ({"sample": np.ones((0, 48))}, "give a sample of queries"),
        ({"sample": np.ones((3, 64))}, r"draft vectors of shape \(3, 64\)"),
        ({"sample": np.zeros((3, 48))}, "vector 0 has length 0"),
        ({"sample": np.ones((3, 48)), "own": np.arange(2)}, "own needs a row of the index"),
        ({"sample": np.ones((3, 48)), "own": np.array([0, 1, 240])}, "own needs a row of the index"),
    ],
)
@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_a_sample_that_says_nothing_is_refused(small, by_csls, words, message):
    with pytest.raises(MapError, match=message):
        load(by_csls("ridge")).prepare(small.task.teacher.index, **words)


def test_a_sample_much_smaller_than_the_certificates_is_warned_of_where_it_is_given(small, by_csls):
    adapter = quietly(by_csls("ridge"))
    queries, index, _ = as_given(small, adapter)
    assert adapter.card.maps["query_adapter"].sample == 240
    with pytest.warns(MapWarning, match="the sample has 40 queries.*certified with 240.*give more queries") as said:
        adapter.prepare(index, queries[:40])
    assert said[0].filename == __file__


def test_of_a_large_sample_two_thousand_are_used(small, by_csls):
    adapter = quietly(by_csls("ridge"))
    sample = np.random.default_rng(0).standard_normal((3999, 48))
    many, even = (adapter.prepare(small.task.teacher.index, each).penalty for each in (sample, sample[::2]))
    np.testing.assert_array_equal(many, even)
    assert len(many) == 240


@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_an_index_prepared_by_another_map_is_refused(small, by_csls):
    adapter, other = load(by_csls("ridge")), load(by_csls("affine"))
    queries, index, sample = as_given(small, adapter)
    prepared = other.prepare(index, sample)
    with pytest.raises(MapError, match="prepared by another map or for another deployment; prepare it with this"):
        adapter.accept(queries, prepared)
    assert len(other.accept(queries, prepared).nearest) == len(queries)


@pytest.mark.parametrize("family", ["ridge", "reversed"])
@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_a_row_without_direction_is_never_found_whatever_is_done_to_the_index(small, by_csls, family):
    adapter = load(by_csls(family))
    queries, index, sample = as_given(small, adapter)
    index = index.copy()
    index[7] = 0
    prepared = adapter.prepare(index, sample)
    # Opposite queries are near to nothing: a row of zeros must not win by having no hub to take.
    for asked in (queries, -queries):
        assert 7 not in adapter.accept(asked, prepared).nearest


@pytest.mark.filterwarnings("ignore::embalign.deploy.MapWarning")
def test_preparing_an_index_takes_no_memory_of_its_size_times_the_sample(by_csls, monkeypatch):
    monkeypatch.setattr(search, "BLOCK", 2**16)
    adapter = load(by_csls("ridge"))
    generator = np.random.default_rng(0)
    sample, index = (generator.standard_normal(shape, np.float32) for shape in ((2000, 48), (20_000, 64)))
    tracemalloc.start()
    adapter.prepare(index, sample)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20  # all similarities would take 153 MiB


@pytest.mark.parametrize("family", ["kernel", "residual"])
def test_a_service_needs_no_torch_for_any_kind_of_map(by_csls, family):
    script = (
        "import sys\n"
        "import numpy as np\n"
        "from embalign.deploy import load\n"
        f"adapter = load({str(by_csls(family))!r})\n"
        "queries = np.random.default_rng(0).standard_normal((240, 48))\n"
        "index = adapter.prepare(np.ones((600, 64), 'f4') + np.eye(600, 64, dtype='f4'), queries)\n"
        "adapter.accept(queries, index)\n"
        "print([name for name in ('torch', 'pandas', 'scipy', 'sklearn', 'matplotlib') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", done.stderr


def tensors(change):
    """Change the arrays of a map and the digest with them."""

    def tamper(folder):
        arrays = load_file(folder / "map.safetensors")
        change(arrays)
        save_file(arrays, folder / "map.safetensors")
        digest(folder)

    return tamper


def digest(folder):
    card = json.loads((folder / "map.json").read_text())
    card["sha256"] = file_digest(folder / "map.safetensors")
    (folder / "map.json").write_text(json.dumps(card))


def content(found):
    def tamper(folder):
        (folder / "map.safetensors").write_bytes(found)
        digest(folder)

    return tamper


def card_with(**words):
    def tamper(folder):
        card = json.loads((folder / "map.json").read_text())
        card["maps"]["query_adapter"] |= words
        (folder / "map.json").write_text(json.dumps(card))

    return tamper


def set_to(name, array):
    return tensors(lambda arrays: arrays.update({f"query_adapter.queries.{name}": array}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "map.safetensors").write_bytes(b"x"), r"not the map that map\.json describes"),
        (lambda folder: (folder / "map.safetensors").unlink(), r"map\.safetensors: cannot be read"),
        (lambda folder: (folder / "map.json").unlink(), r"map\.json: cannot be read"),
        (content(b""), r"not a safetensors file \(.*; export the map again"),
        (content(b"\x10" + bytes(7) + b"{" * 16), "not a safetensors file"),
        (content((2**27).to_bytes(8, "little") + b"{}"), "a header of 134217728 bytes; the limit is 1048576"),
        (
            tensors(lambda arrays: arrays.pop("index_migration.index.width")),
            "lacks the tensor 'index_migration.index.width'",
        ),
        (tensors(lambda arrays: arrays.update(extra=np.ones(1))), "has no place for the tensor 'extra'"),
        (set_to("anchors", np.ones((5, 64), np.float32)), r"anchors: shape \(5, 64\) does not fit vectors of 48 dim"),
        (set_to("anchors", np.ones((5, 48), np.float32)), r"coefficients: shape .* does not fit"),
        (set_to("offset", np.ones(63, np.float32)), r"offset: shape \(63,\) does not fit"),
        (set_to("offset", np.ones((64, 1), np.float32)), r"offset: float32 of shape \(64, 1\) is not what belongs"),
        (set_to("offset", np.ones(64, np.float64)), "offset: float64 of shape"),
        (set_to("offset", np.full(64, np.nan, np.float32)), "offset: holds NaN or infinite values"),
        (set_to("width", np.zeros(1, np.float32)), r"width: 0.0 is not above 0"),
        (set_to("width", np.ones(2, np.float32)), r"width: shape \(2,\) does not fit"),
        (card_with(queries="python"), "no kind 'python' of unchanged, affine, kernel, residual"),
        (card_with(queries="affine"), "has no place for the tensor|lacks the tensor"),
        (card_with(search="fuzzy"), "no search 'fuzzy': plain or csls"),
        (card_with(family=3), "not the description of a map"),
    ],
)
def test_hostile_files_are_refused_in_one_line(by_csls, tmp_path, change, message):
    folder = changed(by_csls("kernel"), tmp_path / "maps", lambda card: None)
    change(folder)
    with pytest.raises(MapError, match=message) as said:
        load(folder)
    assert "\n" not in str(said.value)


def test_sides_that_end_in_different_spaces_are_refused(by_csls, tmp_path):
    folder = changed(by_csls("reversed"), tmp_path / "maps", lambda card: None)
    shrink = {"query_adapter.index.weights": (30, 64), "query_adapter.index.offset": (30,)}
    tensors(lambda arrays: arrays.update({name: np.ones(size, np.float32) for name, size in shrink.items()}))(folder)
    with pytest.raises(MapError, match="queries of 48 and an index of 30 dimensions in query_adapter"):
        load(folder)


def test_a_map_near_the_largest_numbers_ends_in_one_line(by_csls, tmp_path):
    folder = changed(by_csls("residual"), tmp_path / "maps", lambda card: None)
    tensors(lambda arrays: [array.fill(3e38) for array in arrays.values()])(folder)
    with pytest.raises(MapError, match="vector 0 holds NaN or infinite values, or is too long for float32"):
        quietly(folder).map(np.ones((3, 48)))
