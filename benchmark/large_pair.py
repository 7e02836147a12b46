"""Write a large pair of made-up vectors, to see what an experiment takes in time and memory.

    python benchmark/large_pair.py big --texts 100000
    /usr/bin/time -v pytest benchmark/ -k "elbow and random" --pair big --seeds 3
    python benchmark/large_pair.py big-queries --texts 60000 --queries --storage int8

Texts are words at random. Ten each have a label, and vectors that lie near each other and near a common subspace, as
those of models do, so that maps can be fitted. With `--queries` there are as many queries, each with one relevant
document, and no labels. The numbers mean nothing else. Vectors are written block by block: memory does not grow.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np

from embalign.pairs.provenance import PROVENANCE, file_digest, vectors_path

STORAGES = {"float32": ("F32", np.float32), "float16": ("F16", np.float16), "int8": ("I8", np.int8)}
LATENT = 64  # dimensions that both sides see
WORDS = 30_000
GROUP = 10  # texts of one label
BLOCK = 20_000  # rows that are made at once, whole groups


def pair_toml(queries):
    """Content of pair.toml."""
    models = [
        f'{role} = {{source = "sentence-transformers", model = "made-up-{role}"}}' for role in ("draft", "teacher")
    ]
    return "\n".join([*(['queries = "queries.jsonl"'] if queries else []), *models, ""])


def blocks(count):
    """Yield number, start and stop of each block of rows."""
    for number, start in enumerate(range(0, count, BLOCK)):
        yield number, start, min(start + BLOCK, count)


def write_texts(path, count, words, member):
    """Write one text a line; `member` gives the further keys of a row."""
    with path.open("w", encoding="ascii") as file:
        for number, start, stop in blocks(count):
            drawn = np.random.default_rng([len(path.name), number]).integers(0, WORDS, (stop - start, words))
            for row, numbers in enumerate(drawn.tolist(), start):
                item = {"id": str(row), "text": " ".join(f"word{word}" for word in numbers)}
                file.write(json.dumps(item | member(row)) + "\n")


def latent(number, size, *, queries, labels):
    """What both sides see of a block of texts, (size, LATENT); a query is near its document, a text near its label."""
    rng = np.random.default_rng([0, number])
    centres = rng.standard_normal((-(-size // GROUP), LATENT))
    found = rng.standard_normal((size, LATENT))
    if labels:
        found = 0.7 * found + np.repeat(centres, GROUP, axis=0)[:size]
    return found + 0.7 * rng.standard_normal((size, LATENT)) if queries else found


def write_vectors(path, count, dimension, storage, of_block):
    """Write vectors (count, dimension) of length 1 as a safetensors file, block by block."""
    kind, numbers = STORAGES[storage]
    size = count * dimension * np.dtype(numbers).itemsize
    header = {"embeddings": {"dtype": kind, "shape": [count, dimension], "data_offsets": [0, size]}}
    if storage == "int8":
        header["scale"] = {"dtype": "F32", "shape": [count], "data_offsets": [size, size + 4 * count]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64 + 56)  # so that the values start at a multiple of 64
    scales = []
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for number, start, stop in blocks(count):
            vectors = of_block(number, stop - start)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            if storage == "int8":
                scales.append((np.abs(vectors).max(axis=1) / 127).astype(np.float32))
                vectors = np.rint(vectors / scales[-1][:, None])
            file.write(np.ascontiguousarray(vectors, numbers).tobytes())
        file.writelines(scale.tobytes() for scale in scales)


def write_pair(folder, count, *, draft=384, teacher=768, queries=False, storage="float32"):
    """Write the pair."""
    (folder / "embeddings").mkdir(parents=True, exist_ok=True)
    (folder / "pair.toml").write_text(pair_toml(queries), encoding="ascii")
    labels = {} if queries else {"label": GROUP}
    write_texts(
        folder / "corpus.jsonl", count, 12, lambda row: {name: f"topic {row // n}" for name, n in labels.items()}
    )
    names = ["corpus"]
    if queries:
        names.append("queries")
        write_texts(folder / "queries.jsonl", count, 6, lambda row: {"relevant": [str(row)]})
    record = {f"{name}_sha256": file_digest(folder / f"{name}.jsonl") for name in names}
    for place, (role, size) in enumerate({"draft": draft, "teacher": teacher}.items()):
        seen = np.random.default_rng([1, place]).standard_normal((LATENT, size)) / LATENT**0.5
        for of_queries in (False, True)[: 1 + queries]:
            part = role + "_queries" * of_queries
            path = vectors_path(folder, part)

            def of_block(number, rows, seen=seen, place=place, of_queries=of_queries):
                noise = np.random.default_rng([2, place, of_queries, number]).standard_normal((rows, seen.shape[1]))
                return latent(number, rows, queries=of_queries, labels=not queries) @ seen + 0.5 * noise

            write_vectors(path, count, size, storage, of_block)
            record[part] = {"model": f"made-up-{role}", "dimension": size, "sha256": file_digest(path)}
    (folder / "embeddings" / PROVENANCE).write_text(json.dumps(record, indent=2) + "\n", encoding="ascii")


def main():
    """Write the pair that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--draft", type=int, default=384, help="dimension of the draft (default: %(default)s)")
    parser.add_argument("--teacher", type=int, default=768, help="dimension of the teacher (default: %(default)s)")
    parser.add_argument("--queries", action="store_true", help="queries with one relevant document each, no labels")
    parser.add_argument("--storage", choices=STORAGES, default="float32", help="default: %(default)s")
    asked = parser.parse_args()
    settings = {"draft": asked.draft, "teacher": asked.teacher, "queries": asked.queries, "storage": asked.storage}
    write_pair(asked.folder, asked.texts, **settings)
    texts = "documents and queries" if asked.queries else "texts"
    print(f"{asked.folder}: {asked.texts:,} {texts}, {asked.draft} to {asked.teacher} dimensions")


if __name__ == "__main__":
    main()
