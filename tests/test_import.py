"""embalign import: what people bring becomes a pair, or ends in one line and leaves nothing behind."""

import gzip
import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys

import light
import numpy as np
import own_files
import pytest
from own_files import COUNT, DRAFT, TEACHER, bring, csv_bytes, labelled, npy, snapshot, unit
from safetensors.numpy import save_file

from embalign.__main__ import main
from embalign.embeddings.fetch import embed_pair
from embalign.errors import CorpusError, PairError
from embalign.evaluation.deployment import task_of
from embalign.experiments.templates import sentence
from embalign.imports import build, checks
from embalign.pairs.config import read_config
from embalign.pairs.corpus import Unwritten, has_texts, read_corpus
from embalign.pairs.meaning import remarks
from embalign.pairs.near_duplicates import near_duplicates
from embalign.pairs.pair import check_pair, load_pair
from embalign.pairs.provenance import file_digest, read_provenance
from embalign.pairs.texts import read_texts
from embalign.pairs.vectors import write_vectors

TOPIC = own_files.topics()
A, B = own_files.vectors()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a.npy, b.npy and labels.csv, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return own_files.lay_out(tmp_path)


def test_a_label_that_stands_for_none_is_pointed_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own_files.write_vectors(tmp_path)
    (tmp_path / "l.txt").write_text("\n".join(["nan", "nan", *own_files.labels()[2:]]))
    assert own_files.bring("--labels", "l.txt") == 0
    assert "note: 2 text(s) have the label 'nan', as if it were missing" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["both.csv", "both.jsonl"])
