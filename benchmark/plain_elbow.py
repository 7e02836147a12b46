"""One seed of the quick elbow grid as a plain script: what `test_speed.py` holds the suite's own run against.

PyTorch, scikit-learn, SciPy and NumPy as their guides have them: nn.Linear, autograd, AdamW and a DataLoader; a Ridge
fit a penalty; spearmanr over all pairs; argsort for every rank. It does nothing twice that is plainly the same. It
starts from loaded vectors and from the suite's choice of rows, and gives the suite's columns by the suite's names. It
leaves out standard errors, expectations over ties and most of what tells whether a pair is sound.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from torch.nn.functional import cosine_similarity
from torch.utils.data import DataLoader, TensorDataset

BATCH, RATE, SCALE, WARMUP, CHECKPOINTS = 64, 2e-4, 0.01, 0.1, 16
STEPS, PASSES, FEWEST = 400, 5, 50
PENALTIES = 10.0 ** np.arange(-4, 2.01, 0.5)
RATIOS = (0.01, 0.05, 0.10, 0.20, 0.50, 1.00)
KS = (1, 5, 10)
DISCOUNTS = 1 / np.log2(np.arange(2, 12))
DEPLOYMENTS = {"query_adapter": ("mapped", "teacher"), "index_migration": ("teacher", "mapped")}
DEPLOYMENTS["draft_only"] = ("mapped", "mapped")

Metrics = dict[str, float]


@dataclass
class Problem:
    """A pair and a seed: unit vectors (n, d), the rows of the pool in random order, of queries and of held-out texts.

    `inner(rows)` splits rows into those to fit on and those to check on.
    """

    draft: np.ndarray
    teacher: np.ndarray
    labels: np.ndarray
    texts: np.ndarray
    pool: np.ndarray
    queries: np.ndarray
    held_out: np.ndarray
    inner: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    seed: int
    trained: list[tuple[int, int, bool]] = field(default_factory=list)  # rows and steps; whether it tries a length
    ridge_rows: list[int] = field(default_factory=list)  # rows of each ridge map

    @property
    def most(self) -> int:
        """The fixed number of steps."""
        return max(STEPS, -(-PASSES * len(self.pool) // BATCH))


def train(problem: Problem, rows: np.ndarray, steps: int, *, follow: bool = False, trial: bool = False):
    """Return the map trained on some rows, and with `follow` the held-out mean cosine at 16 steps of it."""
    problem.trained.append((len(rows), steps, trial))
    torch.manual_seed(problem.seed)
    data = TensorDataset(torch.from_numpy(problem.draft[rows]), torch.from_numpy(problem.teacher[rows]))
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=len(rows) >= BATCH)
    layer = torch.nn.Linear(problem.draft.shape[1], problem.teacher.shape[1], bias=False)
    bound = SCALE / problem.draft.shape[1] ** 0.5
    torch.nn.init.uniform_(layer.weight, -bound, bound)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=RATE, weight_decay=0.0)
    warm = max(1, round(WARMUP * steps))

    def rate(step: int) -> float:
        return (step + 1) / warm if step < warm else 0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    watched = {round(steps * (i + 1) / CHECKPOINTS) for i in range(CHECKPOINTS)} if follow else set()
    x, t = (torch.from_numpy(side[problem.queries]) for side in (problem.draft, problem.teacher))
    followed = {}
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    for step, (draft, teacher) in enumerate(itertools.islice(batches, steps), start=1):
        loss = 1 - cosine_similarity(layer(draft), teacher).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step in watched:
            with torch.no_grad():
                followed[f"step{step:04d}"] = float(cosine_similarity(layer(x), t).mean())
    return layer.weight.detach().numpy(), followed


def mean_cosine(weights: np.ndarray, draft: np.ndarray, teacher: np.ndarray) -> float:
    """Return the mean cosine of mapped draft vectors to the teacher's."""
    return float((normalize(draft @ weights.T) * teacher).sum(axis=1).mean())


