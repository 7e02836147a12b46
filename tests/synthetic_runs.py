"""Small runs of each experiment with made-up values: every table that its report and conclusion read."""

import itertools

import numpy as np
import pandas as pd
from worlds import broken_stick, scaled_log

from embalign.evaluation.measurement import Failure, Measurement
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
    for policy, budget in itertools.product(("random", "density"), ("tuned", "steps", "epochs", "closed_form")):
        for (ratio, height), seed in itertools.product(zip(RATIOS, heights, strict=True), range(SEEDS)):
            shift = -0.05 * (policy == "density") * (ratio < 1)
            values = 0.3 + 0.5 * height + shift + of_label + generator.normal(0, 0.01, LABELS)
            of_metric = {metric: values * (0.9 if metric == "recall_at_1" else 1.0) for metric in METRICS}
            facts = {
                "n_train": round(2000 * ratio),
                "n_over_d": 2000 * ratio / 48,
                "steps": 400,
                "draws_over_n": 12.8 / ratio,
            }
            along = pd.DataFrame({"step": [200, 400], "cosine_mean": [height / 2, height]})
            found = Measurement(
                {metric: float(of_label.mean()) for metric, of_label in of_metric.items()} | facts,
                {metric: of_metric[metric].astype(np.float32) for metric in BY_LABEL},
                {"trajectory": along} if budget == "steps" else {},
            )
            cells.append(({"policy": policy, "budget": budget, "ratio": ratio}, seed, found))
    levels = {"mean_vector": 0.2, "untrained": 0.3, "chance": 0.1, "draft": 0.4, "teacher": 0.9}
    references = []
    for (name, level), seed in itertools.product(levels.items(), range(SEEDS)):
        values = {metric: (level + of_label).astype(np.float32) for metric in BY_LABEL}
        metrics = dict.fromkeys(METRICS, float((level + of_label).mean()))
        references.append(({"reference": name}, seed, Measurement(metrics | (SANE if name == "draft" else {}), values)))
    sizes = pd.DataFrame({"index_size": [60, 300]}).assign(
        **{f"{prefix}{metric}": [0.6, 0.4] for prefix in ("", "no_map_", "teacher_") for metric in SEARCHED}
    )
    by_size = [({"deployment": name}, 0, Measurement({}, tables={"sizes": sizes})) for name in DEPLOYMENTS]
    tables = {"data_ratio_vs_metrics": cells, "references": references, "index_size": by_size}
    return {name: results(of_table) for name, of_table in tables.items()}


def with_failures(found, reason, **settings):
    """The same results after the cells with these settings failed: all of them if none is given."""
    cells = []
    for place, row in found.frame.iterrows():
        identity = {name: row[name] for name in found.identity}
        if all(row[name] == value for name, value in settings.items()):
            cells.append((identity, Failure(reason)))
            continue
        metrics = row.drop([*found.identity, "status"]).dropna().to_dict()
        of_label = {name: values[place] for name, values in found.by_label.items() if not np.isnan(values[place]).all()}
        rows = {name: table[table["cell"] == place].drop(columns="cell") for name, table in found.tables.items()}
        tables = {name: own.reset_index(drop=True) for name, own in rows.items() if len(own)}
        cells.append((identity, Measurement(metrics, of_label, tables)))
    return collect(cells)


FAMILIES = {"ridge": 0.50, "deshrunk": 0.58, "contrastive": 0.581, "cosine": 0.46, "my_map": 0.2}


