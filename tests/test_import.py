"""embalign import: what people bring becomes a pair, or ends in one line and leaves nothing behind."""

import gzip
import io
import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import zipfile

import light
import numpy as np
import own_files
import pytest
from own_files import COUNT, DRAFT, TEACHER, unit
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


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a.npy, b.npy and labels.csv, which is the current one."""
    monkeypatch.chdir(tmp_path)
    own_files.write_vectors(tmp_path)
    own_files.write_csv(
        tmp_path / "labels.csv", [("id", "label"), *zip(own_files.ids(), own_files.labels(), strict=True)]
    )
    return tmp_path


def bring(*words, draft="a.npy", teacher="b.npy", out="mypair"):
    """Run the command; return its exit code."""
    try:
        return main(["import", "--draft", draft, "--teacher", teacher, "--out", str(out), *map(str, words)])
    except SystemExit as ended:
        return ended.code


def snapshot(folder):
    """Every file below a folder, hidden ones too, with its content."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


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
    assert f"pytest benchmark/ -k elbow --pair {here}/mypair" in said
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


def npy(array):
    """The content of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


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
    "semicolons.csv": lambda path: own_files.write_csv(path, [("ID", "Label"), *pairs()], ";", "utf-8-sig"),
    "bars.csv": lambda path: own_files.write_csv(path, [("id", "label"), *pairs()], "|"),
    "tabs.tsv": lambda path: own_files.write_csv(path, [("label", "id", "more, of it"), *three()], "\t"),
    "excel.csv": lambda path: path.write_text("sep=;\nid;label\n" + "".join(f"{i};{v}\n" for i, v in pairs())),
    "unicode.tsv": lambda path: own_files.write_csv(path, [("id", "label"), *pairs()], "\t", "utf-16"),
    "packed.csv.gz": lambda path: path.write_bytes(gzip.compress(csv_bytes())),
    "one.csv": lambda path: own_files.write_csv(path, [("label",), *PLAIN_LABELS]),
    "bare.csv": lambda path: own_files.write_csv(path, PLAIN_LABELS),
    "bare.txt": lambda path: path.write_text("\n".join(own_files.labels()) + "\n\n"),
    "array.npy": lambda path: np.save(path, np.array(own_files.labels())),
    "lines.jsonl": lambda path: own_files.write_lines(path, [{"id": name, "label": label} for name, label in pairs()]),
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
        "id;label;;\n" + "".join(f"{name};{label}{';' * (row % 4)}\n" for row, (name, label) in enumerate(pairs()))
    ),
    "quoted.csv": lambda path: path.write_bytes(csv_bytes().replace(b"topic 3", b'"topic 3"').replace(b"\n", b"\r\n")),
}


def pairs():
    return list(zip(own_files.ids(), own_files.labels(), strict=True))


def three():
    return [(label, name, "1,5") for name, label in pairs()]


def csv_bytes():
    return b"id,label\n" + b"".join(f"{name},{label}\n".encode() for name, label in pairs())


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
    own_files.write_csv(here / "l.csv", [("id", "label"), *(pairs()[row] for row in order)])
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


def save(name, array):
    return lambda here: np.save(here / name, array)


def write(name, content):
    return lambda here: (here / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def changed(place, value):
    draft = own_files.vectors()[0].copy()
    draft[place] = value
    return save("a.npy", draft)


def stray_zip(name, member):
    def make(here):
        with zipfile.ZipFile(here / name, "w") as archive:
            archive.writestr(member, b"x")

    return make


def make_out(name):
    def make(here):
        (here / "mypair" / name).mkdir(parents=True)

    return make


def corpus(*objects):
    return lambda here: own_files.write_lines(here / "c.jsonl", objects)


def every(**words):
    """A corpus of all texts, each with these words, formatted with its row."""
    return corpus(*({key: value.format(row) for key, value in words.items()} for row in range(COUNT)))


def slip(here):
    """A side that lacks the vector of text 300 and has one more at its end."""
    draft, teacher = own_files.vectors(800)
    own_files.write_vectors(here, draft, np.concatenate([teacher[:300], teacher[301:], teacher[:1]]))


A, B = own_files.vectors()
OBJECTS = np.empty(COUNT, object)
OBJECTS[:] = list(A)
CORPUS = ("--corpus", "c.jsonl")
MISTAKES = {
    "no file": (None, ("--labels", "lables.csv"), 4, r"lables\.csv: cannot be read \(No such file"),
    "no vectors": (
        lambda here: (here / "a.npy").unlink(),
        (),
        4,
        r"a\.npy: cannot be read \(No such file .*; give a \.npy",
    ),
    "a folder": (
        lambda here: [(here / "a.npy").unlink(), (here / "a.npy").mkdir()],
        (),
        4,
        r"a\.npy: .*Is a directory",
    ),
    "empty": (write("a.npy", b""), (), 4, "the file is empty"),
    "pickle": (
        write("a.npy", b"\x80\x04\x95abc"),
        (),
        4,
        "a pickle, which can run code and is never loaded; save the array",
    ),
    "objects": (save("a.npy", OBJECTS), (), 4, r"Python objects is a pickle.*numpy\.stack"),
    "torch": (stray_zip("a.npy", "a/data.pkl"), (), 4, r"a PyTorch file is a pickle.*tensor\.float\(\)\.numpy\(\)"),
    "workbook": (stray_zip("a.npy", "xl/workbook.xml"), (), 4, "an Excel workbook"),
    "csv vectors": (write("a.npy", "0.1,0.2\n0.3,0.4\n"), (), 4, r"text, not an array; convert it: python3 -c"),
    "hdf5": (write("a.npy", b"\x89HDF\r\n\x1a\n"), (), 4, r"an HDF5 file; save the array"),
    "gzip": (write("a.npy", gzip.compress(b"x")), (), 4, "compressed by gzip; decompress it first: gunzip"),
    "git lfs": (write("a.npy", "version https://git-lfs.github.com/spec/v1\n"), (), 4, "git lfs pull"),
    "noise": (write("a.npy", bytes(range(256))), (), 4, r"no format that is known; give a \.npy"),
    "cut off": (write("a.npy", npy(A)[:-100]), (), 4, r"not a readable \.npy"),
    "one axis": (
        save("a.npy", A.ravel()),
        (),
        4,
        r"shape \(2880,\): an array \(texts, dimensions\) is needed; reshape it",
    ),
    "three axes": (save("a.npy", A.reshape(COUNT, 6, 4)), (), 4, "one vector per text; pool the vectors"),
    "an axis of 1": (save("a.npy", A[:, None]), (), 4, r"remove the axis of length 1: array\.reshape\(120, -1\)"),
    "one dimension": (save("a.npy", A[:, :1]), (), 4, "a vector needs at least 2 values"),
    "no rows": (save("a.npy", A[:0]), (), 4, "no rows"),
    "complex": (save("a.npy", A.astype(complex)), (), 4, "complex numbers; save their real parts"),
    "packed bits": (save("a.npy", A.astype(np.uint8)), (), 4, "unsigned integers, as packed bits"),
    "strings": (save("a.npy", A.astype(str)), (), 4, "strings; convert them to floats"),
    "structured": (
        save("a.npy", np.zeros(COUNT, [("id", "i4"), ("v", "f4", 3)])),
        (),
        4,
        "a structured array with the fields id, v",
    ),
    "transposed": (
        save("b.npy", B.T),
        (),
        4,
        r"b\.npy: 40 rows, and a\.npy 120; it seems to be transposed, save array\.T",
    ),
    "a row less": (
        save("b.npy", B[1:]),
        (),
        4,
        r"b\.npy: 119 rows, and a\.npy 120; each text needs one row in each file",
    ),
    "a NaN": (
        changed((17, 3), np.nan),
        (),
        4,
        r"a\.npy: row 17 \(from 0, id '17'\) has values that are not finite.*1 of 120",
    ),
    "infinite": (
        changed((slice(5, 9), 3), np.inf),
        (),
        4,
        "row 5 .* not finite.*; 4 of 120 rows have; embed these texts again",
    ),
    "a zero row": (changed(30, 0), (), 4, r"row 30 \(from 0, id '30'\) has zeros alone"),
    "constant": (
        save("a.npy", np.ones_like(A)),
        (),
        4,
        "120 of 120 texts share their vector with another text.*check the model",
    ),
    "permuted": (
        save("b.npy", np.random.default_rng(1).permutation(B)),
        (),
        4,
        "a.npy and b.npy: .*do not seem to belong to the same texts.*another order.*--draft-ids",
    ),
    "slipped": (slip, (), 4, "shifted by 1.*as if a line were missing"),
    "too few": (
        lambda here: own_files.write_vectors(here, A[:19], B[:19]),
        (),
        4,
        "19 rows are too few to tell.*at least 20",
    ),
    "twice the same": (
        lambda here: own_files.write_vectors(here, A, A),
        ("--teacher", "a.npy"),
        4,
        "a.npy: named for draft and teacher",
    ),
    "which array": (
        lambda here: np.savez(here / "a.npz", one=A, two=A),
        ("--draft", "a.npz"),
        4,
        r"it holds 'one' \(120, 24\), 'two' \(120, 24\); name one: a\.npz:one",
    ),
    "no such array": (
        lambda here: np.savez(here / "a.npz", one=A),
        ("--draft", "a.npz:two"),
        4,
        r"no array 'two'; it holds 'one'",
    ),
    "no such tensor": (
        lambda here: save_file({"x": A}, here / "a.st"),
        ("--draft", "a.st:y"),
        4,
        "no tensor 'y'; it holds 'x'",
    ),
    "labels of others": (
        write("l.csv", "id,label\n" + "".join(f"x{i},t\n" for i in range(COUNT))),
        ("--labels", "l.csv", "--ids", "ids"),
        4,
        r"l\.csv: no label for 120 of 120 ids, as 'doc-0', 'doc-7', 'doc-14', \.\.\. \(there are 'x0'",
    ),
    "a label too few": (
        write("l.csv", b"\n".join(csv_bytes().split(b"\n")[:-3])),
        ("--labels", "l.csv", "--ids", "ids"),
        4,
        "no label for 2 of 120 ids, as 'doc-826', 'doc-833'; label each, or none",
    ),
    "a label too many": (
        write("l.csv", csv_bytes() + b"new,t\n"),
        ("--labels", "l.csv", "--ids", "ids"),
        4,
        "1 of 121 ids are not among",
    ),
    "few labels by id": (
        write("l.csv", b"\n".join(csv_bytes().split(b"\n")[:-3])),
        ("--labels", "l.csv"),
        4,
        "118 labels by id, and there are 120 texts, without ids; .*--ids",
    ),
    "few labels by row": (write("l.csv", "id,label\n0,x\n1,y\n"), (*CORPUS, "--labels", "l.csv"), 4, "cannot be read"),
    "workbook of labels": (
        stray_zip("l.xlsx", "xl/workbook.xml"),
        ("--labels", "l.xlsx"),
        4,
        "a workbook or another zip archive, not text",
    ),
    "workbook as csv": (
        stray_zip("l.csv", "xl/workbook.xml"),
        ("--labels", "l.csv"),
        4,
        "a workbook or another zip archive, not text",
    ),
    "header alone": (write("l.csv", "id,label\n"), ("--labels", "l.csv"), 4, "0 labels by id, and there are 120 texts"),
    "an id twice": (
        write("l.csv", csv_bytes() + b"doc-7,t\n"),
        ("--labels", "l.csv", "--ids", "ids"),
        4,
        "used more than once, as 'doc-7'",
    ),
    "no header": (
        write("l.csv", csv_bytes()[9:]),
        ("--labels", "l.csv"),
        4,
        "no column label; its first line is 'doc-0, topic ",
    ),
    "other ids": (
        write("l.csv", csv_bytes().replace(b"id,", b"key,")),
        ("--labels", "l.csv"),
        4,
        "no column id, but 'key'; rename the column",
    ),
    "a blank label": (
        write("l.csv", csv_bytes().replace(b"doc-21,topic " + str(TOPIC[3]).encode(), b"doc-21,")),
        ("--labels", "l.csv"),
        4,
        "line 5: no label",
    ),
    "a ragged row": (
        write("l.csv", csv_bytes().replace(b"doc-21,", b"doc-21,and,")),
        ("--labels", "l.csv"),
        4,
        "line 5: 3 cells, and the header has 2",
    ),
    "an open quote": (
        write("l.csv", csv_bytes().replace(b"doc-21", b'"doc-21')),
        ("--labels", "l.csv"),
        4,
        "not a readable CSV file",
    ),
    "latin 1": (
        write("l.csv", csv_bytes().replace(b"topic 3", b"caf\xe9")),
        ("--labels", "l.csv"),
        4,
        "is not UTF-8; save the file as UTF-8",
    ),
    "one label": (
        write("l.csv", re.sub(rb"topic \d+", b"x", csv_bytes())),
        ("--labels", "l.csv"),
        4,
        r"1 label group\(s\) over 120 items",
    ),
    "labels missing": (write("l.txt", "a\nb\n"), ("--labels", "l.txt"), 4, "2 labels for 120 rows"),
    "ids missing": (write("i.txt", "a\nb\n"), ("--ids", "i.txt"), 4, r"i\.txt: 2 ids, and a\.npy has 120 rows"),
    "a blank id": (write("i.txt", "a\n\nb\n"), ("--ids", "i.txt"), 4, "line 2: blank; each row needs its id"),
    "ids twice": (
        write("i.txt", "a\n" * COUNT),
        ("--ids", "i.txt"),
        4,
        r"1 id\(s\) of the texts used more than once, as 'a'",
    ),
    "ids of one side": (None, ("--draft-ids", "ids"), 4, "rows of one side have ids and those of the other have none"),
    "ids of others": (
        write("i.txt", "".join(f"x{i}\n" for i in range(COUNT))),
        ("--draft-ids", "ids", "--teacher-ids", "i.txt"),
        4,
        r"120 of 120 ids of a\.npy are not among the rows of b\.npy, as 'doc-0'.*\(there are 'x0', ",
    ),
    "corpus too long": (
        every(id="{}", text="t {}"),
        (*CORPUS, "--draft", "few.npy"),
        4,
        r"few\.npy: 40 rows, and c\.jsonl 120",
    ),
    "corpus of a line": (
        corpus({"id": "1", "text": "one", "label": "x"}),
        CORPUS,
        4,
        r"a\.npy: 120 rows, and c\.jsonl 1",
    ),
    "text of some": (
        corpus({"id": "1", "text": "t"}, {"id": "2"}),
        CORPUS,
        4,
        "c.jsonl, line 2: no text, or a blank one",
    ),
    "text elsewhere": (
        every(id="{}", content="t {}"),
        CORPUS,
        4,
        "no text, but 'content'; rename the one of the texts to text",
    ),
    "label of some": (
        lambda here: own_files.write_lines(
            here / "c.jsonl", [{"text": f"t{row}"} | ({"label": "x"} if row else {}) for row in range(COUNT)]
        ),
        CORPUS,
        4,
        "line 1: no label; 1 of 120 texts have none",
    ),
    "corpus id twice": (
        corpus({"id": "1", "text": "t"}, {"id": 1, "text": "u"}),
        CORPUS,
        4,
        "line 2: id '1' is already used on line 1",
    ),
    "not JSON": (write("c.jsonl", "one text\n"), CORPUS, 4, "line 1: .*malformed.*found 'one text'"),
    "a JSON list": (write("c.jsonl", '[{"id": "1"}]'), CORPUS, 4, r"a JSON list; write one object per line: jq -c"),
    "no corpus": (write("c.jsonl", "\n"), CORPUS, 4, "the corpus is empty"),
    "a full folder": (
        make_out("things"),
        (),
        4,
        "mypair: not empty, 'things' is there, and nothing is ever overwritten",
    ),
    "a pair": (make_out("embeddings"), (), 4, "mypair: not empty, 'embeddings' is there"),
    "a file for out": (write("mypair", "x"), (), 4, "mypair: a file is there"),
    "a link for out": (lambda here: (here / "mypair").symlink_to(here / "away"), (), 4, "mypair: a symbolic link"),
    "here": (None, ("--out", "."), 4, "not empty"),
    "below a file": (
        None,
        ("--out", "a.npy/pair"),
        4,
        r"a\.npy/pair: cannot be written \(.*; name another folder with --out",
    ),
    "blank name": (None, ("--draft-model", " "), 4, "the model's name ' ' is blank"),
    "ids twice over": (
        None,
        ("--ids", "ids", "--draft-ids", "ids"),
        2,
        "--ids names the rows of both sides; leave it out",
    ),
    "queries alone": (None, ("--queries", "q.jsonl"), 2, "add --draft-queries and --teacher-queries"),
    "qrels alone": (None, ("--qrels", "q.tsv"), 2, "--qrels judges queries; add --queries"),
    "unknown option": (None, ("--label", "l.csv"), 2, "unrecognized arguments: --label"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_its_remedy_and_nothing_is_written(here, capsys, name):
    (here / "ids").write_text("".join(f"{each}\n" for each in own_files.ids()))
    np.save(here / "few.npy", A[:40])
    make, words, code, message = MISTAKES[name]
    if make is not None:
        make(here)
    before = snapshot(here)
    assert bring(*words) == code
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    if code == 4:
        assert len(lines) == 1
    assert re.search(message, lines[-1]), lines[-1]
    assert "Traceback" not in said.err
    assert snapshot(here) == before


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
