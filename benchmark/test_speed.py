"""Timings beside a plain script and beside peers, in one process: ratios count, absolute times depend on the machine.

    pip install -c constraints.txt --group tests --group speed -e .
    OMP_NUM_THREADS=1 pytest benchmark/test_speed.py --benchmark-timer=time.process_time
    OMP_NUM_THREADS=1 python benchmark/speed_table.py     # the same, and the tables of docs/performance.md

Peers that are not installed are skipped. The last lines are the tables.
"""

import functools
import importlib
import warnings

import numpy as np
import pytest
from speed_table import tables
from summary import collect

from embalign.lazy import lazy

speed = lazy("speed")  # imports torch and more, which runs of experiments collect without
SHAPES = [(384, 768), (896, 1536)]
GROUP = "needs the dependency group speed"


@pytest.fixture(scope="module")
def summary(request):
    """Collect what is measured for the tables."""
    return collect(request, "speed", tables, [])


@pytest.fixture
def timed(benchmark, summary):
    """Time a function for a table, where it stands in a row as one side of several."""

    def time(table, row, side, function, rounds=5):
        benchmark.group = f"{table}: {row}"
        benchmark.extra_info |= {"table": table, "row": row, "side": side}
        benchmark.pedantic(function, rounds=rounds, warmup_rounds=1)
        summary.append({**benchmark.extra_info, "seconds": benchmark.stats.stats.min})

    return time


@pytest.fixture
def kept(benchmark, summary):
    """Keep what a function measures, several times in one call."""

    def keep(table, row, function, *arguments):
        benchmark.group = f"{table}: {row}"
        found = benchmark.pedantic(function, args=arguments)
        benchmark.extra_info |= {"table": table, "row": row, **found}
        summary.append(dict(benchmark.extra_info))

    return keep


@pytest.mark.parametrize("pair", ["smollm2-mpnet", "qwen-sentence-align"])
def test_grid_speed(kept, pair):
    """One seed of the quick elbow grid, every cell and metric: the suite beside a plain script, and their floor.

    It fails where the numbers of the two are not the same but for what each draws by chance.
    """
    kept("grid", pair, speed.measure_grid, pair)


@pytest.mark.parametrize("batch", [32, 64])
@pytest.mark.parametrize(("d_draft", "d_teacher"), SHAPES)
def test_step_speed(kept, d_draft, d_teacher, batch):
    """A training step beside its two matrix products and the fused AdamW kernel."""
    kept("step", f"{d_draft} to {d_teacher}, batch {batch}", speed.measure_step, d_draft, d_teacher, batch)


@pytest.mark.parametrize("weight", [0.0, 0.05])
@pytest.mark.parametrize("loop", ["suite", "plain script"])
@pytest.mark.parametrize(("d_draft", "d_teacher"), SHAPES)
def test_training_speed(timed, loop, d_draft, d_teacher, weight):
    """40 steps of 256 items: the suite's loop beside nn.Linear, autograd, AdamW and a DataLoader."""
    import torch

    from embalign.alignment.config import TrainingConfig
    from embalign.alignment.losses import cosine_loss, spectral_loss
    from embalign.alignment.terms import make_term
    from embalign.alignment.training import train_map

    draft, teacher = speed.unit((2560, d_draft), 0), speed.unit((2560, d_teacher), 1)
    config = TrainingConfig(steps=40, passes=0, batch_size=256)

    def suite():
        term = make_term("spectral", weight, dimension=d_teacher) if weight else None
        train_map(draft, teacher, seed=0, config=config, term=term)

    def plain_script():
        data = torch.utils.data.TensorDataset(torch.from_numpy(draft), torch.from_numpy(teacher))
        layer = torch.nn.Linear(d_draft, d_teacher, bias=False)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=config.learning_rate)
        with speed.as_torch_comes():
            for _ in range(4):
                for x, t in torch.utils.data.DataLoader(data, batch_size=256, shuffle=True):
                    z = layer(x)
                    loss = cosine_loss(z, t) + (weight * spectral_loss(z, t) if weight else 0)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()

    row = f"40 steps of 256, {d_draft} to {d_teacher}, {'spectral term' if weight else 'cosine alone'}"
    timed("training", row, loop, suite if loop == "suite" else plain_script)


