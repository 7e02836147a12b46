"""Experiment 2: does the spectral loss align better, and is the effect spectral?

The rooms of this folder are named here and imported when they are used: `protocol.py` says what is judged and at which
margins, `cells.py` how a cell is measured, `findings.py` what follows, `report.py` and `report.md.j2` what is written.
"""

from embalign.lazy import lazy

cells = lazy("embalign.experiments.spectral.cells")
control = lazy("embalign.experiments.spectral.control")
report = lazy("embalign.experiments.spectral.report")
conclusion = lazy("embalign.experiments.spectral.conclusion")
