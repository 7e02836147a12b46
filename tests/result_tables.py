"""Curves and results as files of many kinds, and commands on them that must end in one line."""

import numpy as np
import pandas as pd

from embalign.__main__ import main

SIZES, SEEDS = (50, 100, 200, 500, 1000, 2000), 5


def curve(seeds=SEEDS, sizes=SIZES):
    """A smooth curve of values by n and seed, rounded so that every format holds them exactly."""
    rows = [
        (n, seed, round(0.9 - 0.6 * n**-0.35 + np.random.default_rng([n, seed]).normal(0, 0.004), 6))
        for n in sizes
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["n", "seed", "value"])


def results(effect=0.0, items=60, seeds=1, noise=0.05, draw=0):
    """Results by seed and item, and each item's topic; two of the same `draw` share how hard items are."""
    hard = np.random.default_rng([draw, items]).random(items)
    noises = np.random.default_rng([round(1000 * effect), items, seeds]).normal(0, noise, (seeds, items))
    return pd.DataFrame(
        {
            "seed": np.repeat(np.arange(seeds), items),
            "item": [f"q{item}" for item in range(items)] * seeds,
            "topic": [f"t{item % 12}" for item in range(items)] * seeds,
            "value": np.round(hard + effect + noises, 6).ravel(),
        }
    )


def as_csv(frame):
    return frame.to_csv(index=False)


def write(folder, name, content):
    """Write a frame, a text or bytes; return the path."""
    path = folder / name
    if isinstance(content, pd.DataFrame):
        content = as_csv(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def everything_in(folder):
    """The content of each file below a folder, by its path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mistaken(command, folder, capsys):
    """Run a command that must fail; return exit code and the last line, having checked that it wrote nothing."""
    before = everything_in(folder)
    capsys.readouterr()
    try:
        code = main(command)
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.strip().split("\n")
    assert code == 2 or len(lines) == 1, err
    assert everything_in(folder) == before
    assert not [path for path in folder.rglob("*") if path.is_dir() and path.name.startswith(".")]
    return code, lines[-1]
