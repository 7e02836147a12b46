"""The frequency-domain baseline, as a script and as a test.

    python tests/test_spectral_alignment.py --n 10

measures cosine and amplitude spectra of mapped draft embeddings against the teacher's on held-out items, without any
spectral loss, and writes `spectral_alignment_baseline.{csv,png}` and `spectral_alignment_baseline_report.md` into
`benchmark/<pair>/reports/spectral/`.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENDS = (".csv", ".png", "_report.md")
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # the script also runs from a checkout that is not installed


def run_baseline(pair_name, n, map_path, folder=None):
    """Measure the first `n` held-out items of a pair, write the artifacts and return (samples, folder)."""
    from spectral_baseline import NAME, measure_samples, write_report

    from embalign.alignment.training import apply_map
    from embalign.deploy.map import load_map
    from embalign.deploy.recipe import fit_better
    from embalign.durable import refuse_links
    from embalign.evaluation.deployment import task_of
    from embalign.experiments.grid import Experiment, Table, grid
    from embalign.lazy import lazy
    from embalign.pairs.config import find_pair
    from embalign.pairs.pair import load_pair
    from embalign.pairs.provenance import file_digest
    from embalign.runs import provenance
    from embalign.runs.checkout import Checkout
    from embalign.runs.run import Run

    location = find_pair(pair_name, ROOT)
    pair = load_pair(location)
    rows, task = pair.holdout.test[:n], task_of(pair)
    if not 2 <= n <= len(pair.holdout.test):
        raise ValueError(f"--n {n} is outside 2 to {len(pair.holdout.test)}, the held-out texts of {pair.name}")
    if map_path:
        weights, which = load_map(map_path, pair), map_path.name
    else:
        weights, recipe = fit_better(pair)
        which = f"fitted on the pair's training items as it is exported (recipe: {recipe.name}), seed 0"
    mapped, teacher = apply_map(weights, task.draft.queries[:n]), task.teacher.queries[:n]
    samples = measure_samples([pair.asking[i].id for i in rows], mapped, teacher)
    if folder is None:
        folder = location / "reports" / "spectral"
        refuse_links(location, folder, *folder.glob("*"))
    write_report(samples, mapped, teacher, pair=pair.name, which=which, folder=folder)
    table = Table(NAME, lazy("embalign.deploy.recipe").fit_better, quick=grid(n=[n]), seeds=1)
    experiment = Experiment(NAME, write_report, tables=(table,))
    cells = experiment.cells(pair.name, "quick")
    run = Run(experiment, location, "none", cells, {}, ROOT, Checkout(ROOT))
    about = provenance.describe(run)
    artifacts = {f"{NAME}{end}": file_digest(folder / f"{NAME}{end}") for end in sorted(ENDS)}
    about |= {"command": f"python tests/test_spectral_alignment.py --n {n} --pair {pair.name}"}
    about |= {"map": which, "artifacts": artifacts}
    (folder / f"{NAME}_provenance.json").write_text(json.dumps(about, indent=2) + "\n")
    return samples, folder


def main(arguments=None):
    """Command line of the baseline."""
    from spectral_baseline import NAME, summarize

    from embalign.errors import EmbalignError

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10, help="number of held-out items (default: %(default)s)")
    parser.add_argument("--pair", default="qwen-sentence-align", help="pair folder or its name (default: %(default)s)")
    parser.add_argument("--map", type=Path, metavar="W.npy", help="map to use, rows = teacher dimensions")
    options = parser.parse_args(arguments)
    try:
        samples, folder = run_baseline(options.pair, options.n, options.map)
    except (EmbalignError, ValueError) as error:
        parser.exit(2, f"error: {error}\n")
    for name, value in summarize(samples).items():
        print(f"{name}: {value:.8g}")
    print(f"written: {os.path.relpath(folder)}/{NAME}.csv, .png, _report.md")


def test_baseline_reports_no_more_than_the_rayleigh_law_expects(tmp_path):
    """On real embeddings spectral cosine follows from the cosine, and the artifacts are written."""
    samples, folder = run_baseline("smollm2-mpnet", 200, None, tmp_path)
    assert abs(samples["spectral_excess"].mean()) < 0.003
    assert {path.name for path in folder.iterdir()} == {
        "spectral_alignment_baseline.csv",
        "spectral_alignment_baseline.png",
        "spectral_alignment_baseline_report.md",
        "spectral_alignment_baseline_provenance.json",
    }


def test_baseline_takes_a_given_map(tmp_path):
    """A map from a file is used as it is: the mean of the cosines changes with it."""
    import numpy as np
    import pytest

    from embalign.pairs.config import find_pair
    from embalign.pairs.pair import load_pair

    pair = load_pair(find_pair("smollm2-mpnet", ROOT))
    path = tmp_path / "W.npy"
    np.save(path, np.eye(pair.teacher.shape[1], pair.draft.shape[1]))
    samples, _ = run_baseline("smollm2-mpnet", 10, path, tmp_path)
    assert abs(samples["cosine"].mean()) < 0.2
    np.save(path, np.eye(pair.draft.shape[1], pair.teacher.shape[1]))
    with pytest.raises(ValueError, match=r"save W\.T"):
        run_baseline("smollm2-mpnet", 10, path, tmp_path)


def test_the_script_writes_its_files_into_the_pairs_reports_and_prints_the_summary(small_pair):
    """As a user runs it, from any folder, in a process of its own."""
    import pandas as pd

    from embalign.pairs.provenance import file_digest

    command = [sys.executable, str(Path(__file__).resolve()), "--n", "10", "--pair", str(small_pair)]
    done = subprocess.run(command, cwd=small_pair.parent, capture_output=True, text=True, check=True)
    folder = small_pair / "reports" / "spectral"
    name = "spectral_alignment_baseline"
    about = json.loads((folder / f"{name}_provenance.json").read_text())
    samples = pd.read_csv(folder / f"{name}.csv")
    assert f"cosine mean: {samples['cosine'].mean():.8g}\n" in done.stdout
    assert done.stdout.endswith(f"written: small/reports/spectral/{name}.csv, .png, _report.md\n")
    assert len(samples) == 10
    assert (about["experiment"], about["profile"], about["seeds"]) == (name, "none", [0])
    assert set(about["source_sha256"]) == {name}
    assert about["artifacts"] == {f"{name}{end}": file_digest(folder / f"{name}{end}") for end in ENDS}
    short = subprocess.run([*command, "--n", "1"], capture_output=True, text=True, check=False)
    assert (short.returncode, short.stderr.count("\n")) == (2, 1)
    assert short.stderr.startswith("error: --n 1 is outside 2 to ")


if __name__ == "__main__":
    main()
