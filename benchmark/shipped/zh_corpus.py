"""Write the text of the pair `zh-en`: package descriptions of Debian 13 in Chinese, and their English short ones.

    pip install -c constraints.txt python-debian
    mkdir -p .embalign/apt
    apt-get update -o Dir::State=$PWD/.embalign/apt -o Dir::Cache=$PWD/.embalign/apt -o Acquire::Languages=en,zh_CN
    python benchmark/shipped/zh_corpus.py --lists .embalign/apt/lists

The second command needs Debian 13 or its sources for apt; see debian_corpus.py. The Chinese is that of Debian's
translators, which apt fetches as its index `Translation-zh_CN`. It changes with each point release, so the pair is made
from the file that is committed, `debian-descriptions-zh.jsonl.xz`.

A row is a package: `package`, `source` (its source package), `short` and `long` in Chinese, and `english`, the English
short description. Kept are long descriptions of at least 30 Chinese characters and short ones of at least 4, and of
packages that share a short, a long or an English description the first by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from debian_corpus import one_line, parse_arguments, read_index
from pair_text import Row, write_rows

SUITE = "*_dists_trixie_main_"
TEXT = Path(__file__).parent / "debian-descriptions-zh.jsonl.xz"
CHINESE = re.compile("[\u4e00-\u9fff]")
FEWEST_LONG, FEWEST_SHORT = 30, 4
# Between characters that are written without spaces, a space is a line end of the index.
LINE_END = re.compile("(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])")


def read_rows(lists: Path) -> list[Row]:
    """Return a row for each package that has both descriptions, in the order of their names."""
    english, chinese = (_described(lists, language) for language in ("en", "zh_CN"))
    rows = []
    for entry in read_index(lists, f"{SUITE}binary-*_Packages*", ("Package", "Source", "Description-md5")):
        key = entry.get("Description-md5", "")
        if key in english and key in chinese:
            short, _, long = chinese[key].partition("\n")
            source = entry.get("Source", entry["Package"]).split(" ")[0]  # "name (version)" if versions differ
            row = {"package": entry["Package"], "source": source, "short": short.strip()}
            long = LINE_END.sub("", one_line(long))
            rows.append(row | {"long": long, "english": english[key].partition("\n")[0].strip()})
    return sorted(rows, key=lambda row: row["package"])


def _described(lists: Path, language: str) -> Mapping[str, str]:
    field, name = f"Description-{language}", language.replace("_", "%5f")
    index = read_index(lists, f"{SUITE}i18n_Translation-{name}*", ("Description-md5", field))
    return {entry["Description-md5"]: entry[field] for entry in index}


def select(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that are Chinese and long enough, each of the three descriptions once."""
    kept: list[Row] = []
    seen: set[str] = set()
    for row in rows:
        texts = {row["short"], row["long"], row["english"]}
        long_enough = len(CHINESE.findall(row["long"])) >= FEWEST_LONG
        if long_enough and len(CHINESE.findall(row["short"])) >= FEWEST_SHORT and not texts & seen:
            seen |= texts
            kept.append(row)
    return kept


def main() -> None:
    """Write the compressed text and print its digests."""
    arguments = parse_arguments(__doc__, TEXT)
    rows = select(read_rows(arguments.lists))
    print(f"{len(rows)} packages of {len({row['source'] for row in rows})} source packages")
    write_rows(arguments.out, rows)


if __name__ == "__main__":
    main()
