"""Experiment 1: how much alignment data is enough, and are the densest items the best?

The rooms of this folder are named here and imported when they are used: `protocol.py` says what is judged and at which
margins, `cells.py` how a cell is measured, `report.py` and `report.md.j2` what is written.
"""

from embalign.lazy import lazy

cells = lazy("embalign.experiments.elbow.cells")
report = lazy("embalign.experiments.elbow.report")
conclusion = lazy("embalign.experiments.elbow.conclusion")
