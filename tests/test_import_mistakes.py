"""What people get wrong with embalign import: one line each that names the cause and the remedy; nothing is written."""

import gzip
import re
import zipfile

import numpy as np
import own_files
import pytest
from own_files import COUNT, bring, csv_bytes, npy, snapshot
from safetensors.numpy import save_file


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a.npy, b.npy and labels.csv, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return own_files.lay_out(tmp_path)


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
        write("l.csv", csv_bytes().replace(b"doc-21,topic " + str(own_files.topics()[3]).encode(), b"doc-21,")),
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
        r"l\.csv: every text has the same label \('x'\).*leave labels out",
    ),
    "one large label": (
        write("l.txt", "few\n" * 5 + "zoo\n" * 115),
        ("--labels", "l.txt"),
        4,
        "115 of 120 items have the label 'zoo', which is held out as a whole and leaves 5 to train on",
    ),
    "ids for labels": (
        write("l.txt", "".join(f"{row}\n" for row in range(COUNT))),
        ("--labels", "l.txt"),
        4,
        r"l\.txt: every text has a label of its own, as an id is \('0'\)",
    ),
    "one text": (
        every(id="{}", text="t"),
        CORPUS,
        4,
        r"a\.npy: '0' and '1' have the same text and other vectors \(cosine -?0\.\d+\).*119 copies of a text",
    ),
    "long name": (None, ("--out", "x" * 300), 4, "cannot be written .*File name too long"),
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
