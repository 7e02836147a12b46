"""Every metric that reports, verdicts and the regression check speak of: one table.

The margins of an experiment, which say what difference matters to *its* question, are in its `protocol.py`.
"""

from dataclasses import dataclass

# The two metrics that headlines speak of: how near the vectors come, and what a search with them finds.
ALIGNMENT, RETRIEVAL = "cosine_mean", "recall_at_1"


@dataclass(frozen=True)
class Metric:
    """What a column of the results is, and how it is read.

    `smallest_effect` is the smallest change that the regression check acts on, None for metrics that it leaves alone.
    `origin` names the reference cell whose value is the metric without any training data, which gains count from.
    """

    name: str
    label: str
    digits: int = 4
    higher_is_better: bool = True
    smallest_effect: float | None = None
    origin: str | None = None
    deployment: str = "leave-one-out on the held-out items"


METRICS = {
    metric.name: metric
    for metric in (
        Metric(ALIGNMENT, "mean cosine", 4, smallest_effect=0.002, origin="mean_vector"),
        Metric("cosine_p05", "cosine, 5 % quantile"),
        Metric("cosine_p50", "cosine, median"),
        Metric("cosine_p95", "cosine, 95 % quantile"),
        Metric("skill", "skill over a constant vector"),
        Metric("spearman", "Spearman", smallest_effect=0.005, origin="mean_vector"),
        Metric("mrr", "MRR", smallest_effect=0.01, origin="chance"),
        Metric(RETRIEVAL, "Recall@1", smallest_effect=0.01, origin="chance"),
        Metric("gate_augrc", "gate AUGRC", higher_is_better=False, smallest_effect=0.005),
        Metric("gate_accept_rate", "gate accept rate"),
        Metric("spec_cosine", "spec. cosine"),
        Metric("spectral_excess", "excess", 5),
        Metric("gradient_ratio", "gradient ratio", 5),
        Metric("spread_" + RETRIEVAL, "Recall@1", higher_is_better=False),
        Metric("spread_mrr", "MRR", higher_is_better=False),
        Metric("spread_accept_top1", "accept rate (top-1)", higher_is_better=False),
        Metric("spread_accept_margin", "accept rate (margin)", higher_is_better=False),
    )
}
# The columns that every experiment's CSV shares, in their published order.
PUBLISHED = (
    *(ALIGNMENT, "cosine_p05", "cosine_p50", "cosine_p95", "skill", "spearman"),
    *(RETRIEVAL, "recall_at_5", "recall_at_10", "mrr", "gate_augrc", "gate_accept_rate"),
)
# What a map is judged by over the amount of data, in the order of the reports.
JUDGED = (ALIGNMENT, "spearman", RETRIEVAL, "mrr")
HEADLINES = (ALIGNMENT, RETRIEVAL)
SMALLEST_EFFECTS = {name: metric.smallest_effect for name, metric in METRICS.items() if metric.smallest_effect}


def label(name: str) -> str:
    """Return what a metric is called in a text."""
    return METRICS[name].label
