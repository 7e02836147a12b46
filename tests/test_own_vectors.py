"""A fetch never overwrites vectors it did not make, and one that is killed resumes with the same command."""

import contextlib
import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import light
import numpy as np
import pytest
from embedding_server import EmbeddingServer, vector
from safetensors.numpy import save_file

from embalign.embeddings.cache import VectorCache
from embalign.embeddings.fetch import embed_pair
from embalign.embeddings.writing import LEFTOVER_SECONDS, sweep
from embalign.errors import LinkError, PairError
from embalign.pairs.pair import check_pair, load_pair
from embalign.pairs.provenance import check_vectors_are_own, file_digest, is_embedded
from embalign.pairs.texts import ROLES

TEXTS = 20
SIDE = '[{role}]\nsource = "ollama"\nmodel = "little"\nendpoint = "{url}"\n'


@pytest.fixture
def server(httpserver):
    return EmbeddingServer(httpserver)


@pytest.fixture
def folder(tmp_path, server):
    """A pair that has no embeddings yet; both its sides ask the server."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "pair.toml").write_text("".join(SIDE.format(role=role, url=server.url) for role in ROLES))
    write_corpus(folder, "text")
    return folder


def write_corpus(folder, word):
    lines = [json.dumps({"id": str(i), "text": f"{word} {i}", "label": str(i % 4)}) for i in range(TEXTS)]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")


def embed(folder, *, refresh=False):
    """Embed the pair where a run would: if it has no embeddings, or is to be refreshed."""
    if refresh or not is_embedded(folder):
        cache = VectorCache(folder.parent / "embeddings.sqlite")
        try:
            embed_pair(folder, cache, refresh=refresh, quiet=True)
        finally:
            cache.close()


def copy_in(folder, role):
    """Put vectors of the user's own there; return their digest."""
    path = folder / "embeddings" / f"{role}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file({"embeddings": np.eye(TEXTS, 32, dtype=np.float16)}, path)
    return file_digest(path)


def record(folder, digests):
    """Write the provenance.json that the error asks for."""
    content = {"corpus_sha256": file_digest(folder / "corpus.jsonl")}
    content |= {role: {"model": "own", "dimension": 32, "sha256": digests.get(role, "0" * 64)} for role in ROLES}
    (folder / "embeddings").mkdir(exist_ok=True)
    (folder / "embeddings" / "provenance.json").write_text(json.dumps(content))


def spoil(change):
    """Return a function that records the vectors and then changes the record."""

    def write(folder, digests):
        record(folder, digests)
        path = folder / "embeddings" / "provenance.json"
        path.write_bytes(change(path.read_bytes()))

    return write


def make_unreadable(folder, digests):
    (folder / "embeddings" / "provenance.json").mkdir(parents=True)


RECORDS = {
    "none": (lambda folder, digests: None, None),
    "of these vectors": (record, None),
    "of others": (lambda folder, digests: record(folder, {}), None),
    "unreadable": (make_unreadable, r"provenance\.json: cannot be read"),
    "not JSON": (spoil(lambda content: content[:-1]), r"provenance\.json: not valid JSON"),
    "not UTF-8": (spoil(lambda content: b"\xff" + content), r"provenance\.json: not valid JSON"),
    "nested": (spoil(lambda content: b"[" * 100_000), r"provenance\.json: not valid JSON"),
    "not an object": (
        spoil(lambda content: b"[]"),
        r"provenance\.json: not what belongs there \(Expected `object`, got `array`\)",
    ),
    "no corpus": (spoil(lambda content: content.replace(b"corpus_", b"c")), "missing required field `corpus_sha256`"),
    "no teacher": (spoil(lambda content: content.replace(b"teacher", b"t")), "missing required field `teacher`"),
    "no digest": (spoil(lambda content: content.replace(b'"sha256"', b'"s"', 1)), r"`sha256` - at `\$\.draft`"),
    "odd dimension": (
        spoil(lambda content: content.replace(b": 32", b": true", 1)),
        r"got `bool` - at `\$\.draft\.dimension`",
    ),
}


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("refresh", [False, True], ids=["run", "refresh"])
@pytest.mark.parametrize("roles", [(), ("draft",), ("teacher",), ROLES], ids=lambda roles: "+".join(roles) or "nothing")
@pytest.mark.parametrize("kind", RECORDS)
def test_vectors_without_a_record_of_theirs_are_never_overwritten(folder, server, kind, roles, refresh):
    """Whatever is there: refused before any request and left as it was, or embedded whole."""
    write, message = RECORDS[kind]
    write(folder, {role: copy_in(folder, role) for role in roles})
    if kind == "none" and roles:
        message = (
            "a fetch would overwrite " + " and ".join(rf"{role}\.safetensors" for role in roles) + ".*move them away"
        )
    before = snapshot(folder)
    if roles and (kind == "of others" or (kind == "of these vectors" and (refresh or roles != ROLES))):
        message = rf"{roles[0]}\.safetensors: a fetch would overwrite it, and no fetch made it.*move it away"
    if message is None:
        embed(folder, refresh=refresh)
        if roles == ROLES and kind == "of these vectors" and not refresh:
            assert snapshot(folder) == before
        else:
            assert abs(load_pair(folder).draft - [vector(f"text {i}") for i in range(TEXTS)]).max() < 0.002
    elif roles == ROLES and not refresh and kind not in ("none", "unreadable"):
        embed(folder)  # nothing to fetch: whether the files fit together is for the next step to say
        with pytest.raises(PairError, match=r"SHA-256|provenance\.json"):
            check_pair(folder)
    else:
        with pytest.raises(PairError, match=message):
            embed(folder, refresh=refresh)
        assert server.httpserver.log == []
        assert snapshot(folder) == before


