"""pair.toml, the vectors, and provenance.json of an imported pair: where each vector came from, without a path."""

import datetime
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embalign.errors import PairError
from embalign.escaping import one_line, visible
from embalign.imports.checks import Seen
from embalign.imports.matching import Side
from embalign.imports.texts import CORPUS, QRELS, QUERIES
from embalign.imports.writing import write_bytes, write_side
from embalign.pairs.config import IMPORTED
from embalign.pairs.corpus import corpus_digest
from embalign.pairs.provenance import PROVENANCE, file_digest, vectors_path
from embalign.pairs.texts import ROLES, role_of

LONGEST_NAME = 200
_FILES = {"corpus": CORPUS, "queries": QUERIES, "qrels": QRELS}


def write_records(folder: Path, sides: Mapping[str, Side], seen: Mapping[str, Seen], models: Mapping[str, str]) -> None:
    """Write the vectors of each part into a new pair's folder, which holds the texts already, and what they are.

    `models` names models by side; a model without a name has that of its file. Raises PairError for a blank name.
    """
    names = {role: _model(models.get(role), sides[role]) for role in ROLES}
    texts = {key: name for key, name in _FILES.items() if (folder / name).is_file()}
    record: dict[str, Any] = {f"{key}_sha256": corpus_digest(folder / name) for key, name in texts.items()}
    (folder / "embeddings").mkdir()
    for part, side in sides.items():
        normalised = seen[part].normalised
        written = write_side(vectors_path(folder, part), side, normalised=normalised)
        record[part] = {"model": names[role_of(part)], **written, IMPORTED: _origin(side, normalised=normalised)}
    write_bytes(folder / "embeddings" / PROVENANCE, f"{json.dumps(record, indent=2)}\n".encode())
    of_queries = "".join(f"{key} = {_toml(name)}\n" for key, name in texts.items() if key != "corpus")
    of_sides = "".join(f"\n[{role}]\nsource = {_toml(IMPORTED)}\nmodel = {_toml(names[role])}\n" for role in ROLES)
    about = f"# Written by embalign import; embeddings/{PROVENANCE} says which files the vectors are from.\n"
    write_bytes(folder / "pair.toml", (about + of_queries + of_sides).encode())


def _origin(side: Side, *, normalised: bool) -> dict[str, Any]:
    stored = side.stored
    return {
        "file": visible(stored.path.name),
        **({"name": visible(stored.name)} if stored.name else {}),
        "sha256": file_digest(stored.path),
        "dtype": stored.kind,
        "shape": [len(stored), stored.dimension],
        "normalised_here": not normalised,
        "matched": "by position" if side.order is None else "by id",
        "date": datetime.date.today().isoformat(),
        "embalign": importlib.metadata.version("embalign"),
    }


def _model(given: str | None, side: Side) -> str:
    name = visible((side.stored.path.stem if given is None else given).strip())
    if not name:
        raise PairError(f"the model's name {given!r} is blank; leave the option out, or name the model")
    return one_line(name, LONGEST_NAME)


def _toml(text: str) -> str:
    """Return a string of TOML on one line; those of JSON are such strings where every character is visible."""
    return json.dumps(text, ensure_ascii=False)
