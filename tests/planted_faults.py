"""Plant faults in a copy of the package, one at a time, and say which half of `tox -e gate` fails on each, and how.

    python tests/planted_faults.py [--out docs/calibration/planted-faults.md]

The halves: the tests of what the gate measures with, and the small grid held to its baseline, here on the second
shipped pair alone, which is the faster one, and the experiment that uses the faulty module.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Fault:
    """A change of one line: what it means, the file, the line's text before and after, and the experiment it is in."""

    meaning: str
    file: str
    before: str
    after: str
    experiment: str = "elbow"


FAULTS = (
    Fault(
        "loss: sign of the cosine gradient",
        "alignment/losses.py",
        "inverse.mul_(-1 / z.shape[-2])",
        "inverse.mul_(1 / z.shape[-2])",
    ),
    Fault(
        "loss: spectral term summed over bins, not averaged",
        "alignment/losses.py",
        "/ (bins * batch)",
        "/ batch",
        "spectral",
    ),
    Fault(
        "loss: norm penalty forgets the teacher",
        "alignment/losses.py",
        "error = z_length - target_length",
        "error = z_length",
        "spectral",
    ),
    Fault("selection: least dense first", "alignment/selection.py", "np.argsort(-density", "np.argsort(density"),
    Fault("selection: one item too few", "alignment/selection.py", "order[:count]", "order[: count - 1]"),
    Fault(
        "ranks: off by one",
        "evaluation/found.py",
        "above = _count(similarity, best + _tie(similarity), above=True)",
        "above = 1 + _count(similarity, best + _tie(similarity), above=True)",
    ),
    Fault(
        "ranks: a query may find itself",
        "evaluation/found.py",
        "similarity[named, asked.own[rows][named]] = -torch.inf",
        "similarity[named, asked.own[rows][named]] = 1.0",
    ),
    Fault(
        "deployment: query and index swapped",
        "evaluation/deployment.py",
        'Deployment("query_adapter", "query adapter", "mapped", "teacher")',
        'Deployment("query_adapter", "query adapter", "teacher", "mapped")',
    ),
    Fault(
        "deployment: own item not left out",
        "evaluation/deployment.py",
        "Part(None, self.relevant, self.own, self.mates)",
        "Part(None, self.relevant, None, self.mates)",
    ),
    Fault(
        "deployment: training items missing from the index",
        "experiments/fits.py",
        "return task_of(pair)",
        "return task_of(pair).alone",
    ),
    Fault(
        "gate: a query is its own nearest neighbour",
        "evaluation/gate.py",
        "index_labels=labels, own=own, ks=(1,)",
        "index_labels=labels, ks=(1,)",
    ),
    Fault(
        "gate: scores in the wrong order",
        "evaluation/gate.py",
        'order = np.argsort(-scores, kind="stable")',
        'order = np.argsort(scores, kind="stable")',
    ),
    Fault(
        "pairing: the pool does not follow the seed",
        "experiments/fits.py",
        "draw_pool(fitted_on(pair, fit_on).train, seed)",
        "draw_pool(fitted_on(pair, fit_on).train, 0)",
    ),
    Fault(
        "leak: the map is trained on the test items",
        "experiments/fits.py",
        "draw_pool(fitted_on(pair, fit_on).train, seed)",
        "draw_pool(pair.holdout.test, seed)",
    ),
    Fault(
        "tuning: lengths are compared on the items they are trained on",
        "alignment/tuning.py",
        "    inner = inner_split(groups)\n",
        "    inner = (split := inner_split(groups)) and split._replace(check=split.fit)\n",
    ),
    Fault(
        "ridge: the penalty is chosen on the items it is fitted on",
        "alignment/closed_form.py",
        "penalty = _best_penalty(draft, teacher, inner.check, fitted)",
        "penalty = _best_penalty(draft, teacher, inner.fit, fitted)",
    ),
    Fault(
        "training: learning rate ten times too high",
        "alignment/training.py",
        "step(config.learning_rate",
        "step(10 * config.learning_rate",
    ),
    Fault(
        "statistics: a standard error without its root",
        "verdicts/statistics.py",
        "sample.std(ddof=1) / math.sqrt(len(sample))",
        "sample.std(ddof=1) / len(sample)",
    ),
    Fault(
        "judge: the gain is not counted from the origin",
        "verdicts/curve.py",
        "pair.contrast(pair.difference(1.0, 0.0))",
        "pair.contrast([0.0, 1.0])",
    ),
    Fault(
        "judge: the last doubling with its sign flipped",
        "verdicts/last_doubling.py",
        "return high - low, not",
        "return low - high, not",
    ),
    Fault("statistics: unpaired seeds accepted", "verdicts/ab.py", "if left != right:", "if False:"),
)
GATE = ["--profile", "gate", "--pair", "smollm2-mpnet", "--regression", "strict"]
CHANGES = ("regressed", "missing", "incomparable", "improved", "inconclusive")  # the first three fail


