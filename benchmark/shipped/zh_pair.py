"""Write the text of the pair `zh-en`; embed_pairs.py makes its vectors.

    python benchmark/shipped/zh_pair.py
    python benchmark/shipped/embed_pairs.py zh-en

A document is the long description of a Debian package in Chinese. Two queries ask for it, its short description in
Chinese and the one in English, so that half of the queries are in another language than what they search. The models
are those of `qwen-sentence-align`. The text comes from `debian-descriptions-zh.jsonl.xz`, the same bytes each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from pair_text import COPYRIGHT, ROOT, Row, pair_toml, read_rows, write_pair
from zh_corpus import TEXT

FOLDER = ROOT / "benchmark" / "zh-en"
PAIR_TOML = pair_toml(
    *(
        {
            "source": "openai",
            "model": f"qwen2.5-coder-{size}-instruct-q4_k_m",
            "pooling": "last",
            "endpoint": f"http://127.0.0.1:{port}",
            "licence": "Apache-2.0",
            "credit": "Qwen2.5-Coder, Alibaba Cloud",
        }
        for size, port in (("0.5b", 8080), ("1.5b", 8081))
    )
)
LICENCE = f"""\
The texts are descriptions of packages of Debian 13 (trixie), main: long ones in Chinese in corpus.jsonl, their line
ends removed, and short ones in Chinese and in English in queries.jsonl. The English ones were written by the
maintainers of the packages, the Chinese ones by the Debian Description Translation Project (https://ddtp.debian.org).
Each falls under the licence of its source package, which is free software by the Debian Free Software Guidelines.

{COPYRIGHT.format(suite="trixie")}
The vectors were made by Qwen2.5-Coder-0.5B-Instruct and Qwen2.5-Coder-1.5B-Instruct (Apache License 2.0, Alibaba
Cloud).
"""


def write_text(folder: Path, rows: Iterable[Row]) -> None:
    """Write what the pair folder holds beside vectors."""
    rows = list(rows)
    corpus = [{"id": row["package"], "text": row["long"], "label": row["source"]} for row in rows]
    queries = [
        {"id": f"{row['package']}-{language}", "text": row[description], "relevant": [row["package"]]}
        for row in rows
        for language, description in (("zh", "short"), ("en", "english"))
    ]
    write_pair(folder, corpus, queries, PAIR_TOML, LICENCE, ascii_only=False)


def main() -> None:
    """Write the text of the pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: %(default)s")
    write_text(parser.parse_args().folder, read_rows(TEXT))


if __name__ == "__main__":
    main()
