"""Print the table that the defaults of TrainingConfig were chosen from, on training data alone.

    python benchmark/tune_training.py [--pair NAME ...] [--seeds 2]

A fifth of the training items, whole label groups, is set aside for validation; the test set is never read. Each line is
one setting trained on the rest: validation mean cosine and Recall@1 (draft only: mapped vectors search each other), as
differences to ridge, mean over the seeds.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

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

BATCHES, RATES, DECAYS, STEPS = (32, 64, 256), (1e-4, 2e-4, 4e-4), (0.0, 10.0), (200, 400, 800)


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
        fit, check = rows[inner.train], rows[inner.test]
        checked = labels[inner.test].tolist()

        def validate(weights, check=check, checked=checked, pair=pair):
            mapped = apply_map(weights, pair.draft[check])
            return cosines(mapped, pair.teacher[check]).mean(), leave_one_out(mapped, checked).recall[1]

        ridge = validate(fit_ridge(pair.draft[fit], pair.teacher[fit]).weights)
        print(f"\n{name}: {len(fit)} to fit, {len(check)} to check; ridge cosine {ridge[0]:.4f}, R@1 {ridge[1]:.4f}")
        print(f"{'batch':>6} {'rate':>8} {'decay':>6} {'steps':>6} {'cosine - ridge':>15} {'R@1 - ridge':>12}")
        for batch, rate, decay, steps in itertools.product(BATCHES, RATES, DECAYS, STEPS):
            config = TrainingConfig(steps=steps, batch_size=batch, learning_rate=rate, weight_decay=decay)
            found = [
                validate(train_map(pair.draft[fit], pair.teacher[fit], seed=seed, config=config).weights)
                for seed in range(arguments.seeds)
            ]
            cosine, recall = (sum(values) / len(found) for values in zip(*found, strict=True))
            setting = f"{batch:6d} {rate:8.0e} {decay:6.1f} {steps:6d}"
            print(f"{setting} {cosine - ridge[0]:15.4f} {recall - ridge[1]:12.4f}", flush=True)


if __name__ == "__main__":
    main()
