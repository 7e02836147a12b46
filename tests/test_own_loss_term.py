"""The worked example of docs/own-loss-term.md: its code runs, and its term trains a map."""

import numpy as np
import pages
import pytest
import torch
from torch.autograd.gradcheck import GradcheckError

from embalign.alignment.losses import mse_loss
from embalign.alignment.terms import make_term
from embalign.alignment.training import train_map
from embalign.errors import CellError
from embalign.evaluation.results import collect
from embalign.experiments.grid import Cell, Table
from embalign.experiments.spectral.cells import measure_arm
from embalign.experiments.spectral.protocol import planned
from embalign.lazy import lazy, reference
from embalign.pairs.pair import load_pair
from embalign.runs.source import source_digest
from embalign.runs.store import cell_key

PAGE = "own-loss-term.md"
SHORT, *BLOCKS = pages.blocks_of(PAGE)


@pytest.fixture
def my_terms(tmp_path, monkeypatch):
    """The document's module, importable by its name."""
    with pages.importable(tmp_path, "my_terms", BLOCKS[0], monkeypatch) as path:
        yield path


@pytest.fixture
def short_terms(my_terms):
    """The same module in its short form."""
    my_terms.write_text(SHORT, encoding="utf-8")
    return my_terms


def executed(block):
    return pages.executed(block, PAGE)


def cells_of_the_grid(seed=3):
    baseline, own = executed(BLOCKS[2])["HUBER"]
    assert baseline["arm"] == "baseline"
    return [Cell("spectral", "spectral_ab", "small", tuple(each.items()), seed) for each in (baseline, own)]


def cell_of_the_grid():
    return cells_of_the_grid()[1]


def test_the_documents_own_test_passes(my_terms):
    assert len(BLOCKS) == 3
    executed(BLOCKS[1])["test_huber_has_the_gradient_of_its_value"]()


def test_the_documents_gradcheck_notices_a_wrong_gradient(my_terms):
    my_terms.write_text(BLOCKS[0].replace("clipped / (batch * d)", "error / (batch * d)"), encoding="utf-8")
    with pytest.raises(GradcheckError):
        executed(BLOCKS[1])["test_huber_has_the_gradient_of_its_value"]()


def test_a_cell_of_the_documents_grid_trains_a_map_with_the_term(my_terms):
    cell = cell_of_the_grid()
    assert cell.id == "lambda100.0000-huber-raw-small-0-seed03"
    rng = np.random.default_rng(0)
    draft, teacher = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in rng.standard_normal((2, 64, 8)))
    draft, teacher = draft.astype(np.float32), teacher.astype(np.float32)
    distances = []
    for weight in (1.0, cell["lambda"]):
        term = make_term(cell["arm"], weight, dimension=8)
        trained = train_map(draft, teacher, seed=cell.seed, steps=60, term=term)
        distances.append(mse_loss(torch.from_numpy(draft @ trained.weights.T), torch.from_numpy(teacher)).item())
        assert trained.gradient_ratio > 0
    assert distances[1] < distances[0]


def test_the_short_form_has_the_gradient_of_the_closed_one(my_terms):
    closed = make_term(executed(BLOCKS[0])["huber"], 1.0, dimension=8).loss
    short = make_term(executed(SHORT)["huber"], 1.0, dimension=8).loss
    z, t = torch.randn(2, 3, 64, 8, generator=torch.Generator().manual_seed(0)) / 10
    for ours, theirs in zip(short.value_and_gradient(z, t), closed.value_and_gradient(z, t), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-7)


@pytest.mark.parametrize("convention", ["raw", "unit_gradient_ratio"])
def test_a_cell_of_the_short_form_is_measured(short_terms, small_pair, convention):
    assert len([line for line in SHORT.splitlines() if line.strip()]) <= 10
    settings = tuple(({**dict(cell_of_the_grid().settings), "convention": convention}).items())
    table = Table("spectral_ab", measure_arm, quick=[])
    measured = table.run(load_pair(small_pair), Cell("spectral", "spectral_ab", "small", settings, 0))
    assert measured.metrics["gradient_ratio"] > 0


def no_mean(z_s, z_t):
    return (z_s - z_t).square()


def test_a_loss_that_is_no_mean_fails_its_cell_in_words(small_pair):
    settings = (("arm", reference(no_mean)), ("convention", "raw"), ("lambda", 0.1), ("init", "small"), ("draw", 0))
    table = Table("spectral_ab", measure_arm, quick=[])
    with pytest.raises(CellError, match=r"loss no_mean returned shape \(64, 64\) .*; return the mean over batch"):
        table.run(load_pair(small_pair), Cell("spectral", "spectral_ab", "small", settings, 0))


def test_tables_name_the_arm_as_the_document_says_and_hold_it_against_the_baseline(my_terms, small_pair):
    pair, table = load_pair(small_pair), Table("spectral_ab", measure_arm, quick=[])
    cells = [cell for seed in range(2) for cell in cells_of_the_grid(seed)]
    measured = collect([(cell.identity(), table.run(pair, cell)) for cell in cells])
    assert list(measured.frame["arm"]) == ["baseline", "huber"] * 2
    assert (measured.where(arm="huber").frame["gradient_ratio"] > 0).all()
    assert [(plan.treatment, plan.control) for plan in planned(measured)] == [("huber", "baseline")]


def test_stored_rows_follow_the_source_of_the_term(my_terms):
    measure, cell = lazy("embalign.experiments.spectral.cells").measure_arm, cell_of_the_grid()
    plain = Cell("spectral", "spectral_ab", "small", (("arm", "mse"), *cell.settings[1:]), 3)
    before = [cell_key(each, measure, "data") for each in (cell, plain)]
    my_terms.write_text(BLOCKS[0].replace("0.05", "0.06"), encoding="utf-8")
    source_digest.cache_clear()
    after = [cell_key(each, measure, "data") for each in (cell, plain)]
    assert before[0] != after[0]
    assert before[1] == after[1]
