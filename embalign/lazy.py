"""The one door to imports that wait until they are used.

pytest must start and collect cases without torch, pandas, scipy or matplotlib, and an experiment must name functions
without importing what they need. Both go through :func:`lazy`; no module of this package imports inside a function.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any


def lazy(module: str) -> Any:
    """Return a stand-in for a module whose attributes are :class:`Reference` objects; nothing is imported yet.

    >>> sqrt = lazy("math").sqrt
    >>> sqrt(9.0)
    3.0
    """
    return _Module(module)


@dataclass(frozen=True)
class Reference:
    """A function or class by the module and name it has: equal, hashable and picklable as these, imported on use."""

    module: str
    name: str

    def resolve(self) -> Any:
        """Return the object itself. Raises ImportError or AttributeError where there is none."""
        return reduce(getattr, self.name.split("."), importlib.import_module(self.module))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self.resolve()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle look for hooks before the fields are there
            raise AttributeError(name)
        return getattr(self.resolve(), name)

    def __str__(self) -> str:
        return self.name


def reference(function: Callable[..., Any]) -> Reference:
    """Return the reference of a function, or the one that it already is. Raises ValueError if it has no name."""
    if isinstance(function, Reference):
        return function
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<none>")
    if module is None or "<" in name:
        unnamed = f"{function!r} has no name that a worker could import"
        raise ValueError(f"{unnamed}; define it with def at the top of a module")
    return Reference(module, name)


@dataclass(frozen=True)
class _Module:
    path: str

    def __getattr__(self, name: str) -> Reference:
        if name.startswith("__"):
            raise AttributeError(name)
        return Reference(self.path, name)
