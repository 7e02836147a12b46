"""Which column is what: named by the user, or recognised by the names that tools give them."""

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embalign.errors import TableError
from embalign.escaping import shell
from embalign.judging.numerals import LETTERS, MISSING, WORDS
from embalign.judging.source import NESTED, Source
from embalign.readers import quoted

# Names by role, spelled as `plain` has them; earlier ones go first.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "n": (
        *("n", "n_train", "train_n", "ntrain", "train_size", "train_sizes", "size_train", "training_size", "anchor"),
        *("train_set_size", "training_set_size", "n_samples", "num_samples", "samples", "train_samples", "num_train"),
        *("num_train_samples", "n_train_samples", "n_examples", "num_examples", "examples", "train_examples"),
        *("training_examples", "n_items", "n_pairs", "pairs", "n_tokens", "num_tokens", "tokens", "sample_size"),
        *("dataset_size", "data_size", "size", "count"),
    ),
    "ratio": (
        *("ratio", "fraction", "frac", "share", "proportion", "data_fraction", "train_fraction", "train_frac"),
        *("dataset_fraction", "subset_fraction", "data_ratio", "train_ratio", "subset", "percent", "percentage", "pct"),
        *("data_percent", "train_percent", "data_pct", "train_pct"),
    ),
    "seed": (
        *("seed", "random_seed", "random_state", "rng_seed", "outer_seed", "run", "run_id", "trial", "repeat"),
        *("repetition", "rep", "replicate", "replication", "restart", "fold", "outer_fold", "cv_fold", "split"),
        *("split_id", "inner_seed", "inner_fold"),
    ),
    "item": (
        *("item", "item_id", "query_id", "qid", "query", "doc_id", "question_id", "example_id", "instance_id"),
        *("prompt_id", "task_id", "problem_id", "id", "sample_id", "sample", "example", "uid"),
    ),
    "value": (
        *("value", "score", "metric_value", "result", "accuracy", "acc", "test_score", "score_test", "test_accuracy"),
        *("test_acc", "val_score", "score_valid", "valid_score", "val_accuracy", "val_acc", "ndcg_at_10", "ndcg_10"),
        *("ndcg_cut_10", "ndcg", "mrr", "map", "f1", "auc", "recall", "precision", "loss", "val_loss", "test_loss"),
        *("error", "rmse", "mae", "mse", "perplexity"),
    ),
    "metric": ("metric", "measure", "metric_name"),
}
LOWER = re.compile(r"(?:^|_)(?:loss|error|err|rmse|mae|mse|wer|cer|perplexity|ppl|nll|bpb)(?:_|$)")
METRIC = re.compile(
    LOWER.pattern
    + r"|(?:^|_)(?:accuracy|ndcg|dcg|mrr|map|f1|auc|recall|precision|p|r|ap|rr|bleu|rouge|exact_match)(?:_|$)"
)
LOOKED_AT = 200  # different cells, to tell what a column holds
FOLDS = ("fold", "outer_fold", "cv_fold", "split", "split_id", "inner_fold")
RUNS = ("run", "run_id")
# Trackers name runs by letters and digits that they draw, by two words and a number, or by the time.
DRAWN_NAME = r"(?=.*\d)[0-9a-f-]{6,}|(?=.*\d[a-z])[0-9a-z]{8}|[a-z]+-[a-z]+-\d+|[\d:T_.+-]{8,}Z?"
PART = re.compile(r"(?:train|training|valid|validation|val|dev|development|eval|evaluation|test|testing)(?![a-z])")
# Numbers that tools write beside the values; --metric may name one all the same.
NO_VALUES = {
    *("target", "targets", "label", "gold", "epoch", "epochs", "step", "steps", "rank", "total_tokens", "retries"),
    *("time", "seconds", "duration", "total_time", "working_time", "fit_time", "score_time", "runtime", "timestamp"),
    *("message_count", "turn_count", "token_limit_usage", "limit", "fallbacks", "lr", "learning_rate", "batch_size"),
}
INDEX = re.compile(r"Unnamed: \d+|index|level_\d")


@dataclass(frozen=True)
class Roles:
    """Columns by role, as they stand in the file."""

    columns: Mapping[str, str]

    def words(self) -> str:
        """Which column was taken for what, for those that have another name."""
        return ", ".join(f"{role} = {column}" for role, column in self.columns.items() if role != column)

    def having(self, **columns: str) -> "Roles":
        """Return the roles with further columns."""
        return replace(self, columns={**self.columns, **columns})


