"""Recognize objects of other libraries by the module that defines their class, without importing the library."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from stepwell.errors import UnstorableError

IMAGE_LIBRARIES: Final = {"matplotlib", "PIL"}
_PAGE_LIBRARIES: Final = {"bokeh", "panel", "holoviews"}
_LIBRARIES: Final = IMAGE_LIBRARIES | _PAGE_LIBRARIES | {"plotly"}
_BUILT_IN: Final = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset, type(None))


def library_of(value: Any) -> str:
    """Return which of the known libraries an object's class, or one of its bases, comes from; "" for none."""
    if isinstance(value, _BUILT_IN):
        return ""
    names = [value.__name__] if isinstance(value, ModuleType) else [base.__module__ for base in type(value).__mro__]
    return next((root for name in names if (root := name.partition(".")[0]) in _LIBRARIES), "")


def figure_of(artist: Any) -> Any:
    """Return the figure of a matplotlib figure, axes, other artist, or of pyplot. Raises: UnstorableError."""
    figure = artist.gcf() if hasattr(artist, "gcf") else artist
    if not hasattr(figure, "savefig") and hasattr(figure, "get_figure"):
        figure = figure.get_figure()
    if not hasattr(figure, "savefig"):
        raise UnstorableError(f"a matplotlib {type(artist).__name__} that belongs to no figure can't be drawn")
    return figure