def maps():
    """Results of the bake-off: deshrunk and contrastive cannot be told apart as query adapters, CSLS helps each family.

    A map of a user's own is far behind, and loses to no map.
    """
    generator = np.random.default_rng(3)
    of_label = generator.normal(0, 0.05, LABELS)
    cells = []
    for ratio, (family, level), seed in itertools.product((0.1, 1.0), FAMILIES.items(), range(SEEDS)):
        metrics = {"n_train": round(2000 * ratio), "n_over_d": 2000 * ratio / 48, "cosine_mean": 0.9 - level / 2}
        values = {}
        for place, use in enumerate(DEPLOYMENTS[:2]):
            for search in ("", "csls_"):
                height = level - 0.1 * (ratio < 1) + 0.04 * (search == "csls_") + 0.02 * place
                ndcg = height + of_label + generator.normal(0, 0.004, LABELS)
                prefix = f"{use}_{search}"
                values |= {f"{prefix}ndcg_at_10": ndcg, f"{prefix}retention_ndcg_at_10": ndcg / 0.9}
                metrics |= {f"{prefix}{name}": height for name in SEARCHED} | {f"{prefix}inner": height + 0.01}
            metrics |= {f"{use}_bytes": 4e5, f"{use}_multiplications": 1e5}
        metrics |= {name: float(of_labels.mean()) for name, of_labels in values.items()}
        tries = pd.DataFrame(
            {"deployment": DEPLOYMENTS[:2], "setting": "penalty 1", "ndcg_at_10": level, "taken": True}
        )
        found = Measurement(
            metrics, {name: of_labels.astype(np.float32) for name, of_labels in values.items()}, {"tries": tries}
        )
        cells.append(({"ratio": ratio, "family": family}, seed, found))
    levels = {"mean_vector": 0.1, "untrained": 0.01, "chance": 0.01, "draft": 0.4, "teacher": 0.9}
    references = []
    for (name, level), seed in itertools.product(levels.items(), range(SEEDS)):
        metrics = dict.fromkeys(METRICS, level) | {f"{use}_csls_ndcg_at_10": level for use in DEPLOYMENTS[:2]}
        csls = tuple(f"{use}_csls_ndcg_at_10" for use in DEPLOYMENTS[:2])
        values = {metric: (level + of_label).astype(np.float32) for metric in (*BY_LABEL, *csls)}
        references.append(({"reference": name}, seed, Measurement(metrics | (SANE if name == "draft" else {}), values)))
    return {"map_bakeoff": results(cells), "references": results(references)}


START_NORMS = {"small": 0.05, "linear": 0.6}


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
    """Results of experiment 2: no effect at the memo's λ but for the linear start, where it is worse below the margin.

    A strong term does harm, as the norm penalty does, the unit term is inert, and the phase loss helps by shrinking. As
    a query adapter the map is worse than no map, as an index migration better.
    """
    generator = np.random.default_rng(0)
    common = generator.normal(0.6, 0.02, SEEDS)
    settings = [("raw", 0.01), ("unit", 0.01), ("raw_gradient_ratio", 1.0)]
    cells = []
    trained = [(*arm, "small") for arm in arms(settings)] + [(*arm, "linear") for arm in arms(settings[:1])]
    trained += [(arm, "raw_gradient_ratio", 0.1, "small") for arm in ("phase", "scrambled_phase", "shrink")]
    for arm, convention, strength, init in (*trained, ("ridge", "none", 0.0, "none")):
        for seed in range(SEEDS):
            effect = {1.0: -0.05, 0.1: 0.02}.get(strength, 0.0)
            if init == "linear" and arm != "baseline":
                effect = -0.0015
            metrics = dict.fromkeys(METRICS, 0.7 + generator.normal(0, 0.001))
            metrics |= {"cosine_mean": common[seed] + effect + generator.normal(0, 0.0003), "spec_cosine": 0.8}
            metrics |= {"spec_mse": 0.1, "spectral_excess": generator.normal(0, 0.001)}
            metrics |= {"gradient_ratio": 2e-5 if convention == "unit" else 0.01}
            metrics |= {"output_norm": START_NORMS.get(init, 0.7)}
            setting = {"arm": arm, "convention": convention, "lambda": strength, "init": init, "draw": 0}
            ndcg = {use: level + effect for use, level in OF_BASELINE.items()}
            cells.append((setting, seed, Measurement(metrics | {"weight": strength}) | deployed(ndcg, generator)))
    for name, seed in itertools.product(("untrained", *LEVELS), range(SEEDS)):
        ndcg = OF_UNTRAINED if name == "untrained" else dict.fromkeys(OF_BASELINE, LEVELS[name])
        setting = {"arm": name, "convention": "none", "lambda": 0.0, "init": "none", "draw": 0}
        others = Measurement(dict.fromkeys(METRICS, ndcg["draft_only"]))
        cells.append((setting, seed, others | deployed(ndcg, generator)))
    gains = {("baseline", 0): 0, ("spectral", 0): 0.005, ("signed_permutation", 0): 0, ("signed_permutation", 1): 0}
    control = [
        ({"arm": arm, "draw": draw}, seed, Measurement(dict.fromkeys((NDCG[0], "cosine_mean"), 0.9 + gain + own)))
        for (arm, draw), gain in gains.items()
        for seed, own in enumerate(generator.normal(0, 1e-3, SEEDS))
    ]
    curves = {"teacher": 0.9, "permuted_low": 0.8, "permuted_high": 1.0, "baseline": 0.85, "spectral": 0.88}
    spectrum = []
    for curve, height in curves.items():
        tables = {"bands": pd.DataFrame({"band": range(4), "amplitude": height})}
        if curve in ("baseline", "spectral"):
            cosine = 0.4 + 0.05 * np.arange(4)
            tables["groups"] = pd.DataFrame({"group": range(4), "cosine": cosine, "spec_cosine": cosine})
        setting = {"curve": curve, "convention": "raw" if curve == "spectral" else "none", "lambda": 0.01}
        setting["init"] = "small" if curve in ("baseline", "spectral") else "none"
        spectrum.append((setting, 0, Measurement({}, tables=tables)))
    tables = {"spectral_ab": cells, "positive_control": control, "spectrum": spectrum}
    return {name: results(of_table) for name, of_table in tables.items()}


