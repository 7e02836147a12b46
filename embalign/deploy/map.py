"""The map of a pair as a file: W.npy, and W.json with what it is, how good it is and when to trust it."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np

from embalign.alignment.arguments import described
from embalign.alignment.config import DEFAULT
from embalign.deploy.card import Card
from embalign.deploy.loader import LARGEST_MAP
from embalign.deploy.quality import uses_of
from embalign.deploy.recipe import fit_better
from embalign.deploy.thresholds import MOST_ASKED
from embalign.errors import MapError, PairError
from embalign.evaluation import agreement, mantel
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair, load_pair, pair_digest
from embalign.pairs.provenance import file_digest
from embalign.readers import as_array, read_bytes
from embalign.verdicts.basis import BY_TEACHER
from embalign.verdicts.sanity import suspect_vectors


def load_map(path: str | Path, pair: Pair) -> Vectors:
    """Return the map in an .npy file, checked against the pair's dimensions.

    Raises MapError, which is a ValueError, for a file that holds no such map.

    >>> import tempfile
    >>> pair = load_pair("benchmark/smollm2-mpnet")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/W.npy", np.eye(768, 576))
    ...     load_map(f"{folder}/W.npy", pair).shape
    (768, 576)
    """
    if not isinstance(pair, Pair):
        raise TypeError(f"pair must be what load_pair returns, found {described(pair)}")
    path = Path(path)
    shape = (pair.teacher.shape[1], pair.draft.shape[1])
    remedy = "embalign export writes one"
    weights = as_array(read_bytes(path, MapError, remedy, LARGEST_MAP), path, MapError, remedy)
    if not isinstance(weights, np.ndarray) or weights.shape != shape or weights.dtype.kind != "f":
        found = getattr(weights, "shape", None)
        hint = "; it is transposed: save W.T" if found == shape[::-1] and found != shape else ""
        raise MapError(
            f"{path}: shape {found} does not fit {pair.name}, which needs floats of shape {shape}, one row a teacher "
            f"dimension{hint}"
        )
    with np.errstate(over="ignore"):
        matrix: Vectors = weights.astype(np.float32)
    if not np.isfinite(matrix).all():
        raise MapError(f"{path}: the map holds NaN or infinite values")
    return matrix


def export_map(folder: Path, out: Path, seed: int = 0) -> Path:
    """Train the map of the pair in `folder`, write W.npy and W.json into `out` and return the map's path.

    Raises PairError for vectors that mean nothing, and CorpusError for a corpus that nothing can be measured on.
    """
    pair = load_pair(folder).asked_by(MOST_ASKED)
    refuse_meaningless(pair)
    weights, recipe = fit_better(pair, seed)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "W.npy"
    np.save(path, weights, allow_pickle=False)
    rows, groups = pair.holdout, len(set(pair.groups[pair.holdout.test].tolist()))
    kind, of_groups = ("queries", "groups") if pair.own_queries else ("items", "label groups")
    of_groups = "clusters" if pair.relevance == BY_TEACHER else of_groups
    card = Card(
        pair=pair.name,
        draft=msgspec.structs.asdict(pair.config.draft),
        teacher=msgspec.structs.asdict(pair.config.teacher),
        shape=(weights.shape[0], weights.shape[1]),
        rows="teacher dimensions: mapped = draft @ W.T for unit-length draft vectors",
        trained_on=f"{len(rows.train)} training {kind}; the held-out test {kind} were not seen",
        measured_on=f"{len(rows.test)} held-out queries of {groups} {of_groups}, index of the whole corpus",
        seed=seed,
        config=dataclasses.asdict(DEFAULT),
        recipe=dataclasses.asdict(recipe),
        deployments=uses_of(pair, weights),
        pair_sha256=pair_digest(folder),
        sha256=file_digest(path),
        relevance=pair.relevance,
    )
    card.to_disk(path.with_suffix(".json"))
    return path


def refuse_meaningless(pair: Pair) -> None:
    """Raise PairError for vectors that mean nothing: nothing that is measured on them would."""
    facts = agreement.measure(pair.draft, pair.teacher, pair.groups[pair.holdout.test])
    for suspicion in suspect_vectors(facts, mantel.measure_pair(pair)):
        if suspicion.fatal:
            raise PairError(f"{pair.name}: {suspicion.words}")
