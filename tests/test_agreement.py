"""Whether draft and teacher embed the same items, against brute force and on rows that do not match."""

import numpy as np
import pytest

from embalign.evaluation import agreement

pytestmark = pytest.mark.instrument


def spaces(count, seed=0):
    """A teacher of `count` unit rows and a draft that is a noisy rotation of it."""
    generator = np.random.default_rng(seed)
    teacher = generator.standard_normal((count, 12))
    draft = teacher @ np.linalg.qr(generator.standard_normal((12, 12)))[0] + 0.3 * generator.standard_normal(
        (count, 12)
    )
    return tuple((part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float32) for part in (draft, teacher))


def nearest(vectors, row):
    order = np.argsort(-(vectors @ vectors[row]))
    return {*order[order != row][:10].tolist()}


def test_overlap_is_the_share_of_neighbours_in_common():
    draft, teacher = spaces(120)
    found = agreement.neighbour_lists(draft, teacher)
    here, shared = found.overlap()
    assert found.rows[here].tolist() == list(range(120))
    expected = [len(nearest(draft, row) & nearest(teacher, row)) / 10 for row in range(120)]
    np.testing.assert_allclose(shared, expected)


def test_a_shifted_pairing_holds_each_row_against_the_one_further_on():
    draft, teacher = spaces(120)
    here, shared = agreement.neighbour_lists(np.roll(draft, 5, axis=0), teacher).overlap(5)
    assert len(here) == 120
    np.testing.assert_allclose(shared, agreement.neighbour_lists(draft, teacher).overlap()[1])


def test_blocks_do_not_change_the_overlap(monkeypatch):
    whole = agreement.neighbour_lists(*spaces(120)).overlap()[1]
    monkeypatch.setattr(agreement, "BLOCK", 250)
    np.testing.assert_array_equal(agreement.neighbour_lists(*spaces(120)).overlap()[1], whole)


def test_rows_in_another_order_agree_as_unrelated_ones_do_and_rows_that_slip_show_in_a_part():
    draft, teacher = spaces(800)
    groups = np.arange(800).astype(str)
    sound = agreement.measure(draft, teacher, groups)
    permuted = agreement.measure(draft[np.random.default_rng(0).permutation(800)], teacher, groups)
    slipped = agreement.measure(np.vstack([draft[:600], np.roll(draft[600:], 1, axis=0)]), teacher, groups)
    assert sound["neighbour_overlap_z"] > 20
    assert sound["rows_slipped"] == 0
    assert abs(permuted["neighbour_overlap_z"]) < 3
    assert permuted["neighbour_overlap"] == pytest.approx(permuted["neighbour_overlap_unrelated"], abs=0.01)
    assert slipped["neighbour_overlap_z"] > 20
    assert slipped["rows_slipped"] == 1


def test_rows_that_occur_again_count_once():
    draft, teacher = spaces(50)
    draft[7], draft[8, 0] = draft[3], 0.0
    draft[9] = draft[8]
    draft[9, 0] = -0.0
    teacher[:] = teacher[0]
    found = agreement.measure(draft, teacher, ["a"] * 25 + ["b"] * 25)
    assert found["distinct_draft"] == pytest.approx(48 / 50)
    assert found["distinct_teacher"] == pytest.approx(1 / 50)
    assert found["effective_groups"] == pytest.approx(2)


def test_a_single_item_has_no_neighbours_to_agree_on():
    found = agreement.measure(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), ["a"])
    assert found["neighbour_overlap_z"] == 0
    assert found["distinct_draft"] == 1
