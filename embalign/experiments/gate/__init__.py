"""The output-level gate: when may the mapped draft be trusted, and does a loss steady it over surface styles?

The rooms of this folder are named here and imported when they are used: `protocol.py` says what is judged and at which
margins, `cells.py` how a cell is measured, `report.py` and `report.md.j2` what is written.
"""

from embalign.lazy import lazy

cells = lazy("embalign.experiments.gate.cells")
report = lazy("embalign.experiments.gate.report")
