"""Print the table that the defaults of TrainingConfig were chosen from, on training data alone.

    python benchmark/tune_training.py [--pair NAME ...] [--seeds 2]

A fifth of the training items, whole label groups, is set aside for validation; the test set is never read. Each line is
one setting trained on the rest, or on a share of it: validation mean cosine and Recall@1 (draft only: mapped vectors
search each other), as differences to ridge of the same items, mean over the seeds.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from embalign.alignment.closed_form import fit_ridge
from embalign.alignment.config import TrainingConfig
from embalign.alignment.training import apply_map, train_map
from embalign.evaluation.retrieval import leave_one_out
from embalign.evaluation.similarity import cosines
from embalign.pairs.config import find_pair
from embalign.pairs.holdout import split_holdout
from embalign.pairs.pair import load_pair

SHARES, BATCHES, RATES, STEPS = (0.1, 1.0), (32, 64, 128), (1e-4, 2e-4, 4e-4), (100, 200, 400, 800)


def main() -> None:
    """Train every setting on every pair and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", nargs="+", default=["qwen-sentence-align", "smollm2-mpnet"])
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    for name in arguments.pair:
        pair = load_pair(find_pair(name, ROOT))
        rows = pair.holdout.train
        labels = pair.labels[rows]
        inner = split_holdout([pair.items[i].text for i in rows], labels.tolist())
        whole, check = np.random.default_rng(0).permutation(rows[inner.train]), rows[inner.test]
        checked = labels[inner.test].tolist()

        def validate(weights, check=check, checked=checked, pair=pair):
            mapped = apply_map(weights, pair.draft[check])
            return cosines(mapped, pair.teacher[check]).mean(), leave_one_out(mapped, checked).recall[1]

        for share in SHARES:
            fit = whole[: round(share * len(whole))]
            task = pair.draft[fit], pair.teacher[fit]
            ridge = validate(fit_ridge(*task, pair.labels[fit]).weights)
            print(
                f"\n{name}: {len(fit)} to fit, {len(check)} to check; ridge cosine {ridge[0]:.4f}, R@1 {ridge[1]:.4f}"
            )
            print(f"{'batch':>6} {'rate':>8} {'steps':>6} {'draws/n':>8} {'cosine - ridge':>15} {'R@1 - ridge':>12}")
            for batch, rate, steps in itertools.product(BATCHES, RATES, STEPS):
                config = TrainingConfig(batch_size=batch, learning_rate=rate)
                found = [
                    validate(train_map(*task, seed=seed, config=config, steps=steps).weights)
                    for seed in range(arguments.seeds)
                ]
                cosine, recall = (sum(values) / len(found) for values in zip(*found, strict=True))
                setting = f"{batch:6d} {rate:8.0e} {steps:6d} {config.draws_over_n(steps, len(fit)):8.1f}"
                print(f"{setting} {cosine - ridge[0]:15.4f} {recall - ridge[1]:12.4f}", flush=True)


if __name__ == "__main__":
    main()
