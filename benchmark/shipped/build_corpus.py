"""Build the corpora of the shipped pairs over WordNet 3.0, byte for byte the same each time.

    python benchmark/shipped/build_corpus.py [--wordnet /usr/share/wordnet]

Items are noun definitions of 5 to 25 words, labelled by their synset's direct hypernym: glosses below one hypernym are
about sibling concepts. Of the groups of 8 or more, as many are drawn as the pair is to have, at most 10 items from
each: the smaller corpus is part of the larger. Items of some held-out groups also appear in four surface styles, for
the question whether retrieval and gate stand up to a change of style alone. The source files are those of the Debian
package `wordnet-base`; the licence travels with the corpus as `CORPUS-LICENSE.txt`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from embalign.pairs.holdout import held_out_labels

# The larger one's training pool is eight times the draft's 896 dimensions.
GROUPS = {"qwen-sentence-align": 1050, "smollm2-mpnet": 330}
SMALLEST, LARGEST = 8, 10
STYLED_GROUPS = 36
STYLES = {
    "sentence": lambda text: text[0].upper() + text[1:] + ".",
    "answer": lambda text: "Answer: " + text,
    "bullet": lambda text: "- **" + text + "**",
    "upper": str.upper,
}


def stable_order(names):
    """Names in an order that has nothing to do with their meaning, and never changes."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def read_synsets(path):
    """Yield (offset, first lemma, direct hypernym's offset or None, definition) of each noun synset."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue
        record, _, gloss = line.partition(" | ")
        fields = record.split(" ")
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words :]
        hypernym = next((pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] == "@"), None)
        definition = re.split(r';\s*"|"', gloss)[0].strip().rstrip(";:").strip()
        yield fields[0], fields[4], hypernym, definition


def build(wordnet, most_groups):
    """Return the corpus of so many groups as a list of items."""
    synsets = list(read_synsets(wordnet / "data.noun"))
    lemma = {offset: word for offset, word, _, _ in synsets}
    groups, seen = defaultdict(dict), set()
    for offset, _, hypernym, text in synsets:
        if hypernym is None or not 5 <= len(text.split()) <= 25 or not text.isascii() or text.lower() in seen:
            continue
        seen.add(text.lower())
        groups[f"{lemma[hypernym]}.n.{hypernym}"][f"n{offset}"] = text
    eligible = [label for label, members in groups.items() if len(members) >= SMALLEST]
    items = [
        {"id": item, "text": groups[label][item], "label": label}
        for label in sorted(stable_order(eligible)[:most_groups])
        for item in sorted(stable_order(groups[label])[:LARGEST])
    ]
    test_labels = held_out_labels([item["label"] for item in items])
    styled_labels = set(stable_order(test_labels)[:STYLED_GROUPS])
    styled = [item for item in items if item["label"] in styled_labels]
    return items + [
        {"id": f"{item['id']}-{style}", "text": restyle(item["text"]), "label": item["label"]}
        | {"style": style, "base": item["id"]}
        for style, restyle in STYLES.items()
        for item in styled
    ]


def main():
    """Write corpus.jsonl into the pairs over WordNet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder with data.noun")
    source = parser.parse_args().wordnet
    if not (source / "data.noun").is_file():
        parser.error(f"no data.noun in {source}: install Debian's wordnet-base or name WordNet 3.0's dict folder")
    for pair, groups in GROUPS.items():
        items = build(source, groups)
        payload = "".join(json.dumps(item, ensure_ascii=True) + "\n" for item in items).encode()
        (ROOT / "benchmark" / pair / "corpus.jsonl").write_bytes(payload)
        plain = sum("style" not in item for item in items)
        about = f"{plain} items of {groups} groups and {len(items) - plain} style variants"
        print(f"{pair}: {about}, SHA-256 {hashlib.sha256(payload).hexdigest()}")


if __name__ == "__main__":
    main()
