"""Adapters from objects of other libraries to media.

| value given to `log()` | media type |
|---|---|
| a matplotlib figure, axes or pyplot, a PIL image | Image |
| a Plotly figure | Plotly |
| a Bokeh, Panel or HoloViews object | Html, written by its own library |
"""

from __future__ import annotations

from typing import Any

from stepwell.media.base import Media
from stepwell.media.detect import IMAGE_LIBRARIES, detect_library


def as_media(value: Any) -> Media | None:
    """Return a value as media: media unchanged, objects of known libraries converted, None for all others."""
    if isinstance(value, Media):
        return value
    library = detect_library(value)
    if not library:
        return None
    if library in IMAGE_LIBRARIES:
        from stepwell.media.image import Image

        return Image(value)
    if library == "plotly":
        from stepwell.media.plotly import Plotly

        return Plotly(value)
    from stepwell.media.html import Html

    return Html(value)