def test_a_link_that_leads_nowhere_is_not_replaced(folder):
    """Vectors on a disk that is not mounted are still the user's."""
    (folder / "embeddings").mkdir()
    link = folder / "embeddings" / "draft.safetensors"
    link.symlink_to(folder / "not mounted" / "draft.safetensors")
    with pytest.raises(PairError, match=r"would overwrite draft\.safetensors"):
        embed(folder)
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["Draft.safetensors", "TEACHER.SAFETENSORS", "Provenance.json"])
def test_a_name_that_differs_in_letter_case_alone_is_not_passed_over(folder, server, name):
    (folder / "embeddings").mkdir()
    (folder / "embeddings" / name).write_bytes(b"the user's own")
    with pytest.raises(PairError, match=f"{name}: rename it to {name.casefold()}"):
        embed(folder)
    assert server.httpserver.log == []


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_written_or_removed_through_a_link(folder, server, there, tmp_path):
    target = tmp_path / "elsewhere"
    if there:
        (target / ".building-x-1-y").mkdir(parents=True)
        os.utime(target / ".building-x-1-y", (0, 0))
    (folder / "embeddings").symlink_to(target)
    sweep(folder)
    with pytest.raises(LinkError, match="embeddings is a symbolic link, and nothing is written"):
        embed(folder)
    assert target.exists() is there
    assert snapshot(tmp_path / "elsewhere") == ({target / ".building-x-1-y": None} if there else {})
    assert server.asked == []


@pytest.mark.parametrize("refresh", [False, True], ids=["run", "refresh"])
def test_own_vectors_stay_where_queries_were_added_later(folder, server, refresh):
    record(folder, {role: copy_in(folder, role) for role in ROLES})
    lines = [json.dumps({"id": f"q{i}", "text": f"what is {i}", "relevant": [str(i)]}) for i in range(TEXTS)]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    config = (folder / "pair.toml").read_text()
    (folder / "pair.toml").write_text(f'queries = "queries.jsonl"\n{config}')
    before = snapshot(folder)
    with pytest.raises(PairError, match=r"draft\.safetensors: a fetch would overwrite it, and no fetch made it"):
        embed(folder, refresh=refresh)
    assert snapshot(folder) == before
    assert server.httpserver.log == []


@pytest.mark.parametrize("refresh", [False, True], ids=["run", "refresh"])
def test_vectors_copied_in_during_a_fetch_stay_and_what_was_fetched_is_kept(folder, server, refresh):
    server.after_probes(lambda texts: copy_in(folder, "teacher") and None)
    with pytest.raises(PairError, match=r"would overwrite teacher\.safetensors"):
        embed(folder, refresh=refresh)
    path = folder / "embeddings" / "teacher.safetensors"
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert file_digest(path) == copy_in(folder, "teacher")
    path.unlink()
    server.after_probes(lambda texts: None)
    server.asked.clear()
    embed(folder, refresh=refresh)
    assert server.asked == []
    check_pair(folder)


@pytest.mark.parametrize("role", ROLES)
def test_vectors_copied_over_older_ones_during_a_refresh_stay(folder, server, role):
    embed(folder)
    write_corpus(folder, "another text")
    server.after_probes(lambda texts: copy_in(folder, role) and None)
    with pytest.raises(PairError, match=rf"{role}\.safetensors: a fetch would overwrite it"):
        embed(folder, refresh=True)
    path = folder / "embeddings" / f"{role}.safetensors"
    assert file_digest(path) == copy_in(folder, role)
    server.after_probes(lambda texts: None)
    embed(folder, refresh=True)  # asked for with these vectors there
    check_pair(folder)


