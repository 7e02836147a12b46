"""Small runs of each experiment with made-up values: every table that its report and conclusion read."""

import itertools

import numpy as np
import pandas as pd
from worlds import broken_stick, scaled_log

from embalign.evaluation.measurement import Measurement
from embalign.evaluation.results import collect

SEEDS, LABELS = 5, 12
RATIOS = [0.01, 0.05, 0.10, 0.20, 0.50, 1.00]
DEPLOYMENTS = ("query_adapter", "index_migration", "draft_only")
NDCG = tuple(f"{name}_ndcg_at_10" for name in DEPLOYMENTS)
SEARCHED = (
    *("recall_at_1", "recall_at_5", "recall_at_10", "mrr", "ndcg_at_10", "mate_recall_at_1", "retention_ndcg_at_10"),
    *("never_returned", "largest_hub"),
)
METRICS = (
    *("cosine_mean", "spearman", "recall_at_1", "mrr", "gate_augrc"),
    *(f"{name}_{metric}" for name in DEPLOYMENTS for metric in SEARCHED),
)
BY_LABEL = ("cosine_mean", "recall_at_1", "mrr", *NDCG, *(f"{name}_retention_ndcg_at_10" for name in DEPLOYMENTS))
# What the raw draft's reference says of a pair that nothing is wrong with.
SANE = {
    "neighbour_overlap": 0.4,
    "neighbour_overlap_unrelated": 0.01,
    "neighbour_overlap_z": 50.0,
    "neighbour_overlap_part_z": 20.0,
    "rows_slipped": 0,
    "distinct_draft": 1.0,
    "distinct_teacher": 1.0,
    "effective_groups": LABELS,
    "queries": 60,
    "index_size": 300,
}
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


def results(cells):
    """Results of cells, each given by its settings, seed and what was measured."""
    return collect([({"pair": "pair2", **settings, "seed": seed}, found) for settings, seed, found in cells])


def elbow():
    """Results of experiment 1: a corner at 10 % of the data, the densest items first no help."""
    generator = np.random.default_rng(0)
    of_label = generator.normal(0, 0.05, LABELS)
    heights = broken_stick(0.1)(scaled_log(np.array(RATIOS)))
    cells = []
    for policy, budget in itertools.product(("random", "density"), ("steps", "epochs", "closed_form")):
        for (ratio, height), seed in itertools.product(zip(RATIOS, heights, strict=True), range(SEEDS)):
            shift = -0.05 * (policy == "density") * (ratio < 1)
            values = 0.3 + 0.5 * height + shift + of_label + generator.normal(0, 0.01, LABELS)
            of_metric = {metric: values * (0.9 if metric == "recall_at_1" else 1.0) for metric in METRICS}
            facts = {"n_train": round(2000 * ratio), "n_over_d": 2000 * ratio / 48}
            found = Measurement(
                {metric: float(of_label.mean()) for metric, of_label in of_metric.items()} | facts,
                {metric: of_metric[metric].astype(np.float32) for metric in BY_LABEL},
            )
            cells.append(({"policy": policy, "budget": budget, "ratio": ratio}, seed, found))
    levels = {"mean_vector": 0.2, "untrained": 0.3, "chance": 0.1, "draft": 0.4, "teacher": 0.9}
    references = []
    for (name, level), seed in itertools.product(levels.items(), range(SEEDS)):
        values = {metric: (level + of_label).astype(np.float32) for metric in BY_LABEL}
        metrics = dict.fromkeys(METRICS, float((level + of_label).mean()))
        references.append(({"reference": name}, seed, Measurement(metrics | (SANE if name == "draft" else {}), values)))
    trajectory = []
    for (ratio, height), seed in itertools.product(zip(RATIOS, heights, strict=True), range(3)):
        steps = pd.DataFrame({"step": [200, 400], "cosine_mean": [height / 2, height]})
        found = Measurement({"n_train": round(2000 * ratio)}, tables={"trajectory": steps})
        trajectory.append(({"policy": "random", "ratio": ratio}, seed, found))
    sizes = pd.DataFrame({"index_size": [60, 300]}).assign(
        **{f"{prefix}{metric}": [0.6, 0.4] for prefix in ("", "no_map_", "teacher_") for metric in SEARCHED}
    )
    by_size = [({"deployment": name}, 0, Measurement({}, tables={"sizes": sizes})) for name in DEPLOYMENTS]
    tables = {"data_ratio_vs_metrics": cells, "references": references, "trajectory": trajectory, "index_size": by_size}
    return {name: results(of_table) for name, of_table in tables.items()}


