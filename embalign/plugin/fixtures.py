"""What a case of an experiment may ask for: its cell measured, its pair, its seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from embalign.errors import CellFailedError, NotStoredError, StoreError
from embalign.experiments.grid import Cell, Experiment, Row, Table
from embalign.runs.runner import Session

ROW_PROPERTY = "embalign_row"
SESSION = pytest.StashKey[Session]()


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[[Cell], Row]:
    """Return a function that gives a cell's row, measured or stored, and reports it."""
    _, table = declared(request.node.get_closest_marker("cells"))
    session = request.config.stash[SESSION]

    def run(cell: Cell) -> Row:
        try:
            row = session.row(table, cell)
        except CellFailedError as error:
            _report_row(request, table, cell, {"status": f"failed: {error}"})
            raise _failure(cell, error) from None
        except (NotStoredError, StoreError) as error:
            raise _failure(cell, error) from None
        _report_row(request, table, cell, {**row, "status": "ok"})
        return row

    return run


@pytest.fixture
def pair(request: pytest.FixtureRequest, cell: Cell) -> Any:
    """The case's pair with its cached embeddings, loaded once a process."""
    return request.config.stash[SESSION].pair(cell.pair)


@pytest.fixture
def seed(cell: Cell) -> int:
    """The seed of a case: it fixes the training pool, the initial map and the batch order."""
    return cell.seed


def declared(marker: pytest.Mark | None) -> tuple[Experiment, Table]:
    """Return the experiment and the table of a `cells` marker. Raises UsageError without one."""
    if marker is None:
        raise pytest.UsageError("the measure fixture needs a case marked with pytest.mark.cells(experiment, table)")
    experiment, table = marker.args
    return experiment, experiment.table(table)


def _report_row(request: pytest.FixtureRequest, table: Table, cell: Cell, row: Row) -> None:
    request.node.user_properties.append((ROW_PROPERTY, json.dumps([table.measure, vars(cell), row])))


def _failure(cell: Cell, error: Exception) -> BaseException:
    return pytest.fail.Exception(f"{cell.id}: {error}", pytrace=False)