SEARCHES = ["suite", "faiss", "sentence-transformers", "scikit-learn"]


def peer(name, queries, index, count):
    """Return a peer's search for the nearest of each query, or skip where it is not installed.

    Each is given unit vectors, and its own index is made beforehand where it has one.
    """
    if name == "scikit-learn":
        from sklearn.neighbors import NearestNeighbors

        fitted = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute").fit(index)
        return functools.partial(fitted.kneighbors, queries)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages, about what they import
        found = pytest.importorskip(
            {"sentence-transformers": "sentence_transformers.util"}.get(name, name), reason=GROUP
        )
    if name == "faiss":
        found.omp_set_num_threads(1)
        flat = found.IndexFlatIP(index.shape[1])
        flat.add(index)
        return functools.partial(flat.search, queries, count)
    torch = importlib.import_module("torch")
    asked, held = torch.from_numpy(queries), torch.from_numpy(index)
    return functools.partial(
        found.semantic_search, asked, held, query_chunk_size=len(asked), corpus_chunk_size=len(held), top_k=count
    )


def one_thread(function, *, suite):
    """Return the function on one thread, a peer's on torch's own route for products."""
    from threadpoolctl import threadpool_limits

    def run():
        with threadpool_limits(1) if suite else speed.as_torch_comes():
            function()

    return run


@pytest.mark.parametrize("side", SEARCHES)
def test_leave_one_out_speed(timed, side):
    """Recall and MRR of 8,000 items in 768 dimensions beside a nearest-neighbour search for ten of them."""
    from embalign.evaluation.retrieval import leave_one_out

    vectors = speed.unit((8000, 768), 2)
    labels = [str(i // 10) for i in range(8000)]

    def suite():
        leave_one_out(vectors, labels)

    search = suite if side == "suite" else peer(side, vectors, vectors, 11)  # the query itself is among them
    run = one_thread(search, suite=side == "suite")
    timed("search", "leave-one-out, 8,000 x 768", side, run, rounds=3)


@pytest.mark.parametrize("side", SEARCHES)
def test_search_speed(timed, side):
    """Every metric of 1,000 queries in an index of 20,000 x 768 beside a nearest-neighbour search for ten of them."""
    from embalign.evaluation.retrieval import search_metrics

    index, queries = speed.unit((20000, 768), 3), speed.unit((1000, 768), 4)
    labels = np.arange(20000) // 10

    def suite():
        search_metrics(queries, index, query_labels=labels[::20], index_labels=labels)

    search = suite if side == "suite" else peer(side, queries, index, 10)
    timed("search", "1,000 queries in 20,000 x 768", side, one_thread(search, suite=side == "suite"))


@pytest.mark.parametrize("side", ["suite", "kneed"])
def test_verdict_speed(timed, side):
    """One verdict on 10 ratios and 10 seeds beside one knee of the mean curve."""
    from worlds import ELBOW_WORLDS, TEN_RATIOS, simulate

    from embalign.verdicts.elbow import judge_elbow

    curve = simulate(ELBOW_WORLDS[2], TEN_RATIOS, 10, np.random.default_rng(0))
    row = "elbow, 10 ratios and 10 seeds"
    if side == "suite":
        timed("verdict", row, side, functools.partial(judge_elbow, curve, margin=0.05), rounds=20)
        return
    knee = pytest.importorskip("kneed", reason=GROUP)
    mean = curve.groupby("ratio")["value"].mean()
    ratios, values = np.log(mean.index.to_numpy()), mean.to_numpy()
    locate = functools.partial(knee.KneeLocator, ratios, values, curve="concave", direction="increasing")
    timed("verdict", row, side, locate, rounds=20)
