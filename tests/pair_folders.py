"""Small pairs of real embeddings, cut from a shipped one."""

import json
import shutil
from pathlib import Path

import numpy as np

from embalign.pairs.provenance import file_digest
from embalign.pairs.vectors import write_vectors

ROOT = Path(__file__).resolve().parents[1]


def write_pair(folder, source, count):
    """Write a pair of the first `count` items of a loaded pair, 48 to 64 of its dimensions."""
    from safetensors.numpy import save_file

    (folder / "embeddings").mkdir(parents=True)
    lines = [json.dumps({"id": item.id, "text": item.text, "label": item.label}) for item in source.items[:count]]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    shutil.copy(ROOT / "benchmark" / "smollm2-mpnet" / "pair.toml", folder / "pair.toml")
    provenance = {"corpus_sha256": file_digest(folder / "corpus.jsonl")}
    for role, dimension in (("draft", 48), ("teacher", 64)):
        vectors = getattr(source, role)[:count, :dimension]
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        path = folder / "embeddings" / f"{role}.safetensors"
        save_file({"embeddings": vectors.astype(np.float16)}, path)
        provenance[role] = {"dimension": dimension, "sha256": file_digest(path)}
    (folder / "embeddings" / "provenance.json").write_text(json.dumps(provenance))
    return folder


def write_queries_pair(folder, source, count, form="own"):
    """Write a pair of the first `count` documents of a loaded pair with queries, 40 to 56 of its dimensions.

    `form` is that of the texts: the pair's own lines, BEIR's folder, or BEIR's with the qrels of TREC.
    """
    (folder / "embeddings").mkdir(parents=True)
    documents, queries = source.items[:count], source.queries[:count]
    relevant = dict(zip(source.judgements.queries.tolist(), source.judgements.documents.tolist(), strict=True))
    config = 'queries = "queries.jsonl"\nstorage = "int8"\n'
    if form == "own":
        corpus = [{"id": item.id, "text": item.text, "label": item.label} for item in documents]
        asked = [
            {"id": f"q{query.id}", "text": query.text, "relevant": [documents[relevant[row]].id]}
            for row, query in enumerate(queries)
        ]
    else:
        corpus = [{"_id": item.id, "title": "", "text": item.text, "metadata": {}} for item in documents]
        asked = [{"_id": f"q{query.id}", "text": query.text, "metadata": {}} for query in queries]
        config += 'qrels = "qrels/test.tsv"\n'
        (folder / "qrels").mkdir()
        rows = [(f"q{query.id}", documents[relevant[row]].id) for row, query in enumerate(queries)]
        lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in rows)]
        if form == "trec":
            lines = [f"{query} 0 {document} 1" for query, document in rows]
        (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    for name, items in (("corpus", corpus), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    side = '[{}]\nsource = "openai"\nmodel = "{}"\nendpoint = "http://127.0.0.1:1"\n'
    (folder / "pair.toml").write_text(config + "".join(side.format(role, role) for role in ("draft", "teacher")))
    provenance = {
        f"{name}_sha256": file_digest(folder / path)
        for name, path in (("corpus", "corpus.jsonl"), ("queries", "queries.jsonl"), ("qrels", "qrels/test.tsv"))
        if (folder / path).exists()
    }
    for part, vectors in (
        ("draft", source.draft[:count, :40]),
        ("teacher", source.teacher[:count, :56]),
        ("draft_queries", source.query_draft[:count, :40]),
        ("teacher_queries", source.query_teacher[:count, :56]),
    ):
        path = folder / "embeddings" / f"{part}.safetensors"
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        write_vectors(path, unit, "int8")
        provenance[part] = {"dimension": vectors.shape[1], "sha256": file_digest(path)}
    (folder / "embeddings" / "provenance.json").write_text(json.dumps(provenance))
    return folder
