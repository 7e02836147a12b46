"""Write the text of the pair `debian-static-minilm`: short and long descriptions of the packages of Debian 12.

    pip install -c constraints.txt python-debian
    mkdir -p .embalign/apt
    apt-get update -o Dir::State=$PWD/.embalign/apt -o Dir::Cache=$PWD/.embalign/apt -o Acquire::Languages=en
    python benchmark/shipped/debian_corpus.py --lists .embalign/apt/lists

The second command needs Debian 12 or its sources for apt. It fetches the indexes `Packages` and `Translation-en` into
a folder of its own, installs nothing and needs no root. Each point release of Debian changes some descriptions: the
file that is committed, `debian-descriptions.jsonl.xz`, is from Debian 12.15, and the pair is made from that file.

A row is a package: `package`, `source` (its source package), `section`, `short` and `long`, the long description as one
line. Kept are long descriptions of at least 15 words, and of packages that share a short or a long description the
first by name, so that each short description has exactly one long one. Packages of suites for updates and security
are not read.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pair_text import Row, write_rows

CAT = "/usr/lib/apt/apt-helper"  # reads what apt has compressed, whatever the format
PACKAGES, TRANSLATION = "*_dists_bookworm_main_binary-*_Packages*", "*_dists_bookworm_main_i18n_Translation-en*"
TEXT = Path(__file__).parent / "debian-descriptions.jsonl.xz"
FEWEST_WORDS = 15


def read_index(lists: Path, pattern: str, fields: Iterable[str]) -> Iterator[Mapping[str, str]]:
    """Yield the paragraphs of the one index in apt's folder whose name matches, with only these fields."""
    from debian.deb822 import Deb822

    found = sorted(lists.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{lists} needs one file {pattern}, found {len(found)}; fetch them as `--help` says")
    content = subprocess.run([CAT, "cat-file", str(found[0])], capture_output=True, check=True).stdout
    # apt_pkg is another parser of the same format; it is not on PyPI, so it is never relied on.
    yield from Deb822.iter_paragraphs(io.BytesIO(content), fields=list(fields), use_apt_pkg=False)


def read_rows(lists: Path) -> list[Row]:
    """Return a row for each package that has an English description, in the order of their names."""
    described = {
        entry["Description-md5"]: entry["Description-en"]
        for entry in read_index(lists, TRANSLATION, ("Description-md5", "Description-en"))
    }
    rows = []
    for entry in read_index(lists, PACKAGES, ("Package", "Source", "Section", "Description-md5")):
        if description := described.get(entry.get("Description-md5", "")):
            short, _, long = description.partition("\n")
            source = entry.get("Source", entry["Package"]).split(" ")[0]  # "name (version)" if versions differ
            row = {"package": entry["Package"], "source": source, "section": entry["Section"]}
            rows.append(row | {"short": short.strip(), "long": one_line(long)})
    return sorted(rows, key=lambda row: row["package"])


def one_line(description: str) -> str:
    r"""Return a long description without its line ends; a line with a dot alone is an empty one.

    >>> one_line(" A game.\n .\n  * real-time\n")
    'A game. * real-time'
    """
    lines = (line.strip() for line in description.split("\n"))
    return " ".join(word for line in lines if line != "." for word in line.split())


def select(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of long descriptions that are long enough, each short and each long description once."""
    kept = []
    short: set[str] = set()
    long: set[str] = set()
    for row in rows:
        if len(row["long"].split()) >= FEWEST_WORDS and row["short"] not in short and row["long"] not in long:
            short.add(row["short"])
            long.add(row["long"])
            kept.append(row)
    return kept


def parse_arguments(about: str | None, text: Path) -> argparse.Namespace:
    """Return apt's folder `lists` and the file to write, `out`, as the command line has them."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=Path, required=True, help="the folder `lists` that apt-get update has filled")
    parser.add_argument("--out", type=Path, default=text, help=f"default: {text.name} beside this script")
    return parser.parse_args()


def main() -> None:
    """Write the compressed text and print its digests."""
    arguments = parse_arguments(__doc__, TEXT)
    rows = select(read_rows(arguments.lists))
    sources, sections = (len({row[name] for row in rows}) for name in ("source", "section"))
    print(f"{len(rows)} packages of {sources} source packages in {sections} sections")
    write_rows(arguments.out, rows)


if __name__ == "__main__":
    main()
