"""A stand-in for torch's modules, with which libraries that import torch can be imported.

PyPI's Linux wheels of torch include gigabytes of CUDA, so the tests can't install it. Every name of every module is a
class that does nothing: enough for the code of accelerate, Lightning and Stable-Baselines3 that logs. It must not be
installed in the process of the tests, where other libraries would take it for torch.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_VERSION: Final = "2.8.0"
_STOOD_IN: Final = frozenset({"torch", "torchmetrics"})
"""torchmetrics is installed, but its import takes 4 s and is needed for nothing."""

_MODULES: Final = frozenset(
    {"amp", "autograd", "backends", "compiler", "cuda", "distributed", "distributions", "fx", "jit", "mps",
     "multiprocessing", "nn", "optim", "utils", "version", "xpu"}
)  # fmt: skip
_NO_DEVICES: Final[dict[str, dict[str, Any]]] = {
    "torch": {"__version__": _VERSION},
    "torch.cuda": {"is_available": lambda: False, "device_count": lambda: 0},
    "torch.distributed": {"is_available": lambda: False, "is_initialized": lambda: False},
    "torch.version": {"cuda": None, "hip": None},
}


class _Anything(ABCMeta):
    """A class that has every attribute, can be subscripted, and is a part of any union."""

    def __getattr__(cls, name: str) -> Any:
        return _make(name)

    def __or__(cls, other: Any) -> Any:
        return cls

    def __ror__(cls, other: Any) -> Any:
        return cls

    def __getitem__(cls, item: Any) -> Any:
        return cls

    def __iter__(cls) -> Iterator[Any]:
        return iter(())


def _make(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Anything(
        name,
        (),
        {
            "__module__": "torch",
            "__init__": lambda self, *_, **__: None,
            # A class that is used as a decorator returns the function.
            "__call__": lambda self, *given, **__: given[0] if given else None,
            "__getattr__": lambda self, wanted: _make(wanted),
        },
    )


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        made = import_module(f"{self.__name__}.{name}") if name in _MODULES else _make(name)
        setattr(self, name, made)
        return made


class _Torch(Distribution):
    """The metadata of an installed torch."""

    def read_text(self, filename: Any) -> str | None:
        """Return the name and version."""
        return f"Metadata-Version: 2.1\nName: torch\nVersion: {_VERSION}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        """Return the path unchanged."""
        return Path(path)


class _Finder:
    """Finds torch and all modules below it."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module of torch or torchmetrics."""
        known = fullname.partition(".")[0] in _STOOD_IN
        return ModuleSpec(fullname, self, is_package=True) if known else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty module."""
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Add what libraries read at import."""
        vars(module).update(_NO_DEVICES.get(module.__name__, {}))

    def find_distributions(self, context: Any) -> tuple[Distribution, ...]:
        """Return torch's metadata."""
        return (_Torch(),) if context.name == "torch" else ()


def install() -> None:
    """Let this process import the stand-in as torch."""
    sys.meta_path.insert(0, _Finder())
