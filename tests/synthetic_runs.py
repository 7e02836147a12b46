"""Small runs of both experiments with made-up values: every table that their reports and conclusions read."""

import itertools

import numpy as np
import pandas as pd

from embalign.evaluation.by_label import pack
from embalign.verdicts.worlds import broken_stick, scaled_log

SEEDS, LABELS = 5, 12
RATIOS = [0.01, 0.05, 0.10, 0.20, 0.50, 1.00]
METRICS = ("cosine_mean", "spearman", "recall_at_1", "mrr", "gate_augrc")
BY_LABEL = ("cosine_mean", "recall_at_1", "mrr")
DIGEST = "0" * 64


def about(experiment, **changes):
    """The provenance of a run on a pair whose name holds a digit."""
    return {
        "experiment": experiment,
        "pair": "pair2",
        "folder": "benchmark/pair2",
        "profile": "quick",
        "seeds": list(range(SEEDS)),
        "config": {"steps": 400, "learning_rate": 0.0002},
        "data": {
            "pair_sha256": DIGEST,
            "draft": {"model": "draft-0.5b", "dimension": 48},
            "teacher": {"model": "teacher", "dimension": 64},
        },
        "commit": {"id": "f" * 40, "dirty": False},
    } | changes


def elbow():
    """Frames of experiment 1: a corner at 10 % of the data, the densest items first no help."""
    generator = np.random.default_rng(0)
    of_label = generator.normal(0, 0.05, LABELS)
    heights = broken_stick(0.1)(scaled_log(np.array(RATIOS)))
    lines = []
    for policy, budget in itertools.product(("random", "density"), ("steps", "epochs", "closed_form")):
        for (ratio, height), seed in itertools.product(zip(RATIOS, heights, strict=True), range(SEEDS)):
            shift = -0.05 * (policy == "density") * (ratio < 1)
            values = 0.3 + 0.5 * height + shift + of_label + generator.normal(0, 0.01, LABELS)
            line = {"policy": policy, "budget": budget, "ratio": ratio, "n_train": round(2000 * ratio), "seed": seed}
            of_metric = {metric: values * (0.9 if metric == "recall_at_1" else 1.0) for metric in METRICS}
            line |= {metric: found.mean() for metric, found in of_metric.items()} | {"n_over_d": 2000 * ratio / 48}
            lines.append(line | {f"{metric}_by_label": pack(of_metric[metric]) for metric in BY_LABEL})
    references = pd.DataFrame(
        [
            {"reference": name, "seed": seed} | dict.fromkeys(METRICS, level)
            for name, level in {
                "mean_vector": 0.2,
                "untrained": 0.3,
                "chance": 0.1,
                "draft": 0.4,
                "teacher": 0.9,
            }.items()
            for seed in range(SEEDS)
        ]
    )
    trajectory = pd.DataFrame(
        [
            {"policy": "random", "ratio": ratio, "n_train": round(2000 * ratio), "seed": seed}
            | {f"cosine_mean_step{step:04d}": height * step / 400 for step in (200, 400)}
            for (ratio, height), seed in itertools.product(zip(RATIOS, heights, strict=True), range(3))
        ]
    )
    frames = {"data_ratio_vs_metrics": pd.DataFrame(lines), "references": references, "trajectory": trajectory}
    return {name: frame.assign(pair="pair2", status="ok") for name, frame in frames.items()}


def spectral():
    """Frames of experiment 2: no effect at the memo's λ, harm shared with the norm penalty where the term is strong."""
    generator = np.random.default_rng(0)
    common = generator.normal(0.6, 0.02, SEEDS)
    settings = [("raw", 0.01), ("unit", 0.01), ("raw_gradient_ratio", 1.0)]
    arms = [("baseline", "none", 0.0), ("ridge", "none", 0.0)]
    arms += [(arm, *setting) for arm in ("spectral", "signed_permutation") for setting in settings]
    arms += [("norm_only", *setting) for setting in settings if setting[0] != "unit"]
    lines = []
    for (arm, convention, strength), seed in itertools.product(arms, range(SEEDS)):
        effect = -0.05 if convention == "raw_gradient_ratio" else 0.0
        line = {"arm": arm, "convention": convention, "lambda": strength, "draw": 0, "seed": seed, "weight": strength}
        line |= dict.fromkeys(METRICS, 0.7 + generator.normal(0, 0.001))
        line |= {"cosine_mean": common[seed] + effect + generator.normal(0, 0.0003), "spec_cosine": 0.8}
        lines.append(line | {"spec_mse": 0.1, "spectral_excess": generator.normal(0, 0.001), "gradient_ratio": 0.01})
    control = pd.DataFrame(
        [
            {"arm": arm, "draw": draw, "seed": seed, "cosine_mean": 0.9 + gain + generator.normal(0, 1e-3)}
            for arm, draw, gain in (
                ("baseline", 0, 0),
                ("spectral", 0, 0.02),
                ("signed_permutation", 0, 0),
                ("signed_permutation", 1, 0),
            )
            for seed in range(SEEDS)
        ]
    )
    spectrum = pd.DataFrame(
        [
            {"curve": curve, "convention": "raw" if curve == "spectral" else "none", "lambda": 0.01, "seed": 0}
            | {f"band_{band:02d}": height for band in range(4)}
            | {f"{prefix}cosine_{tenth:02d}": 0.05 * tenth + 0.4 for prefix in ("", "spec_") for tenth in range(4)}
            for curve, height in {
                "teacher": 0.9,
                "permuted_low": 0.8,
                "permuted_high": 1.0,
                "baseline": 0.85,
                "spectral": 0.88,
            }.items()
        ]
    )
    frames = {"spectral_ab": pd.DataFrame(lines), "positive_control": control, "spectrum": spectrum}
    return {name: frame.assign(pair="pair2", status="ok") for name, frame in frames.items()}
