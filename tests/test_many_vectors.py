"""Vectors of more rows than are held in memory: what is computed of them is what would be computed of an array."""

import json
import subprocess
import sys
import weakref

import numpy as np
import pytest
from pair_folders import ROOT

from embalign.alignment.closed_form import fit_procrustes, fit_ridge, mean_vector
from embalign.alignment.terms import make_term
from embalign.alignment.training import train_map
from embalign.alignment.tuning import tune_steps
from embalign.errors import PairError
from embalign.evaluation import relevance, retrieval
from embalign.evaluation.index import Index
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import search
from embalign.evaluation.streamed import Mapped, StreamedIndex, index_of, map_rows
from embalign.pairs import near_duplicates as module
from embalign.pairs.near_duplicates import near_duplicates
from embalign.pairs.picked import MANY, Picked, is_mapped, pick
from embalign.pairs.provenance import file_digest
from embalign.pairs.vectors import read_vectors

ROWS = 20_000  # more than are read at once


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def held():
    """Draft (n, 16) and teacher (n, 24) of like items, and their groups."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((ROWS, 8))
    draft, teacher = (
        unit(latent @ rng.standard_normal((8, size)) + 0.3 * rng.standard_normal((ROWS, size))) for size in (16, 24)
    )
    return draft, teacher, np.array([f"group {row // 5}" for row in range(ROWS)])


@pytest.fixture(scope="module")
def mapped(held, tmp_path_factory):
    """The same vectors in mapped files."""
    folder = tmp_path_factory.mktemp("mapped")
    for name, vectors in zip(("draft", "teacher"), held[:2], strict=True):
        vectors.tofile(folder / name)
    return tuple(
        np.memmap(folder / name, np.float32, "c", shape=(ROWS, d)) for name, d in (("draft", 16), ("teacher", 24))
    )


def test_what_is_picked_from_a_file_stands_for_the_rows_of_an_array(held, mapped):
    rows, again = np.array([5, 3, 19_999, 3]), np.array([2, 0])
    picked = pick(mapped[0], rows)
    assert isinstance(picked, Picked)
    assert (len(picked), picked.shape, picked.dtype) == (4, (4, 16), np.float32)
    np.testing.assert_array_equal(picked, held[0][rows])
    np.testing.assert_array_equal(picked[1:3], held[0][[3, 19_999]])
    np.testing.assert_array_equal(pick(picked, again), held[0][rows][again])
    columns = np.array([1, 4, 9])
    np.testing.assert_array_equal(picked.along(columns)[again], unit(held[0][rows][again][:, columns]))


def test_of_an_array_rows_are_picked_as_ever(held):
    picked = pick(held[0], np.array([7, 1]))
    assert type(picked) is np.ndarray
    np.testing.assert_array_equal(picked, held[0][[7, 1]])


@pytest.mark.parametrize("rows", [np.arange(0, ROWS, 3), np.arange(12)], ids=["many", "fewer than dimensions"])
def test_maps_fitted_on_picked_rows_are_those_fitted_on_arrays(held, mapped, rows):
    draft, teacher, groups = held
    arrays, picked = (draft[rows], teacher[rows]), tuple(pick(side, rows) for side in mapped)
    for one, other in zip(fit_ridge(*arrays, groups[rows]), fit_ridge(*picked, groups[rows]), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        train_map(*arrays, seed=1, steps=30).weights, train_map(*picked, seed=1, steps=30).weights
    )
    np.testing.assert_array_equal(fit_procrustes(*arrays), fit_procrustes(*picked))
    np.testing.assert_allclose(mean_vector(arrays[1]), mean_vector(picked[1]), rtol=1e-6)


@pytest.mark.parametrize("dimensions", [24, 10], ids=["all dimensions", "a sample"])
def test_steps_are_tuned_on_picked_rows_as_on_arrays(held, mapped, dimensions, monkeypatch):
    monkeypatch.setattr("embalign.alignment.tuning.DIMENSIONS", dimensions)
    rows = np.arange(1, ROWS, 2)
    arrays, picked = (held[0][rows], held[1][rows]), tuple(pick(side, rows) for side in mapped)
    found, same = (tune_steps(*sides, held[2][rows], seed=0, most=1600) for sides in (arrays, picked))
    assert abs(found - same) <= 1
    assert found >= 50


@pytest.mark.parametrize("rows", [None, np.arange(7, ROWS, 2)], ids=["whole index", "some rows"])
@pytest.mark.parametrize("is_mapped_by_w", [False, True], ids=["as it is", "mapped"])
def test_a_search_of_a_file_finds_what_a_search_of_an_array_finds(held, mapped, rows, is_mapped_by_w):
    draft, teacher, groups = held
    weights = fit_ridge(draft[:500], teacher[:500]).weights
    source, stored = (draft, mapped[0]) if is_mapped_by_w else (teacher, mapped[1])
    chosen = np.arange(ROWS) if rows is None else rows
    array, streamed = source[chosen], stored if rows is None else pick(stored, rows)
    if is_mapped_by_w:
        array, streamed = map_rows(weights, array), map_rows(weights, streamed)
        assert isinstance(streamed, Mapped)
    queries = teacher[:300] + np.float32(0.1)
    relevant = Relevance.by_label(groups[:300], groups[chosen])
    one, other = search(queries, Index(array), relevant), search(queries, index_of(streamed), relevant)
    assert isinstance(index_of(streamed), StreamedIndex)
    np.testing.assert_allclose(one.top1, other.top1, atol=2e-6)
    np.testing.assert_allclose(one.ndcg, other.ndcg, atol=0.05)
    assert np.nanmean(one.ndcg) == pytest.approx(np.nanmean(other.ndcg), abs=1e-3)
    assert (one.nearest == other.nearest).mean() > 0.99


def test_a_term_is_trained_on_picked_rows_as_on_arrays(held, mapped):
    rows, term = np.arange(0, ROWS, 9), make_term("spectral", 0.1, dimension=24)
    arrays, picked = (held[0][rows], held[1][rows]), tuple(pick(side, rows) for side in mapped)
    found, same = (train_map(*sides, seed=2, steps=20, term=term) for sides in (arrays, picked))
    np.testing.assert_array_equal(found.weights, same.weights)
    assert found.gradient_ratio == same.gradient_ratio > 0


def test_rows_of_a_file_are_less_near_by_their_penalty(held, mapped):
    penalty = np.linspace(0, 1, ROWS, dtype=np.float32)
    streamed = index_of(mapped[1])
    streamed.penalty = penalty
    queries = held[1][:40]
    expected = Index(held[1], penalty=penalty).similarity(queries)
    np.testing.assert_allclose(streamed.similarity(queries), expected, atol=2e-6)


def write_vectors_of(folder, tensors, kind):
    """Write a vectors file of the draft, and return what provenance.json would hold."""
    from safetensors.numpy import save_file

    (folder / "embeddings").mkdir()
    path = folder / "embeddings" / "draft.safetensors"
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, path)
    return {"draft": {"sha256": file_digest(path), "dimension": tensors["embeddings"].shape[1]}}


@pytest.mark.parametrize("kind", ["float32", "float16", "float64", "int8"])
def test_vectors_of_many_rows_are_mapped_and_those_that_a_small_file_would_give(tmp_path, kind):
    vectors = unit(np.random.default_rng(1).standard_normal((MANY + 5, 6)))
    tensors = {"embeddings": vectors.astype(kind)}
    if kind == "int8":
        scale = (np.abs(vectors).max(axis=1) / 127).astype(np.float32)
        tensors = {"embeddings": np.rint(vectors / scale[:, None]).astype(np.int8), "scale": scale}
    provenance = write_vectors_of(tmp_path, tensors, kind)
    found = read_vectors(tmp_path, "draft", len(vectors), provenance)
    assert is_mapped(found)
    (tmp_path / "small").mkdir()
    few = {name: values[-100:] for name, values in tensors.items()}
    small = read_vectors(tmp_path / "small", "draft", 100, write_vectors_of(tmp_path / "small", few, kind))
    assert not is_mapped(small)
    np.testing.assert_allclose(found[-100:], small, rtol=0 if kind != "float32" else 1e-6)
    found[0] = 0
    assert file_digest(tmp_path / "embeddings" / "draft.safetensors") == provenance["draft"]["sha256"]


@pytest.mark.parametrize("value", [2.0, np.nan, np.inf, 0.0])
def test_a_faulty_row_among_many_is_named(tmp_path, value):
    vectors = np.zeros((MANY + 5, 3), np.float32)
    vectors[:, 1] = 1
    vectors[MANY + 2, 1] = value
    provenance = write_vectors_of(tmp_path, {"embeddings": vectors}, "float32")
    with pytest.raises(PairError, match=f"row {MANY + 2} has length"):
        read_vectors(tmp_path, "draft", len(vectors), provenance)


def test_no_room_for_the_vectors_of_a_packed_file_is_said(tmp_path, monkeypatch):
    """The limit on file sizes stands for a full disk; it is that of a process of its own."""
    vectors = np.zeros((MANY + 5, 3), np.float16)
    vectors[:, 1] = 1
    provenance = write_vectors_of(tmp_path, {"embeddings": vectors}, "float16")
    code = (
        "import resource, signal, sys, json, pathlib; from embalign.pairs.vectors import read_vectors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"read_vectors(pathlib.Path({str(tmp_path)!r}), 'draft', {len(vectors)}, json.loads(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(provenance)], capture_output=True, text=True, check=False
    )
    assert "PairError" in done.stderr
    assert "set TMPDIR to a folder with room" in done.stderr


CHILD = """
import json, re, sys
from pathlib import Path
import numpy as np
import embalign.evaluation.streamed as streamed
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import search
from embalign.pairs.vectors import read_vectors