def find_roles(source: Source, mapped: Mapping[str, str], wanted: Sequence[str]) -> Roles:
    """Return the columns of the wanted roles that a table has: those mapped, then those with a known name.

    Raises TableError for a mapped column that is not there, and for a role that several columns may have; of seeds the
    first known name is taken, since folds inside of repetitions are no repetitions.
    """
    for role, column in mapped.items():
        joined = role in ("seed", "item") and column not in source.frame
        for part in column.split("+") if joined else [column]:
            require(source, part, f"--columns {role}={column}")
    used = set(mapped.values())
    if len(used) < len(mapped):
        twice = next(column for column in used if list(mapped.values()).count(column) > 1)
        roles = " and ".join(role for role, column in mapped.items() if column == twice)
        raise TableError(f"{source.path}: --columns makes {quoted(twice)} both {roles}; a column has one role")
    used.update(*(parts_of(source, column) for column in mapped.values()))
    no_seeds = _parts_of_data(source, mapped.get("seed", ""), used) if "seed" in wanted else set()
    found: dict[str, str] = {}
    for role in wanted:
        if role in mapped:
            found[role] = mapped[role]
            continue
        candidates = [name for name in source.frame.columns if plain(name) in ALIASES[role] and name not in used]
        candidates.sort(key=lambda name: ALIASES[role].index(plain(name)))
        if role == "seed":
            candidates = [name for name in candidates if name not in no_seeds]
            _refuse_systems(source, candidates[:1])
        if not candidates:
            continue
        exact = plain(candidates[0]) == role
        if len(candidates) > 1 and not exact and role in ("n", "ratio"):
            names = " and ".join(candidates)
            remedy = f"say which with {shell(['--columns', f'{role}={candidates[0]}'])}"
            raise TableError(f"{source.path}: the columns {names} may both be {role}; {remedy}")
        found[role] = candidates[0]
        used.add(candidates[0])
    return Roles(found)


def are_repetitions(source: Source, column: str) -> bool:
    """Whether a column holds numbers, or the same words with different numbers, as names of repetitions are."""
    cells = source.frame[column].drop_duplicates().str.strip().str.lower()
    alike = cells.str.replace(r"\d+", "0", regex=True).nunique() == 1
    return bool(cells.str.fullmatch(r"-?\d+(?:\.\d+)?").all() or (alike and cells.str.contains(r"\d").all()))


def parts_of(source: Source, column: str) -> list[str]:
    """Return the columns whose cells are joined to those of one: itself where the table has it, else all of a+b."""
    return [column] if column in source.frame else [part for part in column.split("+") if part]


def _parts_of_data(source: Source, of_seed: str, used: set[str]) -> set[str]:
    """The columns named as seeds are that hold one part of the data, such as test; those that hold several are refused.

    Values on training and test data are no repetitions of each other.
    """
    names = parts_of(source, of_seed)
    names += [name for name in source.frame.columns if plain(name) in ALIASES["seed"] and name not in used]
    found = set()
    for name in dict.fromkeys(names):
        there = {cell.lower(): cell for cell in source.frame[name].str.strip().drop_duplicates() if cell}
        parts = [cell for low, cell in there.items() if PART.match(low)]
        if not parts or are_repetitions(source, name) or (plain(name) not in FOLDS and len(parts) < len(there)):
            continue
        if len(there) > 1:
            one = next((cell for cell in parts if cell.lower().startswith("test")), parts[0])
            words = f"{name} holds {listed(there.values(), 4)}, which are parts of the data and no repetitions"
            raise TableError(f"{source.path}: {words}; keep one with {shell(['--where', f'{name}={one}'])}")
        found.add(name)
    return found


def _refuse_systems(source: Source, names: Sequence[str]) -> None:
    """Refuse a column that is named as seeds are and holds several metrics or, as `run` does in retrieval, systems."""
    for name in names:
        there = source.frame[name].str.strip().drop_duplicates()
        if len(there) < 2 or are_repetitions(source, name):
            continue
        words, keep = f"{name} holds {listed(there, 4)}", ["--where", f"{name}={there.iloc[0]}"]
        if all(metric_name(cell, known=True) for cell in there):
            words += ", which are metrics and no repetitions"
            keep = ["--columns", f"metric={name}", "--metric", str(there.iloc[0])]
        elif plain(name) in RUNS and not there.str.fullmatch(DRAWN_NAME).all():
            words += ", which may be systems and no repetitions"
        else:
            continue
        raise TableError(f"{source.path}: {words}; choose one with {shell(keep)}, or say --columns seed={name}")