def test_texts_in_a_file_of_labels_are_pointed_out(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    own_files.write_vectors(tmp_path)
    rows = list(zip(own_files.ids(), own_files.labels(), strict=True))
    rows = [{"id": each, "text": own_files.text(row), "label": label} for row, (each, label) in enumerate(rows)]
    if name == "both.csv":
        own_files.write_csv(tmp_path / name, [[*rows[0]], *([*row.values()] for row in rows)])
    else:
        own_files.write_lines(tmp_path / name, rows)
    note = f"the texts of {name} were not read: with --corpus {name} in place of --labels"
    assert own_files.bring("--labels", name, out="without") == 0
    assert note in capsys.readouterr().out
    assert own_files.bring("--corpus", name, out="with") == 0
    assert note not in capsys.readouterr().out


def test_copies_of_a_text_have_its_vector(tmp_path, monkeypatch):
    """Up to the rounding of servers that embed a text in any company."""
    monkeypatch.chdir(tmp_path)
    own_files.write_vectors(
        tmp_path, *(np.concatenate([side, side[:20] + 1e-3 * side[20:40]]) for side in own_files.vectors())
    )
    texts = [own_files.text(row % own_files.COUNT) for row in range(own_files.COUNT + 20)]
    own_files.write_lines(tmp_path / "c.jsonl", [{"id": str(row), "text": text} for row, text in enumerate(texts)])
    assert own_files.bring("--corpus", "c.jsonl") == 0


def test_two_arrays_and_labels_become_a_pair(here, capsys):
    assert bring("--labels", "labels.csv") == 0
    check_pair(here / "mypair")
    pair = load_pair(here / "mypair")
    for side, brought in zip((pair.draft, pair.teacher), own_files.vectors(), strict=True):
        np.testing.assert_allclose(side, unit(brought), atol=1e-6)
    assert [item.id for item in pair.items] == own_files.ids()
    assert pair.labels.tolist() == own_files.labels()
    said = capsys.readouterr().out
    assert "imported 120 items into mypair" in said
    assert re.search(r"draft: a\.npy, 24 dimensions, float32, normalised to length 1 \(lengths were [\d.]+ to ", said)
    assert "labels: 12 different ones" in said
    assert "rows are taken to be in the order of labels.csv" in said
    assert "not checked: near-duplicates" in said
    assert "next: embalign init && pytest benchmark/ -k elbow --pair mypair" in said
    assert sorted(path.name for path in here.iterdir()) == ["a.npy", "b.npy", "labels.csv", "mypair"]


def test_the_record_names_each_file_and_no_path(here):
    own_files.write_bfloat16(here / "a.safetensors", own_files.vectors()[0])
    assert bring("--labels", "labels.csv", "--teacher-model", 'big "one"\n', draft="a.safetensors") == 0
    record = read_provenance(here / "mypair")
    assert record["draft"]["model"] == "a"
    origin = record["draft"]["imported"]
    assert (origin["file"], origin["name"], origin["dtype"]) == ("a.safetensors", "embeddings", "bfloat16")
    assert (origin["shape"], origin["normalised_here"]) == ([COUNT, DRAFT], True)
    assert origin["sha256"] == file_digest(here / "a.safetensors")
    assert record["teacher"]["sha256"] == file_digest(here / "mypair" / "embeddings" / "teacher.safetensors")
    assert str(here) not in json.dumps(record)
    config = read_config(here / "mypair")
    assert (config.draft.source, config.draft.model, config.teacher.model) == ("imported", "a", 'big "one"')


FORMATS = {
    "big-endian.npy": lambda path, array: np.save(path, array.astype(">f4")),
    "fortran.npy": lambda path, array: np.save(path, np.asfortranarray(array)),
    "half.npy": lambda path, array: np.save(path, array.astype(np.float16)),
    "double.npy": lambda path, array: np.save(path, array.astype(np.float64) * 1e200),
    "integers.npy": lambda path, array: np.save(path, np.rint(8 * array).astype(np.int8)),
    "one.npz": lambda path, array: np.savez_compressed(path, embeddings=array),
    "several.npz:side": lambda path, array: np.savez_compressed(
        path, side=array, other=array[:, :3], note=np.array("x")
    ),
    "two-axes.npz": lambda path, array: np.savez_compressed(path, side=array, counts=np.arange(3)),
    "a.safetensors": lambda path, array: save_file({"side": array}, path),
    "half.safetensors": lambda path, array: save_file({"side": array.astype(np.float16)}, path),
    "double.safetensors": lambda path, array: save_file({"side": array.astype(np.float64)}, path),
    "several.safetensors:side": lambda path, array: save_file({"side": array, "other": array[:, :3].copy()}, path),
    "bf16.safetensors": own_files.write_bfloat16,
    "inte8.safetensors": lambda path, array: write_vectors(path, unit(array), "int8"),
    "misnamed.bin": lambda path, array: path.write_bytes(npy(array)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_vectors_of_every_format_arrive(here, name):
    array = own_files.vectors()[0]
    FORMATS[name](here / name.partition(":")[0], array)
    assert bring("--labels", "labels.csv", draft=name) == 0
    loose = {"half": 1e-3, "bf16": 1e-2, "inte": 1e-2}.get(name[:4], 1e-6)
    np.testing.assert_allclose(load_pair(here / "mypair").draft, unit(array), atol=loose)
    kind = "<f2" if "half" in name else "<f4"
    size = (here / "mypair" / "embeddings" / "draft.safetensors").stat().st_size
    assert size - array.size * np.dtype(kind).itemsize < 200


def test_a_column_of_parquet_arrives_with_its_ids(here):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    array = own_files.vectors()[0]
    order = np.random.default_rng(1).permutation(COUNT)
    columns = {"id": [own_files.ids()[row] for row in order], "embedding": array[order].tolist(), "n": list(order)}
    parquet.write_table(pyarrow.table(columns), here / "a.parquet", row_group_size=50)
    (here / "ids.txt").write_text("\n".join(own_files.ids()))
    assert bring("--teacher-ids", "ids.txt", "--labels", "labels.csv", draft="a.parquet") == 0
    pair = load_pair(here / "mypair")
    by_id = dict(zip((item.id for item in pair.items), pair.draft, strict=True))
    np.testing.assert_allclose([by_id[name] for name in own_files.ids()], unit(array), atol=1e-6)
    fixed = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(array.astype(np.float16).ravel()), DRAFT)
    parquet.write_table(pyarrow.table({"v": fixed}), here / "fixed.parquet")
    assert bring("--labels", "labels.csv", draft="fixed.parquet:v", out="fixed") == 0


def test_texts_in_parquet_arrive(here):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"Text": [own_files.text(row) for row in range(COUNT)], "id": list(range(COUNT)), "label": TOPIC.tolist()}
    parquet.write_table(pyarrow.table(columns | {"embedding": A.tolist()}), here / "c.parquet")
    assert bring("--corpus", "c.parquet", draft="c.parquet") == 0
    pair = load_pair(here / "mypair")
    assert [(item.id, item.text) for item in pair.items] == [(str(row), own_files.text(row)) for row in range(COUNT)]
    assert pair.labels.tolist() == [str(topic) for topic in TOPIC]


def test_parquet_without_pyarrow_ends_in_the_line_that_installs_it(here, capsys):
    (here / "a.parquet").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    code = "import sys; sys.modules['pyarrow'] = None; from embalign.__main__ import main; sys.exit(main(sys.argv[1:]))"
    words = ["import", "--draft", "a.parquet", "--teacher", "b.npy", "--out", "p"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=light.environment())
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "error: a.parquet: Parquet is read with pyarrow; install it: python3 -m pip install pyarrow\n"


def test_vectors_of_length_1_stay_as_they_are(here, capsys):
    draft, teacher = (unit(side) for side in own_files.vectors())
    np.save(here / "a.npy", draft.astype(np.float32))
    np.save(here / "b.npy", teacher.astype(np.float16))
    assert bring("--labels", "labels.csv") == 0
    assert capsys.readouterr().out.count("of length 1 as they were") == 2
    stored = (here / "mypair" / "embeddings" / "draft.safetensors").read_bytes()
    assert stored.endswith(draft.astype("<f4").tobytes())
    stored = (here / "mypair" / "embeddings" / "teacher.safetensors").read_bytes()
    assert stored.endswith(teacher.astype("<f2").tobytes())


def test_blocks_make_no_difference(here, monkeypatch):
    assert bring("--labels", "labels.csv", out="whole") == 0
    monkeypatch.setattr(checks, "BLOCK_VALUES", 7 * TEACHER)
    monkeypatch.setattr(checks, "SAMPLED", 50 * TEACHER)
    monkeypatch.setattr(checks, "LARGEST_READ", 1)
    assert bring("--labels", "labels.csv", out="blocks") == 0
    for name in ("draft", "teacher"):
        whole, blocks = (file_digest(here / out / "embeddings" / f"{name}.safetensors") for out in ("whole", "blocks"))
        assert whole == blocks


def shuffled(here, *, also_ids=True):
    """Write b.npy and the draft's corpus in another order than a.npy; return the order."""
    order = np.random.default_rng(3).permutation(COUNT)
    np.save(here / "b.npy", own_files.vectors()[1][order])
    (here / "a.txt").write_text("".join(f"{name}\n" for name in own_files.ids()))
    own_files.write_csv(here / "b.csv", [("", "id"), *((row, own_files.ids()[row]) for row in order)])
    return order


def test_rows_in_another_order_are_matched_by_id(here, capsys):
    shuffled(here)
    assert bring("--draft-ids", "a.txt", "--teacher-ids", "b.csv", "--labels", "labels.csv") == 0
    np.testing.assert_allclose(load_pair(here / "mypair").teacher, unit(own_files.vectors()[1]), atol=1e-6)
    assert "float32, normalised to length 1" in (said := capsys.readouterr().out)
    assert said.count("matched by id") == 1


def test_archives_that_hold_ids_are_matched_by_them(here):
    order = np.random.default_rng(8).permutation(COUNT)
    np.savez(here / "a.npz", embeddings=A, ids=np.array(own_files.ids()))
    np.savez(here / "b.npz", embeddings=B[order], ids=np.array(own_files.ids())[order])
    assert bring("--labels", "labels.csv", draft="a.npz", teacher="b.npz") == 0
    np.testing.assert_allclose(load_pair(here / "mypair").teacher, unit(B), atol=1e-6)


def test_a_corpus_in_another_order_is_matched_by_id(here):
    order = np.random.default_rng(4).permutation(COUNT).tolist()
    objects = [{"id": own_files.ids()[row], "text": own_files.text(row), "label": int(TOPIC[row])} for row in order]
    own_files.write_lines(here / "c.jsonl", objects)
    (here / "ids.npy").write_bytes(b"")
    np.save(here / "ids.npy", np.array(own_files.ids()))
    assert bring("--corpus", "c.jsonl", "--ids", "ids.npy") == 0
    pair = load_pair(here / "mypair")
    assert [item.text for item in pair.items] == [own_files.text(row) for row in order]
    assert pair.labels.tolist() == [str(TOPIC[row]) for row in order]
    np.testing.assert_allclose(pair.draft, unit(own_files.vectors()[0])[order], atol=1e-6)


PLAIN_LABELS = [[label] for label in own_files.labels()]
BY_ROW = {
    "semicolons.csv": lambda path: own_files.write_csv(path, [("ID", "Label"), *labelled()], ";", "utf-8-sig"),
    "bars.csv": lambda path: own_files.write_csv(path, [("id", "label"), *labelled()], "|"),
    "tabs.tsv": lambda path: own_files.write_csv(path, [("label", "id", "more, of it"), *three()], "\t"),
    "excel.csv": lambda path: path.write_text("sep=;\nid;label\n" + "".join(f"{i};{v}\n" for i, v in labelled())),
    "unicode.tsv": lambda path: own_files.write_csv(path, [("id", "label"), *labelled()], "\t", "utf-16"),
    "packed.csv.gz": lambda path: path.write_bytes(gzip.compress(csv_bytes())),
    "one.csv": lambda path: own_files.write_csv(path, [("label",), *PLAIN_LABELS]),
    "bare.csv": lambda path: own_files.write_csv(path, PLAIN_LABELS),
    "bare.txt": lambda path: path.write_text("\n".join(own_files.labels()) + "\n\n"),
    "array.npy": lambda path: np.save(path, np.array(own_files.labels())),
    "lines.jsonl": lambda path: own_files.write_lines(
        path, [{"id": name, "label": label} for name, label in labelled()]
    ),
    "bare.jsonl": lambda path: own_files.write_lines(path, [{"label": label} for label in own_files.labels()]),
    "csv.txt": lambda path: path.write_bytes(csv_bytes()),
    "index.csv": lambda path: own_files.write_csv(path, [("", "label"), *enumerate(own_files.labels())]),
    "shuffled-index.csv": lambda path: own_files.write_csv(
        path, [("Unnamed: 0", "label"), *list(enumerate(own_files.labels()))[::-1]]
    ),
    "from-1.csv": lambda path: own_files.write_csv(
        path, [("id", "label"), *list(enumerate(own_files.labels(), 1))[::-1]]
    ),
    "part-index.csv": lambda path: own_files.write_csv(
        path, [("", "label"), *((5 + 2 * row, label) for row, label in enumerate(own_files.labels()))]
    ),
    "wide.csv": lambda path: path.write_text(
        "id;label;;\n" + "".join(f"{name};{label}{';' * (row % 4)}\n" for row, (name, label) in enumerate(labelled()))
    ),
    "quoted.csv": lambda path: path.write_bytes(csv_bytes().replace(b"topic 3", b'"topic 3"').replace(b"\n", b"\r\n")),
}


def three():
    return [(label, name, "1,5") for name, label in labelled()]


@pytest.mark.parametrize("name", BY_ROW)
def test_labels_of_every_form_arrive(here, name):
    BY_ROW[name](here / name)
    assert bring("--labels", name) == 0
    assert load_pair(here / "mypair").labels.tolist() == own_files.labels()


CORPORA = {
    "numbers.jsonl": [
        {"id": row, "text": own_files.text(row), "label": int(TOPIC[row]), "n": None} for row in range(COUNT)
    ],
    "bare.jsonl": [{"text": own_files.text(row), "label": str(TOPIC[row])} for row in range(COUNT)],
    "floats.jsonl": [{"id": str(row), "text": own_files.text(row), "label": float(TOPIC[row])} for row in range(COUNT)],
}


@pytest.mark.parametrize("form", [*CORPORA, "corpus.csv", "corpus.tsv.gz"])
def test_a_corpus_of_every_form_arrives(here, form):
    rows = [("Text", "id", "label"), *((own_files.text(row), row, TOPIC[row]) for row in range(COUNT))]
    if form in CORPORA:
        own_files.write_lines(here / form, CORPORA[form])
    else:
        own_files.write_csv(here / form, rows, "\t" if "tsv" in form else ";")
        if form.endswith("gz"):
            (here / form).write_bytes(gzip.compress((here / form).read_bytes()))
    assert bring("--corpus", form) == 0
    check_pair(here / "mypair")
    pair = load_pair(here / "mypair")
    assert [(item.id, item.text) for item in pair.items] == [(str(row), own_files.text(row)) for row in range(COUNT)]
    assert pair.labels.tolist() == [str(TOPIC[row]) for row in range(COUNT)]
    assert has_texts(pair.items)


def test_labels_in_another_order_than_the_rows_are_pointed_out(here, capsys):
    order = np.random.default_rng(6).permutation(COUNT)
    own_files.write_csv(here / "l.csv", [("id", "label"), *(labelled()[row] for row in order)])
    assert bring("--labels", "l.csv") == 0
    assert "labels and rows may be in different orders; check them" in capsys.readouterr().out
    (here / "ids").write_text("\n".join(own_files.ids()))
    assert bring("--labels", "l.csv", "--ids", "ids", out="by-id") == 0
    assert "different orders" not in capsys.readouterr().out
    assert load_pair(here / "by-id").labels.tolist() == own_files.labels()


def write_queries(here):
    """Write a BEIR folder and vectors of its queries, each of which is near one document."""
    (here / "ids").write_text("\n".join(own_files.ids()))
    own_files.write_lines(
        here / "c.jsonl", [{"_id": name, "title": "", "text": f"of {name}"} for name in own_files.ids()]
    )
    queries = [{"_id": f"q{row}", "text": own_files.text(row)} for row in range(0, COUNT, 2)]
    own_files.write_lines(here / "q.jsonl", queries)
    judged = "".join(f"q{row}\t{own_files.ids()[row]}\t1\n" for row in range(0, COUNT, 2))
    (here / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    noise = np.random.default_rng(5)
    for name, side in zip(("dq.npy", "tq.npy"), own_files.vectors(), strict=True):
        np.save(here / name, side[::2] + 0.1 * noise.standard_normal(side[::2].shape))
    return ["--corpus", "c.jsonl", "--queries", "q.jsonl", "--draft-queries", "dq.npy", "--teacher-queries", "tq.npy"]


def test_queries_and_their_judgements_arrive(here, capsys):
    assert bring(*write_queries(here), "--qrels", "test.tsv") == 0
    check_pair(here / "mypair")
    pair = load_pair(here / "mypair")
    assert len(pair.queries) == COUNT // 2
    assert pair.judgements.documents.tolist() == list(range(0, COUNT, 2))
    np.testing.assert_allclose(pair.query_draft, unit(np.load(here / "dq.npy")), atol=1e-6)
    assert "and 60 queries" in capsys.readouterr().out


def test_documents_may_be_ids_alone_where_queries_have_texts(here, capsys):
    words = write_queries(here)
    assert bring(*words[2:], "--ids", "ids", "--qrels", "test.tsv") == 0
    assert "not checked: near-duplicates" in capsys.readouterr().out
    check_pair(here / "mypair")
    pair = load_pair(here / "mypair")
    assert not has_texts(pair.items)
    assert len(pair.holdout.test) > 5


def snapshot_of_vectors(folder):
    return {path: file_digest(path) for path in sorted((folder / "embeddings").iterdir())}


def test_no_command_touches_vectors_that_were_imported(here, monkeypatch):
    monkeypatch.setattr("embalign.deploy.recipe.tune_steps", lambda *words, **more: 5)  # the number does not matter
    assert bring("--labels", "labels.csv") == 0
    light.build_root(here / "root", here / "mypair", cells=4)
    folder = here / "root" / "benchmark" / "small"
    before = snapshot_of_vectors(folder)
    for words in ([], ["--refresh"], ["--results", "always"], ["--promote"], ["--refresh", "--promote"]):
        done = light.run(here / "root", *words)
        assert done.returncode == (4 if "--refresh" in words else 4 if "--promote" in words else 0), (
            done.stdout + done.stderr
        )
        if "--refresh" in words:
            assert (
                "its vectors were imported, and no run can embed or refresh them; rerun without --refresh"
                in done.stderr
            )
    assert main(["export", "--pair", str(folder), "--out", str(here / "maps")]) == 0
    assert bring("--labels", "labels.csv", out=folder) == 4
    assert snapshot_of_vectors(folder) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("teacher.safetensors", r"embeddings/ lacks teacher\.safetensors\. Import them, .*--draft FILE --teacher FILE"),
        ("provenance.json", r"embeddings/ lacks provenance\.json\. To use the vectors as they are.*--draft /.*/draft"),
    ],
)
def test_an_imported_pair_that_lacks_a_file_says_how_to_import_again(here, name, message):
    assert bring("--labels", "labels.csv") == 0
    (here / "mypair" / "embeddings" / name).unlink()
    with pytest.raises(PairError, match=f"no run can embed or refresh them; {message}"):
        embed_pair(here / "mypair", None, quiet=True)


