"""Media of objects from other libraries.

| given to `log()` | becomes |
|---|---|
| a matplotlib figure, axes or pyplot, a PIL image | Image |
| a Plotly figure | Plotly |
| a Bokeh, Panel or HoloViews object | Html, which its own library makes |
"""

from __future__ import annotations

from typing import Any

from stepwell.media.base import Media
from stepwell.media.detect import IMAGE_LIBRARIES, library_of


def as_media(value: Any) -> Media | None:
    """Return a value as media: media as they are, known foreign objects as what stands for them, None for others."""
    if isinstance(value, Media):
        return value
    library = library_of(value)
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
