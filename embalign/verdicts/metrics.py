"""Every metric that reports, verdicts and the regression check speak of: one table.

The margins of an experiment, which say what difference matters to *its* question, are in its `protocol.py`.
"""

import itertools
from dataclasses import dataclass

from embalign.evaluation.deployment import DEPLOYMENTS, Deployment

# What a map finds in the deployment that it is judged by, and how near its vectors come.
PRIMARY, ALIGNMENT = "query_adapter_ndcg_at_10", "cosine_mean"
# Leave-one-out on the held-out items alone, as the memo measures retrieval.
RETRIEVAL = "recall_at_1"
OF_NDCG = 0.01  # the smallest change of nDCG@10 that the regression check acts on
# Columns that only pairs with judgements have: what TREC's tools count over all relevant documents.
OF_JUDGEMENTS = ("trec_recall_at_10", "trec_recall_at_100", "mrr_at_10")


@dataclass(frozen=True)
class Metric:
    """What a column of the results is, and how it is read.

    `smallest_effect` is the smallest change that the regression check acts on, None for metrics that it leaves alone.
    `origin` names the reference cells whose value is the metric without any training data: gains count from the best
    of them. `deployment` says in words how the map is used, and in which index.
    """

    name: str
    label: str
    digits: int = 4
    higher_is_better: bool = True
    smallest_effect: float | None = None
    origin: tuple[str, ...] = ()
    deployment: str = "draft only, held-out items alone"


def _of_deployment(use: Deployment) -> tuple[Metric, ...]:
    """The metrics `<deployment>_<metric>`; nDCG@10 is what the regression check may act on."""
    words = f"{use.label}, index of the whole corpus"

    def metric(name: str, label: str, digits: int = 4, higher_is_better: bool = True) -> Metric:
        full = f"{use.name}_{name}"
        origin = ("untrained",)
        effect = OF_NDCG if name == "ndcg_at_10" else None
        return Metric(full, f"{use.label} {label}", digits, higher_is_better, effect, origin, words)

    return (
        metric("ndcg_at_10", "nDCG@10"),
        *(metric(f"recall_at_{k}", f"Recall@{k}") for k in (1, 5, 10)),
        metric("mrr", "MRR"),
        metric("mate_recall_at_1", "mate Recall@1"),
        *(metric(f"trec_recall_at_{k}", f"recall of all relevant in the first {k}") for k in (10, 100)),
        metric("mrr_at_10", "MRR@10"),
        metric("retention_ndcg_at_10", "retention of nDCG@10", 3),
        metric("never_returned", "share never returned", 3, higher_is_better=False),
        metric("largest_hub", "largest hub", 3, higher_is_better=False),
    )


def _spreads(prefix: str, deployment: str) -> tuple[Metric, ...]:
    """Standard deviations over surface styles, by the name of what varies; lower is steadier."""
    labels = {
        RETRIEVAL: "Recall@1",
        "mrr": "MRR",
        "ndcg_at_10": "nDCG@10",
        "accept_top1": "accept rate (top-1)",
        "accept_margin": "accept rate (margin)",
    }
    return tuple(
        Metric(f"{prefix}spread_{name}", words, higher_is_better=False, deployment=deployment)
        for name, words in labels.items()
    )


def _by_csls(use: Deployment) -> Metric:
    """nDCG@10 of a deployment that is searched by CSLS."""
    words = f"{use.label}, index of the whole corpus, searched by CSLS"
    return Metric(
        f"{use.name}_csls_ndcg_at_10", f"{use.label} nDCG@10 by CSLS", smallest_effect=OF_NDCG, deployment=words
    )


IN_USE = tuple(itertools.chain.from_iterable(map(_of_deployment, DEPLOYMENTS.values())))
METRICS = {
    metric.name: metric
    for metric in (
        *IN_USE,
        *map(_by_csls, DEPLOYMENTS.values()),
        Metric(ALIGNMENT, "mean cosine", 4, smallest_effect=0.002, origin=("mean_vector", "untrained")),
        Metric("cosine_p05", "cosine, 5 % quantile"),
        Metric("cosine_p50", "cosine, median"),
        Metric("cosine_p95", "cosine, 95 % quantile"),
        Metric("skill", "skill over a constant vector"),
        Metric("spearman", "Spearman", smallest_effect=0.005, origin=("untrained",)),
        Metric("mrr", "leave-one-out MRR", smallest_effect=0.01, origin=("untrained",)),
        Metric(RETRIEVAL, "leave-one-out Recall@1", smallest_effect=0.01, origin=("untrained",)),
        Metric("gate_augrc", "gate AUGRC", higher_is_better=False, smallest_effect=0.005),
        Metric("gate_accept_rate", "gate accept rate"),
        Metric("spec_cosine", "spec. cosine"),
        Metric("spectral_excess", "excess", 5),
        Metric("gradient_ratio", "gradient ratio", 5),
        Metric("output_norm", "output norm", 3),
        *_spreads("", "draft only, held-out items alone, styled queries"),
        *_spreads("query_adapter_", "query adapter, index of the whole corpus, styled queries"),
    )
}
# The columns that every experiment's CSV shares, in their published order.
PUBLISHED = (
    *(ALIGNMENT, "cosine_p05", "cosine_p50", "cosine_p95", "skill", "spearman"),
    *(RETRIEVAL, "recall_at_5", "recall_at_10", "mrr", "gate_augrc", "gate_accept_rate"),
    *(metric.name for metric in IN_USE if not metric.name.endswith(OF_JUDGEMENTS)),
)
# nDCG@10 by deployment, in the order of the reports.
BY_DEPLOYMENT = {name: f"{name}_ndcg_at_10" for name in DEPLOYMENTS}
# What a map is judged by over the amount of data, in the order of the reports.
JUDGED = (*BY_DEPLOYMENT.values(), ALIGNMENT, "spearman", RETRIEVAL, "mrr")
HEADLINES = (PRIMARY, ALIGNMENT)
# What the regression check acts on where an experiment does not say otherwise.
CHECKED = (PRIMARY, ALIGNMENT, "spearman", "mrr", RETRIEVAL, "gate_augrc")


def smallest_effect(name: str) -> float:
    """Return the smallest change of a metric that the regression check acts on. Raises ValueError for one with none."""
    known = METRICS.get(name)
    if known is None or known.smallest_effect is None:
        possible = ", ".join(each.name for each in METRICS.values() if each.smallest_effect)
        raise ValueError(f"{name!r} is no metric that the regression check can act on; there are {possible}")
    return known.smallest_effect


def label(name: str) -> str:
    """Return what a metric is called in a text."""
    return METRICS[name].label