def test_an_imported_pair_whose_texts_have_changed_says_so_without_a_fetch(here):
    assert bring("--labels", "labels.csv") == 0
    path = here / "mypair" / "corpus.jsonl"
    path.write_text(path.read_text().replace("topic 1", "topic 0"))
    with pytest.raises(PairError, match="since the pair was imported; restore the file, or import vectors of"):
        check_pair(here / "mypair")


@pytest.mark.parametrize("with_queries", [False, True])
def test_vectors_without_a_record_are_imported_by_the_command_that_the_refusal_shows(here, capsys, with_queries):
    words = [*write_queries(here), "--qrels", "test.tsv"] if with_queries else ["--labels", "labels.csv"]
    assert bring(*words, out="it's old") == 0
    old = here / "it's old"
    config = (old / "pair.toml").read_text().replace('"imported"', '"ollama"')
    (old / "pair.toml").write_text(config)
    (old / "embeddings" / "provenance.json").unlink()
    before = snapshot(old)
    with pytest.raises(PairError, match="a fetch would overwrite draft") as caught:
        embed_pair(old, None, quiet=True)
    command = shlex.split(str(caught.value).partition("make a pair of them: ")[2])
    assert command[:2] == ["embalign", "import"]
    assert main(command[1:]) == 0
    assert snapshot(old) == before
    new = load_pair(here / "it's old-imported")
    check_pair(new.folder)
    np.testing.assert_allclose(new.draft, unit(A), atol=1e-6)
    assert read_config(new.folder).draft.model == "a"
    assert [item.id for item in new.items] == own_files.ids()


