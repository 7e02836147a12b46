"""benchmark/test_peers.py and peers.py: what stands in the table is what the bake-off measures, W is the peer's map."""

import os
import re
import runpy
import subprocess
import sys

import numpy as np
import pages
import pytest
from pair_folders import ROOT

from embalign.alignment.own_map import fit_own
from embalign.experiments.grid import Cell, grid
from embalign.experiments.maps.cells import measure_family, measure_reference
from embalign.maps.families import FAMILIES
from embalign.pairs.pair import load_pair

SCRIPT = ROOT / "benchmark" / "test_peers.py"


@pytest.fixture
def peers():
    return runpy.run_path(str(ROOT / "benchmark" / "peers.py"))


def cell(table, **settings):
    (settings,) = grid(**{name: [value] for name, value in settings.items()})
    return Cell("maps", table, "small", tuple(settings.items()), 0)


def shown(folder, *options):
    """The output of the benchmark on a pair, and the rows of its table."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", SCRIPT, "--pair", folder, "-q", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith(f"| `{folder.name}`")]
    return done.stdout, rows


def test_the_table_holds_what_the_bake_off_measures(small_pair):
    output, rows = shown(small_pair, "-k", "adapter and ridge", "-rs")
    by_map = {row[2].removesuffix(", picked"): row for row in rows}
    assert [row[2] for row in rows if row[2].endswith(", picked")] == ["ridge, picked"]
    pair = load_pair(small_pair)
    for name, metrics in (
        ("ridge", measure_family(pair, cell("map_bakeoff", ratio=1.0, family="ridge")).metrics),
        ("no map", measure_reference(pair, cell("references", reference="draft")).metrics),
    ):
        assert by_map[name][1] == "query adapter"
        assert by_map[name][3] == f"{metrics['query_adapter_ndcg_at_10']:.3f}"
        assert by_map[name][4] == f"{100 * metrics['query_adapter_retention_ndcg_at_10']:.1f} %"
        assert by_map[name][6] == f"{metrics['query_adapter_csls_ndcg_at_10']:.3f}"
    difference = float(by_map["no map"][3]) - float(by_map["ridge"][3])
    assert float(re.search(r"[+-]\d\.\d{3}", by_map["no map"][5]).group()) == pytest.approx(difference, abs=1.1e-3)
    assert {"isotrieve ridge", "embspec ridge"} <= by_map.keys() or "needs the dependency group peers" in output


def test_the_benchmark_fits_every_family_and_is_no_part_of_the_bake_off():
    (listed,) = re.findall(
        r"^FAMILIES = (\[.*?\]\n?\]?)$", SCRIPT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert eval(listed) == list(FAMILIES)
    assert "maps" not in SCRIPT.name


def test_the_page_holds_every_peer_and_what_the_suite_measures_beside_them(peers, smollm2):
    text = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    named = [row[2].removesuffix(", picked") for row in rows]
    assert {named.count(name) for name in ("no map", "ridge", *peers["PEERS"])} == {len({(*row[:2],) for row in rows})}
    measured = measure_family(smollm2, cell("map_bakeoff", ratio=1.0, family="ridge")).metrics
    checked = [row for row in rows if row[0] == "`smollm2-mpnet`" and row[2] == "ridge"]
    assert len(checked) == 2
    for row in checked:
        use = row[1].replace(" ", "_")
        for place, metric in ((3, "ndcg_at_10"), (6, "csls_ndcg_at_10")):
            assert float(row[place]) == pytest.approx(measured[f"{use}_{metric}"], abs=2e-3)


def test_the_pages_grid_has_the_peers_among_the_families(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    (block,) = pages.blocks_of("peers.md")
    settings = pages.executed(block, "peers.md")["QUICK"]
    asked = [f"{each['family']} {each['ratio']:g}" for each in settings]
    assert [name for name in asked if "_" in name] == [
        *(f"isotrieve_ridge {ratio}" for ratio in ("0.1", "0.3", "1")),
        "embspec_ridge 1",
    ]


@pytest.mark.parametrize("package", ["isotrieve", "embspec"])
def test_w_as_a_family_of_ones_own_is_the_map_that_the_peer_fits(peers, small_pair, package):
    pytest.importorskip(package, reason="needs the dependency group peers")
    pair = load_pair(small_pair)
    train, asked = pair.holdout.train, pair.draft[pair.holdout.test]
    draft, teacher = pair.draft[train], pair.teacher[train]
    weights = fit_own(peers[f"{package}_ridge"], draft, teacher, pair.groups[train], 0)
    if package == "isotrieve":
        from isotrieve.mapping import RidgeMapping

        with pytest.warns(UserWarning, match="below the recommended minimum"):
            expected = RidgeMapping(bias=False, seed=0).fit(draft, teacher).transform(asked)
    else:
        expected = peers["PEERS"]["embspec ridge"].fit(draft, teacher, 0)(asked)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    mapped = asked @ weights.T
    np.testing.assert_allclose(mapped / np.linalg.norm(mapped, axis=1, keepdims=True), expected, atol=1e-5)
