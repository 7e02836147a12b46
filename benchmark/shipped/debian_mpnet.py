"""Make the pair `debian-minilm-mpnet`: package descriptions, by all-MiniLM-L6-v2 and by all-mpnet-base-v2.

    pip install -c constraints.txt -e '.[sentence-transformers]'
    python benchmark/shipped/debian_mpnet.py

Two sentence models that people use, and 5,000 of the documents of `debian-static-minilm` with their queries. The draft
here is the teacher there. What debian_pair.py has embedded with it is taken from the cache of fetched vectors; without,
all takes a quarter of an hour on two cores. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from debian_pair import ROOT, SUBSET_DOCUMENTS, TEXT, TEXTS_LICENCE, choose, write_text
from embed_pairs import embed_and_record
from pair_text import Row, local_model, pair_toml, read_rows
from weights import MODELS

FOLDER = ROOT / "benchmark" / "debian-minilm-mpnet"
DOCUMENTS = 5_000
PAIR_TOML = pair_toml(
    local_model(MODELS / "all-MiniLM-L6-v2", "all-MiniLM-L6-v2, Sentence Transformers", truncate=True),
    local_model(MODELS / "all-mpnet-base-v2", "all-mpnet-base-v2, Sentence Transformers", truncate=True),
)
LICENCE = f"""\
{TEXTS_LICENCE}
The vectors were made by all-MiniLM-L6-v2 and all-mpnet-base-v2 (Apache License 2.0, Sentence Transformers).
"""


def chosen(rows: list[Row]) -> list[Row]:
    """Return the rows of the pair, all of them rows of debian-static-minilm too."""
    subset = [rows[number] for number in choose([row["source"] for row in rows], SUBSET_DOCUMENTS)]
    return [subset[number] for number in choose([row["source"] for row in subset], DOCUMENTS)]


def main() -> None:
    """Make the pair, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: %(default)s")
    folder = parser.parse_args().folder.absolute()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # both models are folders here
    os.chdir(ROOT)  # pair.toml names the models from here
    write_text(folder, chosen(read_rows(TEXT)), PAIR_TOML, LICENCE)
    embed_and_record(folder)


if __name__ == "__main__":
    main()
