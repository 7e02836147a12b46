"""Timings beside peers, in one process: ratios count, absolute times depend on the machine.

pytest benchmark/test_speed.py
"""

import numpy as np
import pytest

SHAPES = [(384, 768), (896, 1536)]


def unit(shape, seed):
    """Random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("weight", [0.0, 0.05])
@pytest.mark.parametrize("loop", ["suite", "plain_script"])
@pytest.mark.parametrize(("d_draft", "d_teacher"), SHAPES)
def test_training_speed(benchmark, loop, d_draft, d_teacher, weight):
    """40 steps of 256 items: the suite's loop beside nn.Linear, autograd, AdamW and a DataLoader."""
    import torch

    from embalign.alignment.config import TrainingConfig
    from embalign.alignment.losses import cosine_loss, spectral_loss
    from embalign.alignment.terms import make_term
    from embalign.alignment.training import train_map

    draft, teacher = unit((2560, d_draft), 0), unit((2560, d_teacher), 1)
    config = TrainingConfig(steps=40, passes=0, batch_size=256)

    def suite():
        term = make_term("spectral", weight, dimension=d_teacher) if weight else None
        train_map(draft, teacher, seed=0, config=config, term=term)

    def plain_script():
        data = torch.utils.data.TensorDataset(torch.from_numpy(draft), torch.from_numpy(teacher))
        layer = torch.nn.Linear(d_draft, d_teacher, bias=False)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=config.learning_rate)
        for _ in range(4):
            for x, t in torch.utils.data.DataLoader(data, batch_size=256, shuffle=True):
                z = layer(x)
                loss = cosine_loss(z, t) + (weight * spectral_loss(z, t) if weight else 0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    benchmark.group = f"40 training steps, {d_draft} to {d_teacher}, lambda {weight:g}"
    if loop == "suite":
        benchmark.pedantic(suite, rounds=5, warmup_rounds=1)
    else:
        route = torch.backends.mkldnn.matmul
        ours, route.fp32_precision = route.fp32_precision, "none"
        benchmark.pedantic(plain_script, rounds=5, warmup_rounds=1)
        route.fp32_precision = ours


@pytest.mark.parametrize("search", ["suite", "scikit_learn"])
def test_leave_one_out_speed(benchmark, search):
    """Recall and MRR of 8,000 items in 768 dimensions beside a nearest-neighbour search for ten of them."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    from embalign.evaluation.retrieval import leave_one_out

    vectors = unit((8000, 768), 2)
    labels = [str(i // 10) for i in range(8000)]

    def suite():
        leave_one_out(vectors, labels)

    def scikit_learn():
        NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(vectors).kneighbors()

    benchmark.group = "leave-one-out, 8,000 x 768, one thread"
    with threadpool_limits(1):
        benchmark.pedantic({"suite": suite, "scikit_learn": scikit_learn}[search], rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("side", ["suite", "scikit_learn"])
def test_search_speed(benchmark, side):
    """Every metric of 1,000 queries in an index of 20,000 x 768 beside a nearest-neighbour search for ten of them."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    from embalign.evaluation.retrieval import search_metrics

    index, queries = unit((20000, 768), 3), unit((1000, 768), 4)
    labels = np.arange(20000) // 10

    def suite():
        search_metrics(queries, index, query_labels=labels[::20], index_labels=labels)

    def scikit_learn():
        NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(index).kneighbors(queries)

    benchmark.group = "1,000 queries in 20,000 x 768, one thread"
    with threadpool_limits(1):
        benchmark.pedantic({"suite": suite, "scikit_learn": scikit_learn}[side], rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("method", ["suite", "kneed"])
def test_verdict_speed(benchmark, method):
    """One verdict on 10 ratios and 10 seeds beside one knee of the mean curve."""
    from worlds import ELBOW_WORLDS, TEN_RATIOS, simulate

    from embalign.verdicts.elbow import judge_elbow

    curve = simulate(ELBOW_WORLDS[2], TEN_RATIOS, 10, np.random.default_rng(0))
    benchmark.group = "elbow verdict, 10 ratios x 10 seeds"
    if method == "suite":
        benchmark.pedantic(judge_elbow, args=(curve,), kwargs={"margin": 0.05}, rounds=20, warmup_rounds=1)
        return
    knee = pytest.importorskip("kneed", reason="needs the dependency group calibration")
    mean = curve.groupby("ratio")["value"].mean()
    benchmark.pedantic(
        knee.KneeLocator,
        args=(np.log(mean.index.to_numpy()), mean.to_numpy()),
        kwargs={"curve": "concave", "direction": "increasing"},
        rounds=20,
        warmup_rounds=1,
    )