def own():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

before = own()
folder, count, provenance = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
vectors = read_vectors(folder, "draft", count, provenance)
weights = np.eye(512, vectors.shape[1], dtype=np.float32)
index = streamed.index_of(streamed.map_rows(weights, vectors))
search(np.array(vectors[:32, :512] + 0.01), index, Relevance.by_label(np.arange(32), np.arange(count)))
print(own() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's own memory is read from /proc")
def test_a_process_that_searches_many_vectors_keeps_few_of_them_as_its_own(tmp_path):
    """The file holds 205 MB; the vectors that the map makes of it would be as many again, and so would unit vectors."""
    count = 100_000
    vectors = np.tile(unit(np.random.default_rng(2).standard_normal((1000, 512))), (count // 1000, 1))
    provenance = write_vectors_of(tmp_path, {"embeddings": vectors}, "float32")
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(count), json.dumps(provenance)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(done.stdout) < 120


def test_near_duplicates_found_in_parts_are_those_found_at_once(smollm2, monkeypatch):
    texts = [item.text for item in smollm2.items]
    asked = [*texts[:200], *(text[:-1] for text in texts[200:260]), *("entirely unlike words here",) * 3]
    at_once = near_duplicates(asked, texts[100:])
    monkeypatch.setattr(module, "PART", 170)
    np.testing.assert_array_equal(near_duplicates(asked, texts[100:]), at_once)
    assert 0 < at_once.sum() < len(asked)


def test_a_search_holds_one_block_of_similarities(monkeypatch):
    held = []

    class Watched(Index):
        def cosines(self, queries):
            assert not any(block() is not None for block in held)
            found = super().cosines(queries)
            held.append(weakref.ref(found))
            return found

    monkeypatch.setattr(retrieval, "BLOCK", 500)
    vectors = unit(np.random.default_rng(3).standard_normal((100, 4)))
    search(vectors[:20], Watched(vectors), Relevance.by_label(np.arange(20), np.arange(100)))
    assert len(held) > 2


@pytest.mark.parametrize("kind", ["strings", "numbers"])
def test_only_rows_that_a_query_asks_for_are_held_as_relevant(kind, monkeypatch):
    monkeypatch.setattr(relevance, "BLOCK", 7)
    rng = np.random.default_rng(4)
    index, queries = rng.integers(0, 30, 60), np.array([3, 40, 3, 11, 29])
    if kind == "strings":
        index, queries = np.array([f"label {n}" for n in index]), np.array([f"label {n}" for n in queries])
    found = Relevance.by_label(queries, index)
    for label, start, stop in zip(queries, found.starts, found.stops, strict=True):
        np.testing.assert_array_equal(found.rows[start:stop], np.flatnonzero(index == label))
    assert len(found.rows) == np.isin(index, queries).sum() > 0
    assert len(Relevance.by_label(queries[:0], index).rows) == 0