TERMS = {"baseline": "none", "spectral": "amplitude", "signed_permutation": "scrambled", "norm_only": "norm"}
TARGETS = (0.05, 0.1, 0.2)
GATE_INDEXES = {"whole corpus": 10, "held-out items": 2}
# Share right and columns' beginning of each deployment and index, the query adapter in the whole corpus the worst.
GATE_USES = {
    ("query_adapter", "whole corpus"): (0.35, "query_adapter_"),
    ("query_adapter", "held-out items"): (0.6, "query_adapter_held_out_"),
    ("index_migration", "whole corpus"): (0.5, "index_migration_"),
    ("index_migration", "held-out items"): (0.7, "index_migration_held_out_"),
    ("draft_only", "whole corpus"): (0.6, "draft_only_"),
    ("draft_only", "held-out items"): (0.75, ""),
}
STUDIED = (("query_adapter", "whole corpus"), ("draft_only", "held-out items"))


def gate():
    """Results of the gate: draft only has a threshold at a risk of 20 % in the small index, the query adapter none.

    The loss does not steady styles.
    """
    generator = np.random.default_rng(0)
    ratios = [({"ratio": ratio}, seed, accepted(generator, STUDIED)) for ratio in (0.1, 1.0) for seed in range(SEEDS)]
    of_arms = []
    for arm, convention, strength in arms([("raw", 0.05), ("raw_gradient_ratio", 1.0)]):
        setting = {"term": TERMS[arm], "convention": convention, "lambda": strength}
        found = [accepted(generator, STUDIED) | steadied(generator) for _ in range(SEEDS)]
        of_arms += [(setting, seed, measured) for seed, measured in enumerate(found)]
    checks = [
        (
            deployment,
            index,
            GATE_INDEXES[index],
            target,
            *((3, 48, 8.0, 0.05, 0.3) if has_threshold(before, target) else (0, 0, 0.0, np.nan, np.nan)),
        )
        for (deployment, index), (_, before) in GATE_USES.items()
        for target in TARGETS
    ]
    outputs = {"id": ["a", "b"], "label": ["x", "x"]}
    for _, before in GATE_USES.values():
        outputs |= {f"{before}top1": [0.95, 0.8], f"{before}margin": [0.1, 0.2], f"{before}correct": [0.75, 0.0]}
    scores = {"query_adapter": "margin", "index_migration": "top1", "draft_only": "top1"}
    tables = {
        "choice": pd.DataFrame(scores.items(), columns=["deployment", "score"]),
        "check": pd.DataFrame(
            checks,
            columns=[
                *("deployment", "index", "index_size", "target", "folds", "accepted", "wrong"),
                *("risk_low", "risk_high"),
            ],
        ),
        "outputs": pd.DataFrame(outputs),
    }
    alone = {"teacher_accuracy": 0.9, "draft_accuracy": 0.5, "draft_ndcg_at_10": 0.45}
    exported = [({"map": "exported"}, 0, accepted(generator, GATE_USES) | Measurement(alone | SANE, tables=tables))]
    found = {"gate_ratio": ratios, "gate_arm": of_arms, "gate_deployed": exported}
    return {name: results(of_table) for name, of_table in found.items()}


