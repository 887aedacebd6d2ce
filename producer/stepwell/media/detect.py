"""Recognize objects of other libraries by the module that defines their class, without importing the library."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from stepwell.errors import UnstorableError

IMAGE_LIBRARIES: Final = {"matplotlib", "PIL"}
_PAGE_LIBRARIES: Final = {"bokeh", "panel", "holoviews"}
_LIBRARIES: Final = IMAGE_LIBRARIES | _PAGE_LIBRARIES | {"plotly"}
_BUILT_IN: Final = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset, type(None))


def detect_library(value: Any) -> str:
    """Return the known library that defines an object's class, or one of its bases; "" for none."""
    if isinstance(value, _BUILT_IN):
        return ""
    names = [value.__name__] if isinstance(value, ModuleType) else [base.__module__ for base in type(value).__mro__]
    return next((root for name in names if (root := name.partition(".")[0]) in _LIBRARIES), "")


def find_figure(artist: Any) -> Any:
    """Return the figure of a matplotlib artist (figure, axes, …) or of pyplot. Raises: UnstorableError."""
    figure = artist.gcf() if hasattr(artist, "gcf") else artist
    if not hasattr(figure, "savefig") and hasattr(figure, "get_figure"):
        figure = figure.get_figure()
    if not hasattr(figure, "savefig"):
        raise UnstorableError(f"a matplotlib {type(artist).__name__} that does not belong to a figure can't be drawn")
    return figure
