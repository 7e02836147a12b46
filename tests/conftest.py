"""Fixtures that several test modules share."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from embalign.embeddings.pair import file_digest, find_pair, load_pair

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def smollm2():
    """The shipped SmolLM2 to MPNet pair."""
    return load_pair(find_pair("smollm2-mpnet", ROOT))


@pytest.fixture
def small_pair(smollm2, tmp_path):
    """Return the folder of a pair with 240 items of the shipped pair's real embeddings."""
    return write_pair(tmp_path / "benchmark" / "small", smollm2, 240)


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
