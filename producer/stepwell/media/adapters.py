"""Objects of other libraries that are media of ours: recognized by where their class comes from, nothing is imported.

| given to `log()` | becomes |
|---|---|
| a matplotlib figure, axes or pyplot, a PIL image | Image |
| a Plotly figure | Plotly |
| a Bokeh, Panel or HoloViews object | Html, which its own library makes |
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from stepwell.errors import UnstorableError
from stepwell.media.base import Media

_IMAGES: Final = {"matplotlib", "PIL"}
_PAGES: Final = {"bokeh", "panel", "holoviews"}
_LIBRARIES: Final = _IMAGES | _PAGES | {"plotly"}
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


def as_media(value: Any) -> Media | None:
    """Return a value as media: media as they are, known foreign objects as what stands for them, None for others."""
    if isinstance(value, Media):
        return value
    library = library_of(value)
    if not library:
        return None
    if library in _IMAGES:
        from stepwell.media.image import Image

        return Image(value)
    if library == "plotly":
        from stepwell.media.plotly import Plotly

        return Plotly(value)
    from stepwell.media.html import Html

    return Html(value)
