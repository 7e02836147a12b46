"""What `planted_faults.py` plants can still be planted: a fault whose line has moved would catch nothing."""

import pytest
from pair_folders import ROOT
from planted_faults import FAULTS


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.meaning)
def test_the_line_of_a_fault_is_in_the_code_once(fault):
    text = (ROOT / "embalign" / fault.file).read_text(encoding="utf-8")
    assert text.count(fault.before) == 1