def tuned_steps(problem: Problem, rows: np.ndarray) -> int:
    """Return the number of steps that does best on inner groups: lengths double until the cosine falls."""
    fit, check = problem.inner(rows)
    lengths: list[int] = []
    values: list[float] = []
    steps = FEWEST
    while True:
        weights, _ = train(problem, fit, steps, trial=True)
        lengths.append(steps)
        values.append(mean_cosine(weights, problem.draft[check], problem.teacher[check]))
        if steps == problem.most or (len(values) > 1 and values[-1] < values[-2]):
            break
        steps = min(2 * steps, problem.most)
    best = int(np.argmax(values))
    if not 0 < best < len(values) - 1:
        return lengths[best]
    near = np.log2(lengths[best - 1 : best + 2])
    curvature, slope, _ = np.polyfit(near, values[best - 1 : best + 2], 2)
    return round(2 ** float(np.clip(-slope / (2 * curvature), near[0], near[2])))


def ridge(problem: Problem, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the ridge map with the penalty that does best on inner groups, and the penalty."""
    problem.ridge_rows.append(len(rows))
    x, y = problem.draft.astype(np.float64), problem.teacher.astype(np.float64)
    fit, check = problem.inner(rows)

    def fitted(some: np.ndarray, penalty: float) -> np.ndarray:
        return Ridge(alpha=penalty, fit_intercept=False).fit(x[some], y[some]).coef_

    penalty = max(PENALTIES, key=lambda penalty: mean_cosine(fitted(fit, penalty), x[check], y[check]))
    return fitted(rows, penalty).astype(np.float32), float(penalty)


def search(problem: Problem, queries: np.ndarray, index: np.ndarray, rows: np.ndarray | None = None):
    """Return the metrics of unit queries in a unit index, which holds some rows or all, and each query's margin."""
    rows = np.arange(len(problem.labels)) if rows is None else rows
    place = np.full(len(problem.labels), -1)
    place[rows] = np.arange(len(rows))
    similarity = queries @ index.T
    mate = problem.texts[rows][similarity.argmax(axis=1)] == problem.texts[problem.queries]
    similarity[np.arange(len(queries)), place[problem.queries]] = -np.inf
    order = np.argsort(-similarity, axis=1)
    relevant = problem.labels[rows][order] == problem.labels[problem.queries][:, None]
    relevant[:, -1] = False  # the query itself
    count = relevant.sum(axis=1)
    asked = count > 0
    rank = relevant.argmax(axis=1) + 1
    gain = relevant[:, :10] @ DISCOUNTS
    best = np.append(0, np.cumsum(DISCOUNTS))[np.minimum(count, 10)]
    returned = np.bincount(order[:, :10].ravel(), minlength=len(rows))
    top = np.take_along_axis(similarity, order[:, :2], axis=1)
    metrics = {f"recall_at_{k}": float((rank[asked] <= k).mean()) for k in KS}
    metrics |= {"mrr": float((1 / rank[asked]).mean()), "ndcg_at_10": float((gain[asked] / best[asked]).mean())}
    metrics |= {"mate_recall_at_1": float(mate.mean()), "never_returned": float((returned == 0).mean())}
    metrics["largest_hub"] = float(returned.max() / len(queries))
    return metrics, top[:, 0] - top[:, 1], relevant[:, 0]


def gate(margin: np.ndarray, correct: np.ndarray) -> Metrics:
    """Return the area under the generalised risk-coverage curve, and the coverage at a selective risk of 0.2."""
    wrong = np.append(0, np.cumsum(~correct[np.argsort(-margin, kind="stable")])) / len(correct)
    coverage = np.arange(len(correct) + 1) / len(correct)
    accepted = coverage[wrong <= 0.2 * coverage + 1e-12].max()
    return {"gate_augrc": float(np.trapezoid(wrong, coverage)), "gate_accept_rate": float(accepted)}


class Scorer:
    """Scores what a map makes of queries and index; holds what is the same for every map."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.queries = problem.teacher[problem.queries]
        self.upper = np.triu_indices(len(self.queries), k=1)
        self.pairs = (self.queries @ self.queries.T)[self.upper]
        mean = problem.teacher[problem.pool].mean(axis=0)
        self.constant = mean / np.linalg.norm(mean)
        self.teacher = search(problem, self.queries, problem.teacher)[0]

    def alignment(self, mapped: np.ndarray, *, ranked: bool = True) -> Metrics:
        """Return cosines, skill and Spearman's rho of unit mapped queries."""
        cosine = (mapped * self.queries).sum(axis=1)
        floor = float((self.queries @ self.constant).mean())
        metrics = {"cosine_mean": float(cosine.mean()), "skill": float((cosine.mean() - floor) / (1 - floor))}
        metrics |= {f"cosine_p{q:02d}": float(np.quantile(cosine, q / 100)) for q in (5, 50, 95)}
        rho = spearmanr((mapped @ mapped.T)[self.upper], self.pairs).statistic if ranked else 0.0
        return metrics | {"spearman": float(rho)}

    def among_held_out(self, queries: np.ndarray, index: np.ndarray) -> Metrics:
        """Return what unit queries find among the held-out texts alone, and the gate."""
        found, margin, correct = search(self.problem, queries, index[self.problem.held_out], self.problem.held_out)
        return {name: found[name] for name in ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")} | gate(
            margin, correct
        )

    def as_deployment(self, name: str, found: Metrics) -> Metrics:
        """Return the columns of a deployment."""
        retention = found["ndcg_at_10"] / self.teacher["ndcg_at_10"]
        return {f"{name}_{metric}": value for metric, value in (found | {"retention_ndcg_at_10": retention}).items()}

    def of_map(self, weights: np.ndarray) -> Metrics:
        """Return every metric of a map."""
        problem = self.problem
        index = normalize(problem.draft @ weights.T)
        sides = {"mapped": (index[problem.queries], index), "teacher": (self.queries, problem.teacher)}
        metrics = self.alignment(index[problem.queries]) | self.among_held_out(index[problem.queries], index)
        for name, (asking, searched) in DEPLOYMENTS.items():
            metrics |= self.as_deployment(name, search(problem, sides[asking][0], sides[searched][1])[0])
        return metrics

    def of_vectors(self, queries: np.ndarray, index: np.ndarray) -> Metrics:
        """Return the same columns for unit vectors that search themselves."""
        found = search(self.problem, queries, index)[0]
        columns = [self.as_deployment(name, found) for name in DEPLOYMENTS]
        return self.among_held_out(queries, index) | dict(itertools.chain.from_iterable(map(dict.items, columns)))


def elbow(problem: Problem, scorer: Scorer) -> tuple[dict[str, Metrics], np.ndarray]:
    """Return the metrics of each cell of the table data_ratio_vs_metrics, and the tuned map of the whole pool."""
    pool = problem.pool
    near = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(problem.draft[np.sort(pool)])
    dense = np.sort(pool)[np.argsort(near.kneighbors()[0].mean(axis=1), kind="stable")]
    cells, whole = {}, np.empty(0)
    for policy, budget, ratio in [
        *itertools.product(["random"], ["tuned", "steps", "closed_form"], RATIOS),
        *itertools.product(["density"], ["closed_form"], RATIOS),
    ]:
        if policy == "density" and ratio == 1:  # the same rows, so the same map
            cells[f"1.00-{policy}-{budget}"] = cells[f"1.00-random-{budget}"]
            continue
        rows = np.sort((pool if policy == "random" else dense)[: round(ratio * len(pool))])
        followed: Metrics = {}
        facts = {"n_train": len(rows), "n_over_d": len(rows) / problem.draft.shape[1], "ridge_penalty": 0.0, "steps": 0}
        if budget == "closed_form":
            weights, facts["ridge_penalty"] = ridge(problem, rows)
        else:
            facts["steps"] = problem.most if budget == "steps" else tuned_steps(problem, rows)
            weights, followed = train(problem, rows, int(facts["steps"]), follow=budget == "steps")
            facts["draws_over_n"] = facts["steps"] * BATCH / len(rows)
        cells[f"{ratio:.2f}-{policy}-{budget}"] = scorer.of_map(weights) | followed | facts
        whole = weights if (budget, ratio) == ("tuned", 1) else whole
    return cells, whole


def index_sizes(problem: Problem, weights: np.ndarray) -> dict[str, Metrics]:
    """Return what each deployment, the raw draft and the teacher find in indexes of growing size."""
    others = np.setdiff1d(np.arange(len(problem.labels)), problem.held_out)
    order = np.concatenate([problem.held_out, np.random.default_rng(problem.seed).permutation(others)])
    sizes = [len(problem.held_out)]
    while 2 * sizes[-1] < len(order):
        sizes.append(2 * sizes[-1])
    mapped = normalize(problem.draft @ weights.T)
    sides = {"mapped": mapped, "teacher": problem.teacher, "draft": problem.draft}
    found = {}
    for name, (asking, searched) in {
        **DEPLOYMENTS,
        "no_map": ("draft", "draft"),
        "teacher": ("teacher", "teacher"),
    }.items():
        for size in [*sizes, len(order)]:
            rows = order[:size]
            found[f"{name}-{size}"] = search(problem, sides[asking][problem.queries], sides[searched][rows], rows)[0]
    return found


def references(problem: Problem, scorer: Scorer) -> dict[str, Metrics]:
    """Return the metrics of what maps are held against."""
    rng = np.random.default_rng(problem.seed)
    draft, teacher, asked = problem.draft, problem.teacher, problem.queries
    bound = SCALE / problem.draft.shape[1] ** 0.5
    size = (problem.teacher.shape[1], problem.draft.shape[1])
    asking, index = (normalize(rng.standard_normal((n, 64), np.float32)) for n in (len(asked), len(draft)))
    step = max(1, len(draft) // 40)
    rows = (step * np.arange(len(draft) // step)[:, None] + np.arange(min(step, 25))).ravel()
    nearest = [
        NearestNeighbors(n_neighbors=10, metric="cosine").fit(x).kneighbors(x[rows], 11)[1] for x in (draft, teacher)
    ]
    own, other = (np.where(found == rows[:, None], -1, found)[:, :, None] for found in nearest)
    overlap = ((own == other.transpose(0, 2, 1)) & (own >= 0)).any(axis=2).sum(axis=1).mean() / 10
    _, sizes = np.unique(problem.labels[asked], return_counts=True)
    facts = {"neighbour_overlap": float(overlap), "effective_groups": float(sizes.sum() ** 2 / (sizes**2).sum())}
    facts |= {
        f"distinct_{side}": len(np.unique(x, axis=0)) / len(x) for side, x in (("draft", draft), ("teacher", teacher))
    }
    return {
        "mean_vector": scorer.alignment(np.broadcast_to(scorer.constant, scorer.queries.shape), ranked=False),
        "untrained": scorer.of_map(rng.uniform(-bound, bound, size).astype(np.float32)),
        "chance": scorer.of_vectors(asking, index),
        "draft": scorer.of_vectors(draft[asked], draft) | facts,
        "teacher": scorer.alignment(teacher[asked]) | scorer.of_vectors(teacher[asked], teacher),
    }


def plain(problem: Problem) -> dict[str, dict[str, Metrics]]:
    """Return the metrics of every cell by table."""
    scorer = Scorer(problem)
    cells, whole = elbow(problem, scorer)
    sizes = index_sizes(problem, whole)
    return {"data_ratio_vs_metrics": cells, "index_size": sizes, "references": references(problem, scorer)}
