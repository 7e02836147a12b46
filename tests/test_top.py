"""The highest similarities of each query are those of a whole sort."""

import numpy as np
import pytest
import torch

from embalign.evaluation import top


@pytest.mark.parametrize("shape", [(7, 5), (3, 1023), (40, 1024), (40, 3157), (1, 20_000)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_highest_are_those_of_a_whole_sort(shape, dtype):
    values = np.random.default_rng(shape[1]).standard_normal(shape).astype(dtype)
    found, columns = top.highest(torch.from_numpy(values), 11)
    np.testing.assert_array_equal(found, -np.sort(-values, axis=1)[:, :11])
    np.testing.assert_array_equal(np.take_along_axis(values, columns, axis=1), found)


@pytest.mark.parametrize("alike", [1, 3, 2000])
def test_of_equal_ones_and_of_rows_that_are_left_out_each_is_named_once(alike):
    values = np.round(np.random.default_rng(0).standard_normal((30, 2000)), 1).astype(np.float32)
    values[:, :alike] = 9
    values[3, 5:] = -np.inf
    found, columns = top.highest(torch.from_numpy(values), 11)
    np.testing.assert_array_equal(found, -np.sort(-values, axis=1)[:, :11])
    np.testing.assert_array_equal(np.take_along_axis(values, columns, axis=1), found)
    assert all(len(set(row)) == 11 for row in columns.tolist())


def test_the_way_of_a_few_candidates_is_taken(monkeypatch):
    monkeypatch.setattr(torch, "topk", None)
    values = np.random.default_rng(0).standard_normal((30, 2000)).astype(np.float32)
    np.testing.assert_array_equal(top.highest(torch.from_numpy(values), 11)[0], -np.sort(-values, axis=1)[:, :11])


def test_a_part_of_a_block_is_ranked_as_it_lies():
    values = torch.randn(50, 4000, generator=torch.Generator().manual_seed(0))
    for part in (values[:, 100:2000], values[:, ::2], values.T.contiguous().T, values[:0], values[:, :1024]):
        for count in (5, 65):
            expected = torch.topk(part, count, dim=1).values.numpy()
            np.testing.assert_array_equal(top.highest(part, count)[0], expected)


def test_a_row_that_ties_with_all_makes_no_room_for_the_others(monkeypatch):
    widths = []
    argsort = np.argsort
    monkeypatch.setattr(np, "argsort", lambda values, **how: widths.append(values.shape[1]) or argsort(values, **how))
    values = np.random.default_rng(0).standard_normal((200, 3000)).astype(np.float32)
    values[7] = 0
    found, columns = top.highest(torch.from_numpy(values), 11)
    np.testing.assert_array_equal(found, -np.sort(-values, axis=1)[:, :11])
    np.testing.assert_array_equal(np.take_along_axis(values, columns, axis=1), found)
    assert max(widths) <= top.MOST_EACH * 11
