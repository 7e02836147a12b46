"""Which source files a measured number depends on: the measuring module and all it imports, as far as they are ours.

Imports for type checkers alone do not count, so a change there, or in a report's wording, measures nothing anew.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import embalign
from embalign.embeddings.pair import file_digest


@functools.cache
def source_digest(measure: str) -> str:
    """Return the SHA-256 over the source files behind a `measure` ("module:function")."""
    return _digest(source_files(measure.partition(":")[0]))


def source_files(module: str) -> list[Path]:
    """Return the files of a module and of every module of this package that it imports, in order of their names."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or (path := _file(name)) is None:
            continue
        found[name] = path
        waiting += [imported for imported in _imports(ast.parse(path.read_bytes())) if imported.startswith("embalign.")]
    return [found[name] for name in sorted(found)]


@functools.cache
def package_digest() -> str:
    """Return the SHA-256 over every source file of this package."""
    return _digest(sorted(Path(embalign.__file__).parent.rglob("*.py")))


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256("".join(file_digest(path) for path in files).encode()).hexdigest()


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(node)


def _file(module: str) -> Path | None:
    """The module's file, found without importing its parents, which would import what they import."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    name = top
    for part in rest:
        name = f"{name}.{part}"
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec is not None and spec.origin else None