def test_style_variants_have_rows_of_the_draft_alone(here):
    styled = [
        {"id": f"{name}-upper", "text": own_files.text(row).upper(), "style": "upper", "base": name}
        for row, name in enumerate(own_files.ids()[:30])
    ]
    plain = [{"id": name, "text": own_files.text(row)} for row, name in enumerate(own_files.ids())]
    own_files.write_lines(here / "c.jsonl", [*styled, *plain])
    np.save(here / "a.npy", np.concatenate([A[:30] + 0.01, A]))
    assert bring("--corpus", "c.jsonl", "--labels", "labels.csv") == 0
    check_pair(here / "mypair")
    pair = load_pair(here / "mypair")
    assert len(pair.styled) == 30
    assert [item.label for item in pair.styled] == own_files.labels()[:30]
    np.testing.assert_allclose(pair.draft, unit(A), atol=1e-6)


KILLED = """
import os, signal, sys
from embalign.imports import writing
rename = os.rename
def dying(*paths):
    os.kill(os.getpid(), signal.SIGKILL)
writing.os.rename = dying
from embalign.__main__ import main
main(sys.argv[1:])
"""


def test_a_killed_import_leaves_nothing_under_the_name_and_the_next_one_sweeps(here):
    words = ["import", "--draft", "a.npy", "--teacher", "b.npy", "--labels", "labels.csv", "--out", "deep/mypair"]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *words], env=light.environment(), capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr
    assert not (here / "deep" / "mypair").exists()
    (left,) = here.rglob(".embalign-import-*")
    (here / ".embalign-import-notes").mkdir()
    (left.parent / f"{left.name.rpartition('-')[0]}-").mkdir()
    assert bring("--labels", "labels.csv", out="deep/mypair") == 0
    check_pair(here / "deep" / "mypair")
    assert not left.exists()
    assert (here / ".embalign-import-notes").is_dir()


