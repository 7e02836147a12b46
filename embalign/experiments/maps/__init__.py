"""Which map? Families of maps in each deployment, by two ways of searching, on growing shares of the data.

`protocol.py` says what is judged, `cells.py` how a cell is measured, `report.py` and `report.md.j2` what is written.
"""

from embalign.lazy import lazy

cells = lazy("embalign.experiments.maps.cells")
report = lazy("embalign.experiments.maps.report")
conclusion = lazy("embalign.experiments.maps.conclusion")
