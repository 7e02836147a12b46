"""Nothing is written or deleted through a symbolic link below a pair's folder, the reports folder or the repository."""

import json

import light
import pytest
from embedding_server import EmbeddingServer
from pair_folders import write_pair

from embalign.durable import own_folder, refuse_links
from embalign.embeddings.cache import VectorCache
from embalign.embeddings.fetch import embed_pair
from embalign.errors import CacheError, LinkError, StoreError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Experiment, Table, grid
from embalign.regression.baseline import update_baseline
from embalign.research.promote import check_promotable, promote
from embalign.runs.artifacts import publish
from embalign.runs.checkout import Checkout
from embalign.runs.run import Run
from embalign.runs.store import Store

LIGHT = Experiment(
    "light",
    light.write_report,
    (Table("light", light.measure, quick=grid(setting=[0])),),
    conclusion=light.write_report,
)
REMEDY = "is a symbolic link, and nothing is written or deleted through one; remove the link"


@pytest.fixture
def victim(tmp_path):
    """What a link leads to: it must stay as it is."""
    folder = tmp_path / "victim"
    (folder / "light").mkdir(parents=True)
    (folder / "light" / "mine.txt").write_text("mine")
    yield folder
    assert [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))] == ["light", "light/mine.txt"]
    assert (folder / "light" / "mine.txt").read_text() == "mine"


@pytest.fixture
def make_run(tmp_path, smollm2):
    """Return a function that gives a run of two cells, both measured or one missing, on a pair under benchmark/."""
    folder = write_pair(tmp_path / "root" / "benchmark" / "small", smollm2, 60)

    def make_run(measured=2, **changes):
        cells = LIGHT.cells("small", "quick", 2)
        outcomes = {cell: Measurement({"value": 1.0}) for cell in cells[:measured]}
        root = tmp_path / "root"
        return Run(LIGHT, folder, "quick", cells, outcomes, root, Checkout(root), **changes)

    return make_run


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


@pytest.mark.parametrize("measured", [1, 2], ids=["part", "whole"])
@pytest.mark.parametrize("place", ["reports", "reports/light", "reports/.partial", "reports/.partial/light"])
def test_no_report_is_written_or_removed_through_a_link(make_run, victim, place, measured):
    run = make_run(measured)
    at = link(run.folder / place, victim / "light" if place.endswith("light") else victim)
    with pytest.raises(LinkError, match=f"{at} {REMEDY}, or name a folder with --reports-dir"):
        publish(run)


def test_rows_of_a_partial_run_are_not_written_through_a_file(make_run, victim):
    run = make_run(1)
    link(run.folder / "reports" / ".partial" / "light" / "missing.txt", victim / "light" / "mine.txt")
    with pytest.raises(LinkError, match=REMEDY):
        publish(run)


def test_a_link_to_nowhere_or_within_the_pair_is_refused_too(make_run):
    run = make_run()
    for place, target in (("reports/.partial", "nowhere"), ("reports/light", "../embeddings")):
        at = link(run.folder / place, target)
        with pytest.raises(LinkError, match=f"{at} {REMEDY}"):
            publish(run)
        at.unlink()
    assert len(list((run.folder / "embeddings").iterdir())) == 3


def test_the_reports_folder_that_the_user_names_may_be_a_link_and_what_is_in_it_may_not(make_run, victim, tmp_path):
    named = link(tmp_path / "named", tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    run = make_run(reports_dir=named)
    publish(run)
    report = tmp_path / "elsewhere" / "small" / "light" / "report.md"
    assert report.read_text().startswith("2 cells\n")
    report.unlink()
    link(named / "small" / ".partial", victim)
    with pytest.raises(LinkError, match=REMEDY):
        publish(run)
    assert not report.exists()


def test_embeddings_are_not_fetched_into_a_link(make_run, victim, tmp_path, httpserver):
    server, folder = EmbeddingServer(httpserver), make_run().folder
    sides = [
        f'[{role}]\nsource = "ollama"\nmodel = "little"\nendpoint = "{server.url}"\n' for role in ("draft", "teacher")
    ]
    (folder / "pair.toml").write_text("\n".join(sides))
    for path in (folder / "embeddings").iterdir():
        path.unlink()
    (folder / "embeddings").rmdir()
    link(folder / "embeddings", victim)
    with pytest.raises(LinkError, match=REMEDY):
        embed_pair(folder, VectorCache(tmp_path / "own" / "embeddings.sqlite"), quiet=True)
    assert server.asked == []


@pytest.mark.parametrize("place", ["docs", "docs/research"])
def test_a_conclusion_is_not_promoted_through_a_link(make_run, victim, monkeypatch, place):
    run = make_run()
    at = link(run.root / place, victim)
    with pytest.raises(LinkError, match=f"{at} {REMEDY}"):
        check_promotable(run)
    clean = {"commit": {"id": "1", "dirty": False}, "experiment": "light", "pair": "small", "artifacts": {}}
    source = run.folder / "reports" / "light"
    source.mkdir(parents=True)
    (source / "provenance.json").write_text(json.dumps(clean))
    monkeypatch.setattr("embalign.research.promote.commit", lambda root: clean["commit"])
    with pytest.raises(LinkError, match=f"{at} {REMEDY}"):
        promote(source, run.root, light.write_report)


@pytest.mark.parametrize("place", ["benchmark/baselines", "benchmark/baselines/.building-small-light"])
def test_a_baseline_is_not_written_through_a_link(make_run, victim, place):
    run = make_run()
    at = link(run.root / place, victim)
    with pytest.raises(LinkError, match=f"{at} {REMEDY}"):
        update_baseline(run, "1")


@pytest.mark.parametrize(("kind", "error"), [(Store, StoreError), (VectorCache, CacheError)])
def test_neither_store_nor_cache_is_opened_through_a_link(victim, tmp_path, kind, error):
    file = link(tmp_path / ".embalign" / "any.sqlite", victim / "light" / "mine.txt")
    with pytest.raises(error, match=f"{file} {REMEDY}"), kind(file).transaction():
        pass


def test_the_folder_of_store_and_cache_may_be_a_link_to_a_larger_disk(tmp_path):
    (tmp_path / "larger").mkdir()
    link(tmp_path / ".embalign", tmp_path / "larger")
    store = Store(tmp_path / ".embalign" / "any.sqlite")
    store.put("key", Measurement({"value": 1.0}))
    assert store.get("key").metrics == {"value": 1.0}
    store.close()


def test_a_gitignore_that_is_a_link_is_left_alone(victim, tmp_path):
    link(tmp_path / "own" / ".gitignore", victim / "light" / "new.txt")
    own_folder(tmp_path / "own")


def test_a_path_without_links_is_accepted_whether_or_not_it_is_there(tmp_path):
    link(tmp_path / "link", tmp_path / "base")
    (tmp_path / "base" / "there").mkdir(parents=True)
    refuse_links(tmp_path / "link", tmp_path / "link", tmp_path / "link" / "there", tmp_path / "link" / "new" / "new")