def arms(settings):
    """Arms of experiment 2 at some settings: the norm penalty is no control of unit vectors."""
    yield "baseline", "none", 0.0
    for arm in ("spectral", "signed_permutation"):
        yield from ((arm, *setting) for setting in settings)
    yield from (("norm_only", *setting) for setting in settings if setting[0] != "unit")


# nDCG@10 of experiment 2's references, the same in every deployment, but for the untrained map.
LEVELS = {"draft": 0.5, "teacher": 0.9, "chance": 0.01}
OF_UNTRAINED = {"query_adapter": 0.01, "index_migration": 0.02, "draft_only": 0.45}
OF_BASELINE = {"query_adapter": 0.42, "index_migration": 0.6, "draft_only": 0.501}
DEPLOYMENT_FACTS = {"never_returned": 0.4, "largest_hub": 0.05}


def deployed(ndcg, generator):
    """The columns of each deployment, given its nDCG@10."""
    metrics, of_label = {}, {}
    for use, level in ndcg.items():
        values = level + generator.normal(0, 0.002, LABELS)
        values += (level - values.mean()) + generator.normal(0, 0.0003)
        of_label |= {f"{use}_ndcg_at_10": values, f"{use}_retention_ndcg_at_10": values / LEVELS["teacher"]}
        metrics |= {f"{use}_{name}": value for name, value in DEPLOYMENT_FACTS.items()}
    metrics |= {name: float(values.mean()) for name, values in of_label.items()}
    return Measurement(metrics, {name: values.astype(np.float32) for name, values in of_label.items()})


def spectral():
    """Results of experiment 2: no effect at the memo's λ; a strong term does harm, as the norm penalty does.

    As a query adapter the map is worse than no map, as an index migration better.
    """
    generator = np.random.default_rng(0)
    common = generator.normal(0.6, 0.02, SEEDS)
    settings = [("raw", 0.01), ("unit", 0.01), ("raw_gradient_ratio", 1.0)]
    cells = []
    for arm, convention, strength in (*arms(settings), ("ridge", "none", 0.0)):
        for seed in range(SEEDS):
            effect = -0.05 if convention == "raw_gradient_ratio" else 0.0
            metrics = dict.fromkeys(METRICS, 0.7 + generator.normal(0, 0.001))
            metrics |= {"cosine_mean": common[seed] + effect + generator.normal(0, 0.0003), "spec_cosine": 0.8}
            metrics |= {"spec_mse": 0.1, "spectral_excess": generator.normal(0, 0.001), "gradient_ratio": 0.01}
            setting = {"arm": arm, "convention": convention, "lambda": strength, "draw": 0}
            ndcg = {use: level + effect for use, level in OF_BASELINE.items()}
            cells.append((setting, seed, Measurement(metrics | {"weight": strength}) | deployed(ndcg, generator)))
    for name, seed in itertools.product(("untrained", *LEVELS), range(SEEDS)):
        ndcg = OF_UNTRAINED if name == "untrained" else dict.fromkeys(OF_BASELINE, LEVELS[name])
        setting = {"arm": name, "convention": "none", "lambda": 0.0, "draw": 0}
        others = Measurement(dict.fromkeys(METRICS, ndcg["draft_only"]))
        cells.append((setting, seed, others | deployed(ndcg, generator)))
    gains = {("baseline", 0): 0, ("spectral", 0): 0.02, ("signed_permutation", 0): 0, ("signed_permutation", 1): 0}
    control = [
        ({"arm": arm, "draw": draw}, seed, Measurement({"cosine_mean": 0.9 + gain + generator.normal(0, 1e-3)}))
        for (arm, draw), gain in gains.items()
        for seed in range(SEEDS)
    ]
    curves = {"teacher": 0.9, "permuted_low": 0.8, "permuted_high": 1.0, "baseline": 0.85, "spectral": 0.88}
    spectrum = []
    for curve, height in curves.items():
        tables = {"bands": pd.DataFrame({"band": range(4), "amplitude": height})}
        if curve in ("baseline", "spectral"):
            cosine = 0.4 + 0.05 * np.arange(4)
            tables["groups"] = pd.DataFrame({"group": range(4), "cosine": cosine, "spec_cosine": cosine})
        setting = {"curve": curve, "convention": "raw" if curve == "spectral" else "none", "lambda": 0.01}
        spectrum.append((setting, 0, Measurement({}, tables=tables)))
    tables = {"spectral_ab": cells, "positive_control": control, "spectrum": spectrum}
    return {name: results(of_table) for name, of_table in tables.items()}


