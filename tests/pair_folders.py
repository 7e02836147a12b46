"""Small pairs of real embeddings, cut from a shipped one."""

import json
import shutil
from pathlib import Path

import numpy as np

from embalign.pairs.provenance import file_digest

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