def require(source: Source, column: str, asked: str) -> None:
    """Raise TableError, with the nearest name, for a column that a table lacks."""
    if column in source.frame:
        return
    near = difflib.get_close_matches(column, list(source.frame.columns), 1)
    hint = f"did you mean {quoted(near[0])}?" if near else f"its columns are {listed(source.frame.columns)}"
    raise TableError(f"{source.path}: no column {quoted(column)} ({asked}); {hint}")


def listed(names: Iterable[object], most: int = 12) -> str:
    """Return names as a message shows them."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (f", ... ({len(shown)} in all)" if len(shown) > most else "")


def is_numeric(source: Source, column: str) -> bool:
    """Whether most cells of a column look like numbers, or all are letters or words that stand for them."""
    cells = source.frame[column].drop_duplicates()[:LOOKED_AT].str.strip()
    present = cells[~cells.str.lower().isin(MISSING)]
    numbers = present.str.fullmatch(r"[+\-\u2212]?[\d.,]*\d[\d.,eE+\-]*\s*%?.*")
    coded = present.isin(LETTERS) | present.str.lower().isin(WORDS)
    return bool(len(present)) and bool(numbers.mean() > 0.5 or coded.all())


def measured(source: Source, used: Iterable[str]) -> list[str]:
    """Return the columns that may hold values: numeric ones without a role that are no index and no side number."""
    out = set(itertools.chain.from_iterable(parts_of(source, column) for column in used))
    rest = [name for name in source.frame.columns if name not in out and not INDEX.fullmatch(name)]
    rest = [name for name in rest if plain(name) not in NO_VALUES and plain(name) not in ALIASES["seed"]]
    return [name for name in rest if is_numeric(source, name) and not (source.frame[name] == NESTED).any()]


def value_column(source: Source, used: Iterable[str]) -> str:
    """Return the one column that holds the values: named value, the only one, or the only one with a known name.

    Raises TableError where there is none, or where several may be it.
    """
    values = measured(source, used)
    known = [name for name in values if plain(name) in ALIASES["value"]]
    exact = [name for name in known if plain(name) == "value"]
    for found in (exact, values, known):
        if len(found) == 1:
            return found[0]
    if not values:
        columns = listed(source.frame.columns)
        raise TableError(f"{source.path}: no column of values among {columns}; name it with --columns value=NAME")
    raise TableError(
        f"{source.path}: {listed(values)} may each be the value; say which, such as "
        f"{shell(['--metric', (known or values)[0]])}"
    )


def only_where(source: Source, conditions: Sequence[tuple[str, str]]) -> Source:
    """Return the rows whose cells in these columns have these values. Raises TableError where none has."""
    frame = source.frame
    for column, value in conditions:
        require(source, column, f"--where {column}={value}")
        kept = frame[frame[column].str.strip() == value]
        if not len(kept):
            there = listed(sorted(frame[column].drop_duplicates()), 8)
            raise TableError(f"{source.path}: no row has {column}={quoted(value)}; there are {there}")
        frame = kept
    return source.of(frame)


def direction_note(metric: str, higher_is_better: bool) -> list[str]:
    """Return a note on a metric whose name says that lower is better, where higher is taken to be."""
    if not higher_is_better or not LOWER.search(plain(metric)):
        return []
    return [f"{metric} is judged as if higher were better; if lower is, give --lower-is-better"]


def margin_note(margin: float | None, values: NDArray[np.float64]) -> list[str]:
    """Return a note on a margin that no difference of these values could pass."""
    size = float(np.nanmax(values) - np.nanmin(values))
    if margin is None or margin < size:
        return []
    return [f"the margin of {margin:g} is wider than all values differ ({size:.3g}): give it in the values' units"]


def metric_name(name: str, *, known: bool) -> str:
    """Return a metric's name as tools that spell it differently share it; with `known`, "" for what is none of many."""
    found = re.sub(r"_(?:cut|at)(?=_)", "", plain(name))
    found = re.sub(r"(?:^|(?<=_))acc(?=_|$)", "accuracy", found)
    return found if not known or METRIC.search(found) else ""


def differing(source: Source, rows: NDArray[np.bool_], used: Iterable[str]) -> list[str]:
    """Return the columns without a role in which these rows differ, but for those that hold values."""
    taken = set(itertools.chain.from_iterable([column, *column.split("+")] for column in used))
    chosen = source.frame[rows]
    other = [name for name in chosen.columns if name not in taken and chosen[name].nunique() > 1]
    values = set(measured(source, taken))
    return [name for name in other if name not in values]


def plain(name: str) -> str:
    """Return a column's name in small letters, with one underscore for all that is no letter or digit."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