def test_an_empty_folder_becomes_the_pair(here):
    (here / "mypair").mkdir()
    assert bring("--labels", "labels.csv") == 0
    check_pair(here / "mypair")


def test_what_appears_under_the_name_meanwhile_is_not_overwritten(here, monkeypatch, capsys):
    write_records = build.write_records

    def slow(*arguments):
        write_records(*arguments)
        (here / "mypair" / "mine").mkdir(parents=True)

    monkeypatch.setattr(build, "write_records", slow)
    assert bring("--labels", "labels.csv") == 4
    assert [path.name for path in (here / "mypair").iterdir()] == ["mine"]
    assert list(here.glob(".embalign*")) == []


def test_ids_without_texts_are_never_near_duplicates_nor_twins(here):
    names = [f"doc {row}" for row in range(COUNT)]
    own_files.write_csv(here / "l.csv", [("id", "label"), *zip(names, own_files.labels(), strict=True)])
    assert bring("--labels", "l.csv") == 0
    folder = here / "mypair"
    items = read_corpus(folder / "corpus.jsonl")
    assert not has_texts(items)
    assert not has_texts(pickle.loads(pickle.dumps(items)))  # as workers are sent them
    assert remarks(read_texts(folder, read_config(folder))) == []
    pair = load_pair(folder)
    assert len(pair.holdout.near_duplicates) == 0
    assert near_duplicates(["doc 1"], ["doc 2"]).all()  # written so, they would be
    assert not near_duplicates([Unwritten("doc 1")], [Unwritten("doc 2"), Unwritten("doc 1")]).any()
    task = task_of(pair)
    assert (task.mates.stops - task.mates.starts).tolist() == [1] * len(pair.holdout.test)


