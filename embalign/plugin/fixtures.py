"""What a case of an experiment may ask for: its cell measured, the embeddings of its pair, its seed."""

from collections.abc import Callable

import pytest

from embalign.errors import CellFailedError, CorpusError, EmbalignError, NotStoredError, PairError, StoreError
from embalign.evaluation.measurement import Failure, Measurement, Outcome
from embalign.experiments.grid import Cell, Experiment, Table
from embalign.lazy import Reference
from embalign.pairs.pair import Pair
from embalign.runs.runner import Runner

RUNNER = pytest.StashKey[Runner]()
OUTCOME = pytest.StashKey[tuple[Reference, Cell, Outcome]]()


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[..., Measurement]:
    """Return a function of cell, embeddings and seed that gives the cell's Measurement.

    It is taken from the results store, from the workers of `--workers` or `--dask`, or made here; it is stored when the
    case ends.
    """
    _, table = declared(request.node.get_closest_marker("cells"))
    runner = request.config.stash[RUNNER]

    def run(cell: Cell, embeddings: Pair | None = None, seed: int | None = None) -> Measurement:
        pair = _pair(request, cell) if embeddings is None else embeddings
        if (pair.name, cell.seed if seed is None else seed) != (cell.pair, cell.seed):
            raise pytest.UsageError(f"{cell.id} is a cell of {cell.pair} with seed {cell.seed}, not of another")
        try:
            found = runner.measure(table, cell, pair)
        except CellFailedError as error:
            request.node.stash[OUTCOME] = (table.measure, cell, Failure(str(error)))
            raise _failure(cell, error) from None
        except NotStoredError as error:
            raise _failure(cell, error) from None
        except (CorpusError, PairError, StoreError) as error:  # the next cell would fail alike, after the same wait
            request.session.shouldstop = str(error)
            raise _failure(cell, error) from None
        request.node.stash[OUTCOME] = (table.measure, cell, found)
        return found

    return run


@pytest.fixture
def embeddings(request: pytest.FixtureRequest, cell: Cell) -> Pair:
    """The case's pair: its texts, labels, held-out split, and the cached embeddings of draft and teacher.

    Read from the pair's folder on first use, once per process; a pair without embeddings is fetched before the first
    case.
    """
    return _pair(request, cell)


@pytest.fixture
def seed(cell: Cell) -> int:
    """The seed of the case: it fixes the training pool, the initial map and the order of the batches."""
    return cell.seed


def declared(marker: pytest.Mark | None) -> tuple[Experiment, Table]:
    """Return the experiment and the table of a `cells` marker. Raises UsageError without one."""
    if marker is None:
        raise pytest.UsageError("the measure fixture needs a case marked with pytest.mark.cells(experiment, table)")
    experiment, table = marker.args
    return experiment, experiment.table(table)


def _pair(request: pytest.FixtureRequest, cell: Cell) -> Pair:
    try:
        return request.config.stash[RUNNER].pair(cell.pair)
    except EmbalignError as error:  # values are checked when they are loaded; the next cell would fail alike
        request.session.shouldstop = str(error)
        raise _failure(cell, error) from None


def _failure(cell: Cell, error: Exception) -> BaseException:
    return pytest.fail.Exception(f"{cell.id}: {error}", pytrace=False)