TERMS = {"baseline": "none", "spectral": "amplitude", "signed_permutation": "scrambled", "norm_only": "norm"}


def gate():
    """Results of the gate: a threshold at a risk of 20 %, none at 10 or 5 %, styles that the loss does not steady."""
    generator = np.random.default_rng(0)
    ratios = [({"ratio": ratio}, seed, accepted(generator)) for ratio in (0.1, 1.0) for seed in range(SEEDS)]
    of_arms = []
    for arm, convention, strength in arms([("raw", 0.05), ("raw_gradient_ratio", 1.0)]):
        setting = {"term": TERMS[arm], "convention": convention, "lambda": strength}
        of_arms += [(setting, seed, accepted(generator) | steadied(generator)) for seed in range(SEEDS)]
    checks = [(0.05, 0, 0, 0), (0.1, 0, 0, 0), (0.2, 3, 48, 8)]
    outputs = {"id": ["a", "b"], "label": ["x", "x"], "top1": [0.9, 0.8], "margin": [0.1, 0.2], "correct": [1, 0]}
    tables = {
        "choice": pd.DataFrame({"score": ["top1"]}),
        "check": pd.DataFrame(checks, columns=["target", "folds", "accepted", "wrong"]),
        "outputs": pd.DataFrame(outputs),
    }
    exported = [({"map": "exported"}, 0, accepted(generator) | Measurement({}, tables=tables))]
    found = {"gate_ratio": ratios, "gate_arm": of_arms, "gate_deployed": exported}
    return {name: results(of_table) for name, of_table in found.items()}


def accepted(generator):
    """A map's accept curve and certificates."""
    scores, coverage = ("top1", "margin", "oracle"), np.array([0.25, 0.5, 0.75, 1.0])
    areas = {
        f"{score}_{area}": 0.1 + generator.normal(0, 1e-3) for score in scores for area in ("augrc", "aurc", "e_aurc")
    }
    curves = [
        pd.DataFrame({"score": score, "coverage": coverage, "threshold": 1 - coverage / 2, "risk": coverage / 4})
        for score in scores
    ]
    certificates = [
        {"score": score, "target": target, "coverage": 0.2 * (target == 0.2)}
        | ({"threshold": 0.9, "bound": 0.19, "lacking": None} if target == 0.2 else {"threshold": None, "lacking": 15})
        for score in ("top1", "margin")
        for target in (0.05, 0.1, 0.2)
    ]
    tables = {"accept_curve": pd.concat(curves, ignore_index=True), "certificates": pd.DataFrame(certificates)}
    return Measurement({"accuracy": 0.75, "teacher_agreement": 0.3, **areas}, tables=tables)


def steadied(generator):
    """How steady a map is over two styles."""
    names = ("recall_at_1", "mrr", "accept_top1", "accept_margin")
    metrics = {"styled_items": 60, "styled_groups": LABELS}
    metrics |= {f"spread_{name}": 0.1 + generator.normal(0, 1e-3) for name in names}
    metrics |= {f"range_{name}": 0.2 for name in names}
    styles = pd.DataFrame(
        [(n, s, 0.7) for n in names for s in ("plain", "upper")], columns=["metric", "style", "value"]
    )
    spreads = {f"spread_{n}": (metrics[f"spread_{n}"] + generator.normal(0, 0.01, LABELS)) for n in names}
    return Measurement(metrics, {n: v.astype(np.float32) for n, v in spreads.items()}, {"styles": styles})
