"""Which source files a measured number depends on: the measuring module and all it imports, but what is installed.

Imports for type checkers alone do not count, so a change there, or in a report's wording, makes no cell stale. Of
installed packages those that compute count by their versions.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

import embalign
from embalign.pairs.provenance import file_digest


@functools.cache
def source_digest(module: str) -> str:
    """Return the SHA-256 over the source files behind a module."""
    return _digest(source_files(module))


def source_files(module: str) -> list[Path]:
    """Return the files behind a module, in order of the modules' names.

    They are its own, and those of every module it imports that belongs to its package, to this one, or to none that is
    installed.
    """
    own = {module.partition(".")[0], "embalign"}
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if name in found or name == "embalign" or top in sys.stdlib_module_names:
            continue
        path = _file(name)
        if path is None or path.suffix != ".py":
            continue
        if top not in own and (is_installed(path) or any(map(path.is_relative_to, _installed_in(top)))):
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += imports(ast.parse(path.read_bytes()), package)
        if top != "embalign" and "." in name:  # importing it runs its package; this package's own do nothing
            waiting.append(name.rpartition(".")[0])
    return [found[name] for name in sorted(found)]


@functools.cache
def package_digest() -> str:
    """Return the SHA-256 over every source file of this package."""
    return _digest(sorted(Path(embalign.__file__).parent.rglob("*.py")))


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256("".join(file_digest(path) for path in files).encode()).hexdigest()


def is_installed(path: Path) -> bool:
    """Return whether a file is of an installed package, not of a checkout."""
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


@functools.cache
def _installed_in(top: str) -> tuple[str, ...]:
    """The folders where an installer put a top-level package; of `pip install --target` that is any folder."""
    found = (metadata.distribution(name) for name in _distributions().get(top, ()))
    return tuple(str(each.locate_file("")) for each in found if any(file.name == "RECORD" for file in each.files or ()))


_distributions = functools.cache(metadata.packages_distributions)


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the modules that a module of `package` may import, lazily or at once.

    Names taken from a module may be modules too. Imports for type checkers alone do not count.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -node.level + 1 or None] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        else:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazy":
                yield from (str(word.value) for word in node.args if isinstance(word, ast.Constant))
            yield from imports(node, package)


def _file(module: str) -> Path | None:
    """The module's file, found without importing its parents, which would import what they import."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a script that runs as __main__ cannot be found by name
        return None
    name = top
    for part in rest:
        name = f"{name}.{part}"
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
