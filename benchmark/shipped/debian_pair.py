"""Make the pair `debian-static-minilm`: package descriptions, by a static encoder and by all-MiniLM-L6-v2.

    pip install -c constraints.txt -e '.[sentence-transformers]' 'model2vec[distill]'
    python benchmark/shipped/debian_pair.py [--folder benchmark/debian-static-minilm-whole]
    python benchmark/shipped/debian_pair.py --subset

A query is a package's short description, a document the long one, and relevant is the package's own. The first command
writes the whole pair: text from `debian-descriptions.jsonl.xz`, the same bytes each time, both models (see weights.py
and static_minilm.py), and the vectors by the suite's own fetch. It takes half an hour on two cores, shows its progress
and may be killed at any moment: the same command goes on from there. `pytest benchmark/ --pair` takes the folder it
wrote.

With `--subset` it then writes the pair that is committed, benchmark/debian-static-minilm: 12,000 documents with their
queries, and their vectors, cut from the whole pair's files byte for byte. Documents of one source package stay
together. They are drawn by a hash that has nothing to do with the one that splits a pair, so a fifth of the subset is
held out as well, and what is held out of the subset is held out of the whole.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent
ROOT = SCRIPTS.parents[1]
sys.path[:0] = [str(ROOT), str(SCRIPTS)]

import numpy as np
from pair_text import COPYRIGHT, Row, local_model, pair_toml, read_rows, write_pair, write_whole
from safetensors.numpy import load_file, save_file
from static_minilm import DRAFT, TEACHER, draft_made_by, make_draft
from weights import WEIGHTS, make

from embalign.embeddings.cache import VectorCache
from embalign.embeddings.fetch import embed_pair
from embalign.errors import PairError
from embalign.pairs.pair import check_pair
from embalign.pairs.provenance import file_digest, is_embedded, vectors_path
from embalign.pairs.vectors import DIMENSION_SCALE

TEXT = SCRIPTS / "debian-descriptions.jsonl.xz"
WHOLE, SUBSET = (ROOT / "benchmark" / name for name in ("debian-static-minilm-whole", "debian-static-minilm"))
CACHE = Path(".embalign/embeddings.sqlite")  # the one that `pytest benchmark/` uses
SUBSET_DOCUMENTS = 12_000
FILES = {"draft": "documents", "teacher": "documents", "draft_queries": "queries", "teacher_queries": "queries"}

PAIR_TOML = pair_toml(
    local_model(DRAFT, "static encoder, distilled by model2vec from all-MiniLM-L6-v2"),
    local_model(TEACHER, "all-MiniLM-L6-v2, Sentence Transformers", truncate=True),
)
TEXTS_LICENCE = f"""\
The texts are descriptions of packages of Debian 12 (bookworm), main: short ones in queries.jsonl, long ones in
corpus.jsonl, their line ends removed. They were written by the maintainers of the packages, and each falls under the
licence of its source package, which is free software by the Debian Free Software Guidelines.

{COPYRIGHT.format(suite="bookworm")}"""
LICENCE = f"""\
{TEXTS_LICENCE}
The vectors were made by all-MiniLM-L6-v2 (Apache License 2.0, Sentence Transformers) and by a static encoder that was
distilled from it and falls under the same licence.
"""


def write_text(folder: Path, rows: Iterable[Row], config: str = PAIR_TOML, licence: str = LICENCE) -> None:
    """Write what a pair folder holds beside vectors, and print the digests of its text."""
    rows = list(rows)
    corpus = [{"id": row["package"], "text": row["long"], "label": row["source"]} for row in rows]
    queries = [{"id": row["package"], "text": row["short"], "relevant": [row["package"]]} for row in rows]
    write_pair(folder, corpus, queries, config, licence)


def embed(folder: Path) -> None:
    """Embed the pair as `pytest benchmark/ --pair` does, if its vectors are not there yet."""
    if is_embedded(folder):
        with contextlib.suppress(PairError):  # vectors of another text
            check_pair(folder)
            print(f"{folder / 'embeddings'}: there already")
            return
    with contextlib.closing(VectorCache(CACHE)) as cache:
        embed_pair(folder, cache)


def choose(sources: list[str], most: int) -> list[int]:
    """Return the numbers of at most `most` rows, in their order: whole source packages, drawn by a hash of their name.

    A package that does not fit any more is passed over, so `most` is reached where small ones are left.

    >>> len(choose(["a"] * 3 + ["b"] * 3 + ["c"] * 2, 5))
    5
    """
    sizes = Counter(sources)
    taken: set[str] = set()
    left = most
    for name in sorted(sizes, key=lambda name: hashlib.sha256(f"subset {name}".encode()).digest()):
        if sizes[name] <= left:
            taken.add(name)
            left -= sizes[name]
    return [number for number, name in enumerate(sources) if name in taken]


def cut(whole: Path, target: Path, rows: list[int]) -> None:
    """Write rows of the whole pair's four files of vectors, as they are, with their provenance.

    Rows are numbers of documents and of queries, which stand in one order here.
    """
    from_whole = json.loads((whole / "embeddings" / "provenance.json").read_text(encoding="utf-8"))
    (target / "embeddings").mkdir(exist_ok=True)
    teacher = WEIGHTS[TEACHER.name]
    made_by = {
        "draft": {"distilled_by": draft_made_by(), "distilled_from": TEACHER.name},
        "teacher": {"model_sha256": teacher.sha256, "model_file_from": teacher.source},
    }
    texts = ("corpus", "queries")
    provenance: dict[str, Any] = {f"{name}_sha256": file_digest(target / f"{name}.jsonl") for name in texts}
    for name in FILES:
        if file_digest(vectors_path(whole, name)) != from_whole[name]["sha256"]:
            sys.exit(f"{whole}: {name}.safetensors is not what its provenance records; make the whole pair again")
        tensors = load_file(vectors_path(whole, name))
        path = vectors_path(target, name)
        kept = {tensor: values if tensor == DIMENSION_SCALE else values[rows] for tensor, values in tensors.items()}
        save_file({tensor: np.ascontiguousarray(values) for tensor, values in kept.items()}, path)
        about = {"vectors": len(rows), "cut_from": from_whole[name]["sha256"], "sha256": file_digest(path)}
        recorded = {key: value for key, value in from_whole[name].items() if key != "distinct_texts"}
        provenance[name] = recorded | made_by[name.partition("_")[0]] | about
    write_whole(target / "embeddings" / "provenance.json", (json.dumps(provenance, indent=2) + "\n").encode())


def main() -> None:
    """Make the whole pair, or go on with it, and the subset if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=WHOLE, help="of the whole pair (default: %(default)s)")
    parser.add_argument("--subset", type=Path, nargs="?", const=SUBSET, help="also write the subset, to this folder")
    parser.add_argument("--text", type=Path, default=TEXT, help="what debian_corpus.py has written")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    subset = arguments.subset.absolute() if arguments.subset else None
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # both models are folders here
    rows = read_rows(arguments.text)
    os.chdir(ROOT)  # pair.toml names the models from here
    print(f"{folder}:")
    write_text(folder, rows)
    make(TEACHER.name)
    make_draft()
    embed(folder)
    if subset:
        chosen = choose([row["source"] for row in rows], SUBSET_DOCUMENTS)
        print(f"{subset}: {len(chosen)} documents of {len({rows[number]['source'] for number in chosen})} sources")
        write_text(subset, (rows[number] for number in chosen))
        cut(folder, subset, chosen)


if __name__ == "__main__":
    main()
