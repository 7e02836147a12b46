"""Names of groups in few bytes a row are the names that an array of strings holds."""

import tempfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pair_folders import write_pair

from embalign.alignment.inner import inner_split
from embalign.pairs import names as module
from embalign.pairs import stored_items
from embalign.pairs.holdout import groups_within
from embalign.pairs.names import listed, numbered, stored_names
from embalign.pairs.pair import load_pair

few = st.lists(st.sampled_from(["a", "b", "ab", "Zürich", "名前", " ", "b" * 40]), min_size=1, max_size=60)


@given(few)
def test_names_are_listed_and_numbered_as_they_are(names):
    array = np.array(names)
    assert listed(array) == names
    assert len({id(name) for name in listed(array)}) == len(set(names))
    for given_names in (array, names):
        different, rows = numbered(given_names)
        assert different == list(dict.fromkeys(names))
        assert [different[row] for row in rows] == names


@given(few)
def test_an_inner_split_is_that_of_the_sorted_names(names):
    groups = np.array(names)
    found, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    sizes = dict(zip(found.tolist(), counts.tolist(), strict=True))
    smallest = min(sizes, key=lambda name: sizes[name])
    held_out = groups_within(sizes, len(names) // 5) or {smallest}
    expected = np.isin(found, sorted(held_out))[group] if len(sizes) > 1 else np.arange(len(names)) % 5 == 0
    inner = inner_split(groups)
    assert (inner is None) == (len(names) < 2)
    if inner is not None:
        np.testing.assert_array_equal(inner.check, np.flatnonzero(expected))
        np.testing.assert_array_equal(inner.fit, np.flatnonzero(~expected))


def test_many_names_are_a_mapped_file_and_held_where_none_can_be_written(monkeypatch, tmp_path):
    names = [f"group {number % 7}" * (1 + number % 3) for number in range(1000)]
    held = stored_names(names)
    monkeypatch.setattr(module, "MANY", 100)
    monkeypatch.setattr(module, "BLOCK", 64)
    mapped = stored_names(names)
    assert not isinstance(held, np.memmap)
    assert isinstance(mapped, np.memmap)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    nowhere = stored_names(names)
    assert not isinstance(nowhere, np.memmap)
    for found in (held, mapped, nowhere):
        assert found.dtype == np.array(names).dtype
        np.testing.assert_array_equal(found, np.array(names))


def test_the_labels_of_many_texts_are_read_once_for_all_that_ask(smollm2, tmp_path, monkeypatch):
    folder = write_pair(tmp_path / "plain", smollm2, 300)
    held = load_pair(folder)
    monkeypatch.setattr(stored_items, "MANY", 100)
    monkeypatch.setattr(module, "MANY", 100)
    stored = load_pair(folder)
    asked = stored.asked_by(40)
    assert isinstance(stored.labels, np.memmap)
    assert stored.groups is stored.labels is asked.labels is asked.groups
    np.testing.assert_array_equal(stored.labels, held.labels)
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(asked.holdout, part), getattr(held.asked_by(40).holdout, part))
