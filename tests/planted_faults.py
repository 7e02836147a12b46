"""Plant faults in a copy of the package, one at a time, and say what catches each: the merge gate or a test.

    python tests/planted_faults.py [--out docs/calibration/planted-faults.md]

The gate runs on the second shipped pair, which is the faster one; the tests are those of the module the fault is in.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@dataclass(frozen=True)
class Fault:
    """A change of one line: what it means, the file, the line's text before and after, and what should see it."""

    meaning: str
    file: str
    before: str
    after: str
    tests: str
    experiment: str = "elbow"


FAULTS = (
    Fault(
        "loss: sign of the cosine gradient",
        "alignment/gradients.py",
        "inverse * (-1 / len(z))",
        "inverse * (1 / len(z))",
        "test_losses.py test_training.py",
    ),
    Fault(
        "loss: spectral term summed over bins, not averaged",
        "alignment/gradients.py",
        "/ (bins * len(z))",
        "/ len(z)",
        "test_losses.py",
        "spectral",
    ),
    Fault(
        "loss: norm penalty forgets the teacher",
        "alignment/gradients.py",
        "error = length - target_length",
        "error = length",
        "test_losses.py",
        "spectral",
    ),
    Fault(
        "selection: least dense first",
        "alignment/selection.py",
        "np.argsort(-density",
        "np.argsort(density",
        "test_selection.py",
    ),
    Fault(
        "selection: one item too few",
        "alignment/selection.py",
        "order[:count]",
        "order[: count - 1]",
        "test_selection.py",
    ),
    Fault(
        "ranks: off by one",
        "evaluation/retrieval.py",
        "1 + halves / 2",
        "2 + halves / 2",
        "test_retrieval.py",
    ),
    Fault(
        "ranks: a query may find itself",
        "evaluation/retrieval.py",
        "(members @ members.T).fill_diagonal_(-torch.inf)",
        "(members @ members.T)",
        "test_retrieval.py",
    ),
    Fault(
        "gate: a query is its own nearest neighbour",
        "evaluation/gate.py",
        "similarity[np.arange(len(similarity)), own] = -np.inf",
        "similarity[np.arange(len(similarity)), own] = 1.0",
        "test_gate.py test_evaluation.py",
    ),
    Fault(
        "gate: scores in the wrong order",
        "evaluation/gate.py",
        'order = np.argsort(-scores, kind="stable")',
        'order = np.argsort(scores, kind="stable")',
        "test_gate.py test_evaluation.py",
    ),
    Fault(
        "pairing: the pool does not follow the seed",
        "runs/held_out.py",
        "draw_pool(pair.holdout.train, seed)",
        "draw_pool(pair.holdout.train, 0)",
        "test_held_out.py",
    ),
    Fault(
        "leak: the map is trained on the test items",
        "runs/held_out.py",
        "draw_pool(pair.holdout.train, seed)",
        "draw_pool(pair.holdout.test, seed)",
        "test_held_out.py",
    ),
    Fault(
        "training: learning rate ten times too high",
        "alignment/training.py",
        '["lr"] = config.learning_rate',
        '["lr"] = 10 * config.learning_rate',
        "test_training.py",
    ),
    Fault(
        "statistics: a standard error without its root",
        "verdicts/statistics.py",
        "sample.std(ddof=1) / math.sqrt(len(sample))",
        "sample.std(ddof=1) / len(sample)",
        "test_verdicts.py test_replicates.py",
    ),
    Fault(
        "statistics: unpaired seeds accepted",
        "verdicts/ab.py",
        "if left != right:",
        "if False:",
        "test_verdicts.py",
    ),
)
GATE = ["--profile", "gate", "--pair", "smollm2-mpnet", "--regression", "strict"]
CHANGES = ("regressed", "missing", "incomparable", "improved", "inconclusive")  # the first three fail


def run(root, *words):
    """Run pytest in the copy; return its exit code and output."""
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *words, "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def caught_by(root, fault):
    """What the gate and the tests say with the fault in place; bold where they fail."""
    path = root / "embalign" / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.before) < 1:
        raise SystemExit(f"{fault.file} has no {fault.before!r}: the list of faults is out of date")
    path.write_text(text.replace(fault.before, fault.after), encoding="utf-8")
    try:
        code, output = run(root, "benchmark/", "-k", fault.experiment, *GATE, "--workers", str(os.cpu_count()))
        found = dict.fromkeys(re.findall(r"^\w+ on \S+, (\w+): (\w+)", output, re.MULTILINE))
        metrics = {kind: ", ".join(f"`{metric}`" for metric, said in found if said == kind) for kind in CHANGES}
        words = "; ".join(f"{kind} {names}" for kind, names in metrics.items() if names) or "ok"
        gate = f"**fails**: {words}" if code else words
        code, output = run(root, *(f"tests/{name}" for name in fault.tests.split()), "-x")
        failed = re.findall(r"FAILED tests/[\w.]+::(\w+)", output)
        tests = f"**fail**: `{failed[0] if failed else 'error'}`" if code else "pass"
    finally:
        path.write_text(text, encoding="utf-8")
    return gate, tests


def main():
    """Plant every fault and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration" / "planted-faults.md")
    arguments = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "copy"
        ignored = shutil.ignore_patterns(".git", ".tox", ".embalign", "__pycache__", "reports")
        shutil.copytree(ROOT, root, ignore=ignored)
        for fault in FAULTS:
            gate, tests = caught_by(root, fault)
            lines.append(f"| {fault.meaning} | {gate} | {tests} |")
            print(lines[-1], flush=True)
    missed = sum("**" not in line for line in lines)
    text = "\n".join(
        [
            "# Faults planted in the code, and what catches them",
            "",
            f"{len(FAULTS)} faults, {missed} missed by both. Gate: the merge gate's small grid on `smollm2-mpnet`, of "
            "the experiment that uses the module; a change for the better is told and does not fail. Tests: those "
            "beside the module, the first that fails. A fault in the statistics changes no metric, and one that the "
            "metrics hardly feel is no regression: the tests are there for both.",
            "",
            "```\npython tests/planted_faults.py\n```",
            "",
            "| fault | merge gate | test |",
            "|:--|:--|:--|",
            *lines,
            "",
        ]
    )
    arguments.out.write_text(text, encoding="utf-8")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
