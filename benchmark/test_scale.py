"""Peak memory and time of two cells, ridge and trained, over the number of pairs; the last lines are the table.

    pytest benchmark/test_scale.py                      # minutes
    python benchmark/scale.py --help                    # other cells, more pairs; --write puts the table into the docs

Each pair is made, measured in a run of its own with two worker processes, and removed.
"""

import pytest
from summary import collect

from embalign.lazy import lazy

scale = lazy("scale")  # imports numpy, which runs of experiments collect without
SIZES = (10_000, 30_000, 100_000)


@pytest.fixture(scope="module")
def measured(request):
    """Collect what is measured for the table."""
    return collect(request, "scale", lambda found: scale.table(found), {})


@pytest.mark.parametrize("pairs", SIZES)
def test_scale(measured, pairs):
    """The run ends; how much it took is in the table, and no limit is asserted."""
    used = scale.run(pairs, ["-k", scale.SELECT.resolve(), "--seeds", "2", "--workers", "2"])
    assert used.anonymous > 0
    measured[pairs] = used
