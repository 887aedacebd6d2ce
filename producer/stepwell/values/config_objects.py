"""Members of configuration objects (dataclasses, namespaces, OmegaConf, …), by duck typing.

| object | members |
|---|---|
| a mapping | its items |
| dataclass, attrs, pydantic and msgspec instances, named tuples | their fields |
| `argparse.Namespace`, `types.SimpleNamespace` | their attributes |
| `functools.partial` | `func`, `args`, `keywords` |
| OmegaConf's `DictConfig` and `ListConfig`, also Hydra's | their items, interpolations resolved |
| ml_collections' `ConfigDict` | its items, references resolved |
| absl's `FLAGS` | the value of each flag, by name |
| other objects with a method `to_dict` that returns a dict, such as configs of transformers | its items |

No library is imported for it: an object of a library that was not imported can't exist.
"""

from __future__ import annotations

import functools
import re
import sys
import types
from collections import UserList, deque
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Final, NamedTuple

from stepwell.values.arrays import is_array

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_BARE_OBJECT: Final = re.compile(r"<\S+ object at 0x[0-9a-fA-F]+>")
_BUILT_IN: Final = "builtins"
_ROUTINES: Final = (
    types.FunctionType
    | types.BuiltinFunctionType
    | types.MethodType
    | types.MethodDescriptorType
    | types.WrapperDescriptorType
    | types.MethodWrapperType
    | types.ClassMethodDescriptorType
)
_COLLECTIONS: Final = (list, tuple, deque, set, frozenset, UserList, KeysView, ValuesView)
_PYDANTIC: Final = ("model_fields", "__fields__")
_FIELDS: Final = (*_PYDANTIC, "__struct_fields__", "_fields")
"""Attributes of classes that name their fields: pydantic 2 and 1, msgspec, named tuples."""


class Unset(NamedTuple):
    """Stands for a member without a value; `rule` says why."""

    rule: str


Members = list[tuple[Any, Any]]
"""Names and values; a value may be Unset."""


def find_members(value: Any) -> Members | None:
    """Return the members of a mapping or of a configuration object, None for other values.

    Raises:
        Any error of a foreign object that is read.
    """
    if type(value) is dict:
        return list(value.items())
    if isinstance(value, type) or is_array(value):
        return None
    for read in (_of_library, _of_mapping, _of_method, _of_fields, _of_standard_library):
        members = read(value)
        if members is not None:
            return members
    return None


def find_items(value: Any) -> list[Any] | None:
    """Return the items of a list, a set, or a `ListConfig` of OmegaConf; None for other values. Items may be Unset."""
    if isinstance(value, _COLLECTIONS):
        return list(value)
    if _root_module(value) == "omegaconf" and isinstance(value, Sequence):
        # Of two types: version 2.4 has tuples as well.
        return [_of_omegaconf(value, index) for index in range(len(value))]
    return None


def stable_text(value: Any) -> str:
    """Return the `str` of an object without memory addresses, which differ in each process.

    Classes, functions and methods become their `module.qualname`, modules their name. Other objects without a text of
    their own are named by their class.
    """
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, type | _ROUTINES):
        return _qualified_name(value)
    text = str(value)
    if not _ADDRESS.search(text):
        return text
    if isinstance(getattr(value, "__qualname__", None), str):
        # A function in a wrapper: of `functools.cache`, of a compiler.
        return _qualified_name(value)
    return _qualified_name(type(value)) if _BARE_OBJECT.fullmatch(text) else _ADDRESS.sub("", text)


def _qualified_name(value: Any) -> str:
    module = getattr(value, "__module__", None)
    if not isinstance(module, str):
        # Methods of built-in types have none of their own.
        module = type(getattr(value, "__self__", value)).__module__
    return str(value.__qualname__) if module == _BUILT_IN else f"{module}.{value.__qualname__}"


def _root_module(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _of_library(value: Any) -> Members | None:
    match _root_module(value):
        case "omegaconf" if sys.modules["omegaconf"].OmegaConf.is_dict(value):
            return [(key, _of_omegaconf(value, key)) for key in value]
        case "ml_collections" if hasattr(value, "keys"):
            return _read(value.keys(), value.__getitem__)
        case "absl" if hasattr(value, "flag_values_dict"):
            return [(name, value[name].value) for name in value]
    return None


def _of_omegaconf(container: Any, key: Any) -> Any:
    """Return an item; the text of an interpolation that can't be resolved; Unset for `???`."""
    library = sys.modules["omegaconf"].OmegaConf
    if library.is_missing(container, key):
        return Unset("has no value (???)")
    try:
        return container[key]
    except Exception:
        # Resolvers are functions of the user's. Those of Hydra fail outside its own main function.
        return library.to_container(container, resolve=False)[key]


def _of_mapping(value: Any) -> Members | None:
    return list(value.items()) if isinstance(value, Mapping) else None


def _of_method(value: Any) -> Members | None:
    # Before the fields: such methods leave out what must not be shown, for instance access tokens.
    if not callable(getattr(type(value), "to_dict", None)) or hasattr(value, "shape"):
        # What has a shape is a data frame.
        return None
    try:
        converted = value.to_dict()
    except Exception:
        # It takes other arguments, or fails: the fields are what remains.
        return None
    return list(converted.items()) if isinstance(converted, Mapping) else None


def _of_fields(value: Any) -> Members | None:
    kind = type(value)
    read = functools.partial(getattr, value)
    if hasattr(kind, "__dataclass_fields__"):
        return _read(_names(sys.modules["dataclasses"].fields(value)), read)
    if hasattr(kind, "__attrs_attrs__"):
        return _read(_names(kind.__attrs_attrs__), read)
    for attribute in _FIELDS:
        fields = getattr(kind, attribute, None)
        if isinstance(fields, Mapping if attribute in _PYDANTIC else tuple):
            extra = getattr(value, "__pydantic_extra__", None) or {}
            return [*_read(fields, read), *extra.items()]
    return None


def _of_standard_library(value: Any) -> Members | None:
    if isinstance(value, functools.partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    argparse = sys.modules.get("argparse")
    is_namespace = isinstance(value, types.SimpleNamespace) or (argparse and isinstance(value, argparse.Namespace))
    return list(vars(value).items()) if is_namespace else None


def _read(names: Iterable[Any], read: Callable[[Any], Any]) -> Members:
    members: Members = []
    for name in names:
        try:
            members.append((name, read(name)))
        except Exception as error:
            # A field that was never set, a required placeholder, or a property that fails.
            members.append((name, Unset(f"has no value ({type(error).__name__})")))
    return members


def _names(fields: Iterable[Any]) -> list[str]:
    return [field.name for field in fields]
