"""Files that people bring to an import: vectors of two models for one set of texts, their ids and labels."""

import csv
import io
import json

import numpy as np

from embalign.__main__ import main

COUNT, TOPICS = 120, 12
DRAFT, TEACHER = 24, 40


def vectors(count=COUNT, seed=0, of_topics=TOPICS):
    """Vectors (n, 24) and (n, 40) of texts in topics, of any length, as float32."""
    rng = np.random.default_rng(seed)
    meaning = rng.standard_normal((of_topics, 8))[topics(count, of_topics)] + 0.7 * rng.standard_normal((count, 8))
    sides = (meaning @ rng.standard_normal((8, size)) for size in (DRAFT, TEACHER))
    return tuple((side + 0.3 * rng.standard_normal(side.shape)).astype(np.float32) for side in sides)


def unit(array):
    """Rows at length 1."""
    exact = np.asarray(array, np.float64)
    return exact / np.linalg.norm(exact, axis=1, keepdims=True)


def ids(count=COUNT):
    """Ids that are no row numbers."""
    return [f"doc-{row * 7}" for row in range(count)]


def topics(count=COUNT, of_topics=TOPICS):
    """The number of each text's topic, in no order."""
    return np.random.default_rng(7).integers(of_topics, size=count)


def labels(count=COUNT):
    """The topic of each text."""
    return [f"topic {number}" for number in topics(count)]


def text(row):
    """A text of a few words that no other is like."""
    return f"one{row} two{row} three{row} four{row}"


def write_vectors(folder, draft=None, teacher=None):
    """Write a.npy and b.npy."""
    usual = vectors()
    np.save(folder / "a.npy", usual[0] if draft is None else draft)
    np.save(folder / "b.npy", usual[1] if teacher is None else teacher)


def write_csv(path, rows, delimiter=",", encoding="utf-8"):
    """Write rows of a table as CSV."""
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def write_lines(path, objects):
    """Write an object a line."""
    path.write_text("".join(json.dumps(each) + "\n" for each in objects), encoding="utf-8")


def write_bfloat16(path, array):
    """Write a tensor of bfloat16: the upper half of each float32."""
    halves = (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    about = {"dtype": "BF16", "shape": array.shape, "data_offsets": [0, len(halves)]}
    header = json.dumps({"embeddings": about}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + halves)


def labelled():
    """Id and label of each text."""
    return list(zip(ids(), labels(), strict=True))


def csv_bytes():
    """A file of labels."""
    return b"id,label\n" + b"".join(f"{name},{label}\n".encode() for name, label in labelled())


def npy(array):
    """The content of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def lay_out_many(folder, count=300, of_topics=75):
    """Write the same files with so many topics that those held out carry an interval; return the folder."""
    write_vectors(folder, *vectors(count, of_topics=of_topics))
    rows = zip(ids(count), (f"topic {number}" for number in topics(count, of_topics)), strict=True)
    write_csv(folder / "labels.csv", [("id", "label"), *rows])
    return folder


def lay_out(folder):
    """Write a.npy, b.npy and labels.csv; return the folder."""
    write_vectors(folder)
    (folder / "labels.csv").write_bytes(csv_bytes())
    return folder


def bring(*words, draft="a.npy", teacher="b.npy", out="mypair"):
    """Import what lies in the current folder; return the exit code."""
    try:
        return main(["import", "--draft", draft, "--teacher", teacher, "--out", str(out), *map(str, words)])
    except SystemExit as ended:
        return ended.code


def snapshot(folder):
    """Every file below a folder, hidden ones too, with its content."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}
