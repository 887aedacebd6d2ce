"""Stepwell under the name `wandb`, for libraries that import it by themselves.

While `sys.modules["wandb"]` is Stepwell, a finder of imports gives them `wandb.errors`, `wandb.sdk.wandb_run` and the
like, and the version of wandb whose names Stepwell has. Without it, Python would import the files of this package a
second time, as `wandb.…`, with classes that no `except` or `isinstance` matches.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from stepwell.errors import UsageError
from stepwell.wandb_compat import missing_module_message

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_OURS: Final = "stepwell"
_THEIRS: Final = "wandb"

WANDB_VERSION: Final = "0.31.0"
"""The version of wandb whose names Stepwell has; libraries that check `wandb.__version__` get it."""

_TYPES: Final = (
    "Audio", "BoundingBoxes2D", "Classes", "Histogram", "Html", "Image", "ImageMask", "Molecule", "Object3D", "Plotly",
    "Table", "Video",
)  # fmt: skip
_MEDIA: Final = "stepwell.media.base:Media"
_RUN: Final = "stepwell.session.run:Run"
_RUN_DISABLED: Final = "stepwell.session.run_disabled:RunDisabled"

NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "data_types": {**{name: f"{_OURS}:{name}" for name in _TYPES}, "WBValue": _MEDIA},
    "sdk": {"Artifact": f"{_OURS}:Artifact", "Config": f"{_OURS}:Config", "Settings": f"{_OURS}:Settings"},
    "sdk.artifacts": {},
    "sdk.artifacts.artifact": {"Artifact": f"{_OURS}:Artifact"},
    "sdk.data_types": {},
    "sdk.data_types.audio": {"Audio": f"{_OURS}:Audio"},
    "sdk.data_types.base_types": {},
    "sdk.data_types.base_types.media": {"Media": _MEDIA},
    "sdk.data_types.base_types.wb_value": {"WBValue": _MEDIA},
    "sdk.data_types.histogram": {"Histogram": f"{_OURS}:Histogram"},
    "sdk.data_types.html": {"Html": f"{_OURS}:Html"},
    "sdk.data_types.image": {"Image": f"{_OURS}:Image"},
    "sdk.data_types.table": {"Table": f"{_OURS}:Table"},
    "sdk.data_types.video": {"Video": f"{_OURS}:Video"},
    "sdk.lib": {"RunDisabled": _RUN_DISABLED},
    "sdk.lib.config_util": {"ConfigError": "stepwell.errors:ConfigError"},
    "sdk.lib.disabled": {"RunDisabled": _RUN_DISABLED},
    "sdk.lib.runid": {"generate_id": "stepwell.util:generate_id"},
    "sdk.wandb_config": {"Config": f"{_OURS}:Config"},
    "sdk.wandb_run": {"Run": _RUN},
    "sdk.wandb_settings": {"Settings": f"{_OURS}:Settings"},
    "sdk.wandb_summary": {"Summary": "stepwell.recording.summary:Summary"},
    "wandb_run": {"Run": _RUN},
}
"""Modules of wandb that exist here in name only: what is in them, and where it is defined."""

_SAME: Final = frozenset(
    {
        "errors",
        "integration",
        "integration.keras",
        "integration.lightgbm",
        "integration.sb3",
        "integration.xgboost",
        "plot",
        "util",
    }
)
"""Modules that are wandb's and ours under one name."""

SHORT: Final[Mapping[str, str]] = {name: f"integration.{name}" for name in ("keras", "lightgbm", "xgboost")}
"""Modules that wandb has under a second name."""


def stands_in() -> bool:
    """Return whether `import wandb` returns Stepwell in this process."""
    module = sys.modules.get(_THEIRS)
    return module is not None and (isinstance(module, _Alias) or module is sys.modules.get(_OURS))


def install_as_wandb() -> ModuleType:
    """Make `import wandb` return Stepwell in this process; return the module.

    Call it before a library that logs to wandb is imported. From then on `importlib.metadata.version("wandb")` and
    `wandb.__version__` are the version whose names Stepwell has, and wandb's environment variables are read.

    Raises:
        UsageError: if wandb itself was imported before.
    """
    existing = sys.modules.get(_THEIRS)
    if existing is not None and not stands_in() and hasattr(existing, "init"):
        raise UsageError("wandb is imported already: call stepwell.install_as_wandb() before the first import of it")
    if not isinstance(existing, _Alias):
        sys.modules[_THEIRS] = _Alias()
    return sys.modules[_THEIRS]


def module_attribute(name: str) -> ModuleType | None:
    """Return a module of the package that exists in name only or under a second name; None for any other name.

    Raises:
        AttributeError: if the module needs a package that is not installed.
    """
    if name not in NAMES and name not in SHORT and name not in _SAME:
        return None
    try:
        return import_module(f"{_OURS}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"{_OURS}.{name} needs another package: {error}") from error


class _Alias(ModuleType):
    """The package with the name and version of wandb."""

    def __init__(self) -> None:
        package = sys.modules[_OURS]
        super().__init__(_THEIRS, package.__doc__)
        self.__version__ = WANDB_VERSION
        self.__path__: list[str] = []
        self.__file__ = package.__file__
        self.__all__ = package.__all__
        self.__spec__ = ModuleSpec(_THEIRS, None, origin=package.__file__, is_package=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.modules[_OURS], name)

    def __dir__(self) -> Iterable[str]:
        return dir(sys.modules[_OURS])


class _Finder:
    """Finds `wandb.…` while Stepwell stands in for wandb, and the modules of `NAMES` and `SHORT` in Stepwell."""

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module; None for those of others. Raises: ModuleNotFoundError, with the alternative."""
        del path, target
        root, _, name = fullname.partition(".")
        if not name or root not in {_OURS, _THEIRS}:
            return None
        known = name in NAMES or name in SHORT
        if root == _OURS:
            return ModuleSpec(fullname, _FINDER, is_package=True) if known else None  # type: ignore[arg-type]
        if not stands_in():
            return None
        if not known and name not in _SAME:
            raise ModuleNotFoundError(missing_module_message(name), name=fullname)
        return ModuleSpec(fullname, _FINDER, is_package=True)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Leave it to Python to create the module."""
        del spec

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Fill a module of names, or replace it by the module that it is another name of."""
        root, _, name = module.__name__.partition(".")
        target = f"{_OURS}.{SHORT.get(name, name)}"
        if target != module.__name__:
            sys.modules[f"{root}.{name}"] = import_module(target)
            return
        names = NAMES[name]
        vars(module).update(__getattr__=partial(_resolve, module.__name__, names), __all__=[*names])

    @staticmethod
    def find_distributions(context: Any) -> Sequence[Distribution]:
        """Return wandb's distribution while Stepwell stands in for it, for libraries that check its version."""
        if context.name != _THEIRS or not stands_in():
            return ()
        from stepwell.wandb_distribution import WandbDistribution

        return (WandbDistribution(WANDB_VERSION),)


def _resolve(module: str, names: Mapping[str, str], name: str) -> Any:
    if name not in names:
        child = f"{module}.{name}"
        if child.partition(".")[2] in NAMES:
            return import_module(child)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    source, _, attribute = names[name].partition(":")
    return getattr(import_module(source), attribute)


_FINDER: Final = _Finder()


def register() -> None:
    """Add the finder in front of Python's own, which would find the files of this package as `wandb.…`."""
    sys.meta_path.insert(0, _FINDER)