@pytest.mark.parametrize("refresh", [False, True], ids=["run", "refresh"])
def test_vectors_that_cannot_be_read_are_not_replaced(folder, refresh):
    record(folder, {})
    link = folder / "embeddings" / "teacher.safetensors"
    link.symlink_to(folder / "not mounted" / "teacher.safetensors")
    with pytest.raises(PairError, match="its SHA-256 is unknown"):
        embed(folder, refresh=refresh)
    assert link.is_symlink()


def embed_and_die(folder, moves, *, refresh=False):
    """Embed in a process that is killed once it has moved that many files to their place."""
    code = (
        "import os, pathlib, signal, sys\n"
        "import test_own_vectors\n"
        "replace, left = os.replace, [int(sys.argv[2])]\n"
        "def dying(source, target):\n"
        "    replace(source, target)\n"
        "    left[0] -= 1\n"
        "    if not left[0]:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = dying\n"
        "test_own_vectors.embed(pathlib.Path(sys.argv[1]), refresh=sys.argv[3] == 'True')\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(moves), str(refresh)]
    done = subprocess.run(command, env=light.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_a_fetch_killed_between_its_moves_resumes_with_the_same_command(folder, server, moves):
    embed_and_die(folder, moves)
    there = {path.name for path in (folder / "embeddings").iterdir() if path.is_file()}
    assert there == set(("provenance.json", "draft.safetensors", "teacher.safetensors")[:moves])
    server.asked.clear()
    embed(folder)
    assert server.asked == []
    check_pair(folder)


@pytest.mark.parametrize("again", [1, 2, 3])
@pytest.mark.parametrize("moves", [1, 2])
def test_a_fetch_killed_twice_still_resumes(folder, moves, again):
    embed_and_die(folder, moves)
    embed_and_die(folder, again)
    embed(folder)
    check_pair(folder)


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_a_refresh_killed_between_its_moves_resumes_with_the_same_command(folder, moves):
    embed(folder)
    write_corpus(folder, "another text")
    embed_and_die(folder, moves, refresh=True)
    if moves < len(ROLES) + 1:
        with pytest.raises(PairError, match="--refresh"):
            check_pair(folder)
    embed(folder, refresh=True)
    check_pair(folder)
    assert abs(load_pair(folder).draft - [vector(f"another text {i}") for i in range(TEXTS)]).max() < 0.002


def test_what_a_killed_fetch_leaves_is_swept_where_its_process_is_known_to_be_gone_or_it_is_old(folder):
    embed_and_die(folder, 1)
    (dead,) = (folder / "embeddings").glob(".building-*")
    (dead / "half").write_text("")
    running = dead.with_name(f".building-{dead.name.split('-')[1]}-{os.getpid()}-x")
    elsewhere = dead.with_name(".building-othermachine-1-x")
    foreign = dead.with_name(".building-")
    for path in (running, elsewhere, foreign):
        path.mkdir()
    sweep(folder)
    assert not dead.exists()
    assert running.is_dir()
    assert elsewhere.is_dir()
    assert foreign.is_dir()
    for path in (running, elsewhere, foreign):
        os.utime(path, (0, path.stat().st_mtime - LEFTOVER_SECONDS - 60))
    embed(folder)
    assert list((folder / "embeddings").glob(".building-*")) == []


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_fetched(folder, server):
    (folder / "embeddings").write_text("in the way")
    with pytest.raises(PairError, match="no embeddings were written or changed"):
        embed(folder)
    assert server.asked == []


def test_a_move_that_fails_midway_says_so(folder, monkeypatch):
    replace = os.replace

    def failing(source, target):
        if Path(target).name == "teacher.safetensors":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", failing)
    with pytest.raises(PairError, match=r"No space left.*incomplete; rerun the same command"):
        embed(folder)
    monkeypatch.undo()
    embed(folder)
    check_pair(folder)


@pytest.mark.parametrize(
    ("number", "message"), [(errno.EINVAL, None), (errno.EIO, r"Input/output error.*rerun the same command")]
)
def test_a_folder_that_cannot_be_synced_is_no_failure_and_a_failing_disk_is_one(folder, monkeypatch, number, message):
    """Several network file systems answer EINVAL to the sync of a folder."""
    sync = os.fsync

    def failing(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(PairError, match=message) if message else contextlib.nullcontext():
        embed(folder)
    monkeypatch.undo()
    embed(folder)
    check_pair(folder)


def test_a_fetch_beside_this_one_is_no_stranger(folder):
    """Files that another run of the same command has moved meanwhile carry their record."""
    embed(folder)
    for name in ("teacher.safetensors", "draft.safetensors"):
        (folder / "embeddings" / name).unlink()
        check_vectors_are_own(folder)