def has_threshold(before, target):
    """Whether a use of the made-up map has a certified threshold."""
    return before == "" and target == 0.2


def accepted(generator, uses):
    """A map's accept curves and certificates in some uses, and its cascade."""
    coverage = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
    metrics, curves, certificates = {}, [], []
    for deployment, index in uses:
        right, before = GATE_USES[deployment, index]
        where = {"deployment": deployment, "index": index, "index_size": GATE_INDEXES[index]}
        scores = ("top1", "margin") if deployment == "index_migration" else ("top1", "margin", "oracle")
        metrics |= {f"{before}accuracy": right, f"{before}teacher_agreement": 0.3}
        for score in scores:
            areas = ("augrc", "aurc", "e_aurc")
            metrics |= {f"{before}{score}_{area}": (1 - right) / 2 + generator.normal(0, 1e-3) for area in areas}
            values = {"coverage": coverage, "threshold": 1 - coverage / 2, "risk": (1 - right) * (0.5 + coverage / 2)}
            curves.append(pd.DataFrame(where | {"score": score} | values))
        for score, target in itertools.product(("top1", "margin"), TARGETS):
            passed = {"coverage": 0.2, "threshold": 0.9, "bound": 0.19, "lacking": None}
            failed = {"coverage": 0.0, "threshold": None, "bound": None, "lacking": None if "query" in before else 15}
            own = passed if has_threshold(before, target) else failed
            certificates.append(where | {"score": score, "target": target} | own)
    tables = {"accept_curve": pd.concat(curves, ignore_index=True), "certificates": pd.DataFrame(certificates)}
    return Measurement(metrics, tables=tables) | cascaded()


def cascaded():
    """The cascade of a map between an nDCG@10 of 0.4 and 0.8."""
    sent = np.linspace(0, 1, 21)
    bends = {"top1": 0.9, "margin": 0.7, "random": 1.0, "oracle": 0.4}
    cascade = pd.concat(
        [
            pd.DataFrame({"score": name, "sent": sent, "ndcg_at_10": 0.4 + 0.4 * sent**bend})
            for name, bend in bends.items()
        ],
        ignore_index=True,
    )
    cascade = cascade.assign(
        recall_at_1=cascade["ndcg_at_10"] + 0.1, deployment="query_adapter", index_size=GATE_INDEXES["whole corpus"]
    )
    metrics = {"query_adapter_ndcg_at_10": 0.4, "teacher_ndcg_at_10": 0.8}
    metrics |= {"query_adapter_recall_at_1": 0.5, "teacher_recall_at_1": 0.9}
    for (name, bend), level in itertools.product(bends.items(), (0.95, 0.9, 0.99)):
        metrics[f"query_adapter_{name}_sent_{round(100 * level):02d}"] = (2 * level - 1) ** (1 / bend)
    return Measurement(metrics, tables={"cascade": cascade})


def steadied(generator):
    """How steady a map is over two styles, in both uses that styles are asked in."""
    names = ("recall_at_1", "mrr", "ndcg_at_10", "accept_top1", "accept_margin")
    full = [before + name for before in ("query_adapter_", "") for name in names]
    spreads = [f"{before}spread_{name}" for before in ("query_adapter_", "") for name in names]
    metrics = {"styled_items": 60, "styled_groups": LABELS}
    metrics |= {name: 0.1 + generator.normal(0, 1e-3) for name in spreads}
    metrics |= {name.replace("spread_", "range_"): 0.2 for name in spreads}
    styles = pd.DataFrame([(n, s, 0.7) for n in full for s in ("plain", "upper")], columns=["metric", "style", "value"])
    values = {name: (metrics[name] + generator.normal(0, 0.01, LABELS)).astype(np.float32) for name in spreads}
    return Measurement(metrics, values, {"styles": styles})