def run(root, *words):
    """Run pytest in the copy; return its exit code and output."""
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *words, "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@contextmanager
def planted(root, fault):
    """Put the fault into the copy for as long as the block runs."""
    path = root / "embalign" / fault.file
    text = path.read_text(encoding="utf-8")
    if fault.before not in text:
        raise SystemExit(f"{fault.file} has no {fault.before!r}: the list of faults is out of date")
    path.write_text(text.replace(fault.before, fault.after), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def line_of(root, meaning, experiments):
    """Run both halves of the gate; return their line of the table, bold where they fail."""
    code, output = run(root, "benchmark/", "-k", experiments, *GATE, "--workers", str(os.cpu_count()))
    found = dict.fromkeys(re.findall(r"^\w+ on \S+, (\w+): (\w+)", output, re.MULTILINE))
    metrics = {kind: ", ".join(f"`{metric}`" for metric, said in found if said == kind) for kind in CHANGES}
    words = "; ".join(f"{kind} {names}" for kind, names in metrics.items() if names) or "ok"
    grid = f"**fails**: {words}" if code else words
    # Examples that failed are tried again first: those of one fault would be found in all that follow.
    shutil.rmtree(root / ".hypothesis", ignore_errors=True)
    code, output = run(root, "tests", "-m", "instrument", "--hypothesis-seed=0")
    failed = dict.fromkeys(re.findall(r"FAILED tests/[\w.]+::(\w+)", output))
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    tests = f"**fail**: `{next(iter(failed), 'error')}`{more}" if code else "pass"
    line = f"| {meaning} | {grid} | {tests} |"
    print(line, flush=True)
    return line


def main():
    """Plant every fault and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration" / "planted-faults.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "copy"
        ignored = shutil.ignore_patterns(".git", ".tox", ".embalign", ".hypothesis", "__pycache__", "reports")
        shutil.copytree(ROOT, root, ignore=ignored)
        sound = line_of(root, "none: the code as it is", "elbow or spectral")
        if "**" in sound:
            raise SystemExit("the check fails on the code as it is: fix that first")
        lines = []
        for fault in FAULTS:
            with planted(root, fault):
                lines.append(line_of(root, fault.meaning, fault.experiment))
    missed = sum("**" not in line for line in lines)
    regressed = sum("**fails**" in line for line in lines)
    text = "\n".join(
        [
            "# Faults planted in the code, and what catches them",
            "",
            f"`tox -e gate` fails on {len(FAULTS) - missed} of {len(FAULTS)} faults. It has two halves: tests of "
            "what it measures with (losses, training, selection, scores, statistics), and a small grid held to its "
            f"baseline, here on `smollm2-mpnet`. The grid alone fails on {regressed}: a change for the better is "
            "reported and does not fail, a fault in the statistics changes no metric, and one that the metrics hardly "
            "feel is no regression. That is why the instrument is tested too.",
            "",
            "```\npython tests/planted_faults.py\n```",
            "",
            "| fault | grid against baseline | tests of the instrument |",
            "|:--|:--|:--|",
            sound,
            *lines,
            "",
        ]
    )
    arguments.out.write_text(text, encoding="utf-8")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
