"""Write a large pair of made-up vectors, to see what an experiment takes in time and memory.

    python benchmark/large_pair.py big --texts 60000
    /usr/bin/time -v pytest benchmark/ -k elbow --pair big --seeds 3

Documents and queries are words at random. Their vectors lie near a common subspace, as those of models do, so that maps
can be fitted. The numbers mean nothing else.
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
from embalign.pairs.vectors import write_vectors

CONFIG = """\
queries = "queries.jsonl"
storage = "int8"
draft = {source = "sentence-transformers", model = "made-up-draft"}
teacher = {source = "sentence-transformers", model = "made-up-teacher"}
"""
LATENT = 64  # dimensions that both sides see
WORDS = 30_000


def unit(vectors):
    """Vectors at length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def write_texts(folder, count, rng):
    """Write documents and the query of each."""
    documents, queries = rng.integers(0, WORDS, (count, 40)), rng.integers(0, WORDS, (count, 6))
    for name, words in (("corpus", documents), ("queries", queries)):
        with (folder / f"{name}.jsonl").open("w", encoding="ascii") as file:
            for number, row in enumerate(words.tolist()):
                item = {"id": str(number), "text": " ".join(f"word{word}" for word in row)}
                file.write(json.dumps(item | ({"relevant": [str(number)]} if name == "queries" else {})) + "\n")


def write_embeddings(folder, count, dimensions, rng):
    """Write the four files of vectors; return their records."""
    seen = {role: rng.standard_normal((LATENT, size)) / LATENT**0.5 for role, size in dimensions.items()}
    of_documents = rng.standard_normal((count, LATENT))
    of_queries = of_documents + 0.7 * rng.standard_normal((count, LATENT))
    record = {}
    for role, size in dimensions.items():
        for part, latent in ((role, of_documents), (f"{role}_queries", of_queries)):
            vectors = latent @ seen[role] + 0.5 * rng.standard_normal((count, size))
            path = vectors_path(folder, part)
            write_vectors(path, unit(vectors), "int8")
            record[part] = {"model": f"made-up-{role}", "dimension": size, "sha256": file_digest(path)}
    return record


def main():
    """Write the pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=int, default=60_000)
    parser.add_argument("--draft", type=int, default=768, help="dimension of the draft (default: %(default)s)")
    parser.add_argument("--teacher", type=int, default=768, help="dimension of the teacher (default: %(default)s)")
    arguments = parser.parse_args()
    folder = arguments.folder
    (folder / "embeddings").mkdir(parents=True, exist_ok=True)
    (folder / "pair.toml").write_text(CONFIG, encoding="ascii")
    rng = np.random.default_rng(0)
    write_texts(folder, arguments.texts, rng)
    digests = {f"{name}_sha256": file_digest(folder / f"{name}.jsonl") for name in ("corpus", "queries")}
    dimensions = {"draft": arguments.draft, "teacher": arguments.teacher}
    record = digests | write_embeddings(folder, arguments.texts, dimensions, rng)
    (folder / "embeddings" / PROVENANCE).write_text(json.dumps(record, indent=2) + "\n", encoding="ascii")
    print(f"{folder}: {arguments.texts:,} documents and queries, {arguments.draft} to {arguments.teacher} dimensions")


if __name__ == "__main__":
    main()
