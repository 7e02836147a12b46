"""Measure what prompts and fewer dimensions do to a model that is made for both, EmbeddingGemma-300M.

    pip install -c constraints.txt -e '.[sentence-transformers]'
    python benchmark/shipped/weights.py embeddinggemma-300m      # 1.2 GB, once; Gemma Terms of Use
    python benchmark/prompts_and_dimensions.py [--documents 600]

The first documents of `debian-static-minilm` and their queries are embedded through the suite's own source and cache,
with the model's prompts, without any, and with the two prompts exchanged. Each query searches all these documents; its
own is relevant. Fewer dimensions are the first so many of the same vectors, made unit vectors: what `dimensions` in
pair.toml does, as a check on a few texts confirms. Printed for each setting: nDCG@10 and Recall@1, and the difference
in nDCG@10 to the first row with its 95 % interval over queries. Takes eight minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import msgspec
import numpy as np

from embalign.embeddings.cache import VectorCache
from embalign.embeddings.fetch import fetch, open_source
from embalign.embeddings.preflight import preflight
from embalign.evaluation.retrieval import Search, search_metrics
from embalign.evaluation.similarity import cosines
from embalign.pairs import Vectors
from embalign.pairs.config import Model, read_config
from embalign.pairs.texts import read_texts

CORPUS = ROOT / "benchmark" / "debian-static-minilm"
CACHE = Path(".embalign/embeddings.sqlite")
QUERY, DOCUMENT = "task: search result | query: ", "title: none | text: "  # as the model's own files name them
MODEL = Model("sentence-transformers", ".embalign/models/embeddinggemma-300m", "mean")
PROMPTS = {"its prompts": (QUERY, DOCUMENT), "no prompts": ("", ""), "prompts exchanged": (DOCUMENT, QUERY)}
DIMENSIONS = (768, 512, 256, 128)
CHECKED = 8  # texts


def first(vectors: Vectors, dimensions: int) -> Vectors:
    """Return the first dimensions of vectors (n, d) as unit vectors."""
    kept = vectors[:, :dimensions]
    return kept / np.linalg.norm(kept, axis=1, keepdims=True)


def embed_all(documents: Sequence[str], queries: Sequence[str]) -> dict[str, tuple[Vectors, Vectors]]:
    """Return vectors of queries and of documents for each way to prompt."""
    source = open_source(MODEL)
    identity = preflight(source)
    with contextlib.closing(VectorCache(CACHE)) as cache:
        vectors = {
            words: tuple(
                fetch(source, identity.asked(prompt), texts, cache, label=f"{kind}, {words}")
                for prompt, texts, kind in zip(prompts, (queries, documents), ("queries", "documents"), strict=True)
            )
            for words, prompts in PROMPTS.items()
        }
    cut = open_source(msgspec.structs.replace(MODEL, dimensions=DIMENSIONS[-1]))
    again = np.array(cut.embed(queries[:CHECKED], QUERY), np.float32)
    if cosines(again, first(vectors["its prompts"][0][:CHECKED], DIMENSIONS[-1])).min() < 0.9999:
        sys.exit("the first dimensions of a vector are not what the source returns for `dimensions`")
    return vectors


def show(words: str, found: Search, base: Search) -> None:
    """Print one row of the table."""
    difference = found.ndcg - base.ndcg
    error = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    low, high = difference.mean() - error, difference.mean() + error
    about = "" if found is base else f"{difference.mean():+.3f} ({low:+.3f} to {high:+.3f})"
    print(f"| {words} | {found.ndcg.mean():.3f} | {found.hits[1].mean():.3f} | {about} |")


def main() -> None:
    """Embed, search and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=600, help="how many, with a query each (default: 600)")
    most = parser.parse_args().documents
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the model is a folder here
    os.chdir(ROOT)
    texts = read_texts(CORPUS, read_config(CORPUS))
    documents, queries = texts.items[:most], texts.queries[:most]  # row i of one is relevant to row i of the other
    vectors = embed_all([item.text for item in documents], [query.text for query in queries])
    settings = [*itertools.product(["its prompts"], DIMENSIONS), ("no prompts", 768), ("prompts exchanged", 768)]
    own = np.arange(len(documents)).astype(str)
    found = {}
    for words, dimensions in settings:
        asked, searched = (first(each, dimensions) for each in vectors[words])
        found[words, dimensions] = search_metrics(asked, searched, query_labels=own, index_labels=own)
    print(f"{len(queries)} queries, {len(documents)} documents, {MODEL.model}")
    print("| setting | nDCG@10 | Recall@1 | nDCG@10, to the first row |\n| --- | --- | --- | --- |")
    for words, dimensions in settings:
        show(f"{words}, {dimensions} dimensions", found[words, dimensions], found[settings[0]])


if __name__ == "__main__":
    main()
