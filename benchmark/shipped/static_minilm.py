"""Make the draft of the pair `debian-static-minilm`, a folder that sentence-transformers runs.

It is a static encoder that model2vec distils from the teacher, all-MiniLM-L6-v2: a vector of 256 numbers for each
token, and a text is the mean of its tokens, made a unit vector. It is made once, in half a minute.

The order of model2vec's vectors in memory and the teacher's tokenizer are both able to spoil the draft without a word:
nDCG@10 on the whole corpus is then 0.32 to 0.34 instead of 0.41. So the finished folder is loaded again and compared
with model2vec's own vectors before it is moved into place.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import numpy as np
from weights import MODELS, ROOT, build, make

DRAFT, TEACHER = MODELS / "static-minilm", MODELS / "all-MiniLM-L6-v2"
DIMENSIONS = 256
LEAST_COSINE = 0.9999
MADE_BY = "made_by.txt"
# Longer than the teacher's limit of 128 tokens, and far shorter: padding and truncation both show.
PROBES = ("games", "Real-time strategy game of ancient warfare", "a library that reads and writes XML " * 40)


def make_draft() -> Path:
    """Return the static encoder's folder, distilled from the teacher if it is not there."""
    if not (ROOT / DRAFT).is_dir():
        teacher = make(TEACHER.name)
        print(f"distilling {DRAFT.name} from {TEACHER.name}")
        build(ROOT / DRAFT, lambda building: _distil(teacher, building / "model"))
    return ROOT / DRAFT


def draft_made_by() -> str:
    """Return the libraries that distilled the draft that is there, with their versions."""
    return (ROOT / DRAFT / MADE_BY).read_text(encoding="utf-8").strip()


def _distil(teacher: Path, folder: Path) -> Path:
    """Return `folder` with a static encoder of the teacher; exits if it is not what model2vec has distilled."""
    from model2vec.distill import distill
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    static = distill(str(teacher), device="cpu", pca_dims=DIMENSIONS)
    # The teacher's tokenizer pads each text to 128 tokens, which a mean would count, and cuts what is longer.
    static.tokenizer.no_padding()
    static.tokenizer.no_truncation()
    # The principal components come column by column. model2vec and safetensors store their bytes as if row by row.
    vectors = np.ascontiguousarray(static.embedding, dtype=np.float32) * static.weights[:, None].astype(np.float32)
    vectors[static.unk_token_id] = 0  # model2vec leaves unknown tokens out of the mean; a zero keeps its direction
    modules = [StaticEmbedding(static.tokenizer, embedding_weights=vectors), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    made_by = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("model2vec", "skeletoken"))
    (folder / MADE_BY).write_text(f"{made_by}\n", encoding="utf-8")

    saved = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    cosine = lowest_cosine(saved.encode(list(PROBES)), static.encode(list(PROBES), max_length=None))
    if cosine < LEAST_COSINE:
        sys.exit(f"the saved encoder has cosine {cosine:.6f} to model2vec's own vectors, expected {LEAST_COSINE}")
    return folder


def lowest_cosine(left: Any, right: Any) -> float:
    """Return the lowest cosine between rows of the same number; rows (n, d) may have any length."""
    left, right = (np.asarray(each, np.float64) for each in (left, right))
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / lengths).min())
