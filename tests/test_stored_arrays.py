"""Arrays over temporary files hold what was given, are no larger than it in memory, and can be changed and pickled."""

import pickle
import tempfile

import numpy as np
import pytest

from embalign.evaluation import streamed
from embalign.pairs import names as of_names
from embalign.pairs import stored_arrays as module
from embalign.pairs.names import some_names
from embalign.pairs.stored_arrays import stored, written


def mapped(array):
    """Whether the values of an array are those of a mapped file."""
    return isinstance(array, np.memmap) or isinstance(array.base, np.memmap)


@pytest.mark.parametrize("numbers", [np.arange(500)[::-1], np.linspace(0, 1, 500), np.arange(500, dtype=np.float32)])
def test_many_numbers_are_those_of_a_file_and_few_are_as_they_are(numbers, monkeypatch):
    assert stored(numbers) is numbers
    monkeypatch.setattr(module, "MANY", 100)
    found = stored(numbers)
    assert mapped(found)
    assert type(found) is np.ndarray
    assert found.dtype == numbers.dtype
    np.testing.assert_array_equal(found, numbers)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)), numbers)
    found[3] = 7
    assert found[3] == 7


def test_numbers_are_held_where_no_file_can_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MANY", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    numbers = np.arange(500)
    assert stored(numbers) is numbers
    with pytest.raises(FileNotFoundError):
        written([numbers], numbers.dtype, numbers.shape)


def test_blocks_of_rows_are_one_array_whatever_their_layout():
    whole = np.arange(60, dtype=np.float32).reshape(10, 6)
    blocks = [np.asfortranarray(whole[:4]), whole[4:].copy()]
    np.testing.assert_array_equal(written(blocks, whole.dtype, whole.shape), whole)


def test_names_of_many_rows_are_those_that_an_index_gives(monkeypatch):
    names = np.array(["a", "Zürich", "名前", "a" * 30])
    rows = np.random.default_rng(0).integers(0, 4, 1000)
    assert not mapped(some_names(names, rows))
    monkeypatch.setattr(of_names, "MANY", 100)
    monkeypatch.setattr(of_names, "BLOCK", 64)
    found = some_names(names, rows)
    assert mapped(found)
    np.testing.assert_array_equal(found, names[rows])


def test_a_long_index_has_the_lengths_of_a_short_one(monkeypatch):
    vectors = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32)
    vectors[4], vectors[5, 0] = 0, np.nan
    short = streamed.StreamedIndex(vectors)
    monkeypatch.setattr(streamed, "MANY", 100)
    monkeypatch.setattr(module, "MANY", 100)
    long = streamed.StreamedIndex(vectors)
    np.testing.assert_allclose(long.cosines(vectors[:3]), short.cosines(vectors[:3]), rtol=0, atol=1e-6)
    assert not long.is_finite
