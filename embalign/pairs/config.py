"""pair.toml: the two models of a pair and the files of its texts, with every key checked."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from embalign.errors import PairError
from embalign.pairs.place import EXPERIMENTS, no_experiments
from embalign.readers import quoted, read_toml, said

LARGEST_BYTES = 32 * 1024
IMPORTED = "imported"
LOCAL = "sentence-transformers"
Source = Literal["ollama", "openai", "sentence-transformers", "imported"]
Pooling = Literal["last", "mean", "cls", "unknown"]
Storage = Literal["float16", "int8"]
_REMEDY = (
    f"[draft] and [teacher] each need a source ({', '.join(get_args(Source))}) and a model, and may have pooling "
    f"({', '.join(get_args(Pooling))}), endpoint, query_prompt, document_prompt, dimensions (a whole number), truncate "
    f"(true or false), licence, credit; before them may stand corpus, queries, qrels (files) and storage "
    f"({', '.join(get_args(Storage))}); every other value is a string in quotes"
)


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One side of a pair, as pair.toml declares it.

    The prompts stand in front of each query and each document as the model is given it. With `dimensions`, of each
    vector only the first so many values are kept, made a unit vector again: for models trained to be cut so
    (Matryoshka representation learning, Kusupati et al. 2022). Vectors whose source is `imported` were made elsewhere,
    and no run can make them. With `truncate`, texts are cut where the model stops
    to read, which sentence-transformers alone says; without, a text that would be cut is an error.
    """

    source: Source
    model: Annotated[str, msgspec.Meta(min_length=1)]
    pooling: Pooling = "unknown"
    endpoint: str = ""
    query_prompt: str = ""
    document_prompt: str = ""
    dimensions: Annotated[int, msgspec.Meta(ge=2)] | None = None
    truncate: bool = False
    licence: str = ""
    credit: str = ""


class PairConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of pair.toml; `corpus`, `queries` and `qrels` are files relative to the pair's folder.

    A pair with `queries` has queries of its own, which search the corpus; `qrels` names their relevance judgements,
    where the queries do not say themselves what is relevant. Without, every item of the corpus is a query too. Vectors
    that are fetched are written as `storage` says.
    """

    draft: Model
    teacher: Model
    corpus: str = "corpus.jsonl"
    queries: str = ""
    qrels: str = ""
    storage: Storage = "float16"

    @property
    def imported(self) -> bool:
        """Whether the vectors of a side, or of both, were imported: no run can embed such a pair."""
        return IMPORTED in (self.draft.source, self.teacher.source)

    @property
    def texts(self) -> dict[str, str]:
        """The files of the pair's texts, by the key that names them here."""
        named = {"corpus": self.corpus, "queries": self.queries, "qrels": self.qrels}
        return {key: name for key, name in named.items() if name}


def find_pair(name: str | Path, root: str | Path = ".") -> Path:
    """Return the folder of a pair, given its name under `root`/benchmark or a path to any folder.

    `root` is the folder that has `benchmark/`, here by default. Raises PairError that lists the known pairs.

    >>> find_pair("smollm2-mpnet").name
    'smollm2-mpnet'
    """
    name, root = str(name), Path(root)
    for folder in (root / "benchmark" / name, Path(name)):
        if os.path.isfile(folder / "pair.toml"):  # False, not an error, for a name too long for the file system
            return folder.resolve()
    raise PairError(
        f"no pair {name!r}: neither benchmark/{name}/pair.toml nor {name}/pair.toml exists {_what_there_is(name, root)}"
        + _bare(Path(name))
    )


def known_pairs(root: Path) -> list[str]:
    """Return the names of the pairs under `root`/benchmark."""
    return sorted(path.parent.name for path in (root / "benchmark").glob("*/pair.toml"))


def _what_there_is(name: str, root: Path) -> str:
    if known := known_pairs(root):
        return f"(known pairs: {', '.join(known)}){_near(name, known)}"
    if (root / EXPERIMENTS).is_file():
        return "(known pairs: none); add --pair PATH, a folder with a pair.toml, as embalign import makes one"
    return f"(known pairs: none); {no_experiments(root)}"


def read_config(folder: Path) -> PairConfig:
    """Return the checked content of a folder's pair.toml. Raises PairError that names the key and the closest one."""
    path = folder / "pair.toml"
    content = read_toml(path, PairError, "every pair needs a pair.toml", limit=LARGEST_BYTES)
    try:
        config = msgspec.convert(content, PairConfig)
    except msgspec.ValidationError as error:
        unknown = re.search("unknown field `([^`]*)`", str(error))
        keys = (*PairConfig.__struct_fields__, *Model.__struct_fields__)
        raise PairError(f"{path}: {said(error)}; {_REMEDY}{_near(unknown[1], keys) if unknown else ''}") from None
    for key, name in config.texts.items():
        if not _lies_within(folder, name):
            raise PairError(f"{path}: {key} {quoted(name)} is outside the pair's folder; copy it into the folder")
    if config.qrels and not config.queries:
        raise PairError(f"{path}: qrels {quoted(config.qrels)} judge queries, and no queries are named; add queries")
    for role, model in (("draft", config.draft), ("teacher", config.teacher)):
        if model.query_prompt and not config.queries:
            raise PairError(
                f"{path}: {role}.query_prompt {quoted(model.query_prompt)} is for queries, and no queries are named: "
                "each text of the corpus is searched for and searched in; use document_prompt, or add queries"
            )
        if model.truncate and model.source != LOCAL:
            raise PairError(
                f"{path}: {role}.truncate is for source {LOCAL!r}, which says what a model reads, and not for "
                f"{model.source!r}; remove it, and shorten the texts that are refused"
            )
    return config


def has_queries(folder: Path) -> bool:
    """Return whether a pair has queries of its own. Raises PairError for a pair.toml that cannot be used."""
    return bool(read_config(folder).queries)


def _bare(folder: Path) -> str:
    return "; embalign import makes a pair of vectors" if os.path.isdir(folder) else ""


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _lies_within(folder: Path, name: str) -> bool:
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # NUL in the name, circular links
        return False