def test_reports_of_ids_alone_say_what_was_not_checked():
    split = {"own_queries": False, "held_out": 20, "near_duplicates": 0, "asking": 20}
    assert "near-duplicates" not in sentence("asked.md.j2", "split", {"data": {"split": split}})
    said = sentence("asked.md.j2", "split", {"data": {"split": split | {"without_texts": True}}})
    assert "it was not checked whether held-out items are near-duplicates of training items" in said


def test_a_corpus_of_ids_alone_cannot_be_embedded(here):
    assert bring("--labels", "labels.csv") == 0
    folder = here / "mypair"
    (folder / "pair.toml").write_text((folder / "pair.toml").read_text().replace('"imported"', '"ollama"'))
    shutil.rmtree(folder / "embeddings")
    with pytest.raises(CorpusError, match=r"corpus\.jsonl: its items are ids without a text"):
        embed_pair(folder, None, quiet=True)


def test_some_texts_and_some_not_are_no_corpus(tmp_path):
    own_files.write_lines(tmp_path / "c.jsonl", [{"id": "1", "label": "x"}, {"id": "2", "text": "t", "label": "x"}])
    with pytest.raises(CorpusError, match=r"line 1: Object missing required field `text`.*; other lines have one"):
        read_corpus(tmp_path / "c.jsonl")


def test_help_answers_without_what_does_the_work():
    code = (
        "import sys\nfrom embalign.__main__ import main\n"
        "try:\n    main(['import', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'pandas', 'scipy', 'torch', 'safetensors'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=light.environment())
    assert done.stdout.rstrip().endswith("--labels labels.csv --out mypair\n[]")
