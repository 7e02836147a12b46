"""The committed calibration texts say what the tables beside them hold."""

import re

import pandas as pd
import pytest
from intervals import as_text
from label_free_text import label_free_tables
from pair_folders import ROOT
from real_curves import real_tables
from texts import elbow_tables
from texts_ab import ab_tables
from texts_amounts import amounts_tables
from texts_compare import compare_tables
from texts_cutover import cutover_tables
from texts_gates import gate_tables, regression_tables
from texts_maps import maps_tables

FOLDER = ROOT / "docs" / "calibration"


def ab_text(table):
    experiments, found = re.search(
        r"Of (\d+) experiments.*? found in (\d+) ", (FOLDER / "ab.md").read_text(encoding="utf-8")
    ).groups()
    return ab_tables(table, int(found), int(experiments))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("elbow", elbow_tables),
        ("amounts", amounts_tables),
        ("intervals", as_text),
        ("real", real_tables),
        ("ab", ab_text),
        ("compare", compare_tables),
        ("maps", maps_tables),
        ("cutover", cutover_tables),
        ("gate", gate_tables),
        ("regression", regression_tables),
        ("label-free", label_free_tables),
    ],
)
def test_a_calibrations_text_is_that_of_its_table(name, write):
    table = pd.read_csv(FOLDER / f"{name}.csv", keep_default_na=name != "ab")
    assert write(table) == (FOLDER / f"{name}.md").read_text(encoding="utf-8")
