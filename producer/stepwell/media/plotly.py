"""`Plotly`: an interactive figure, stored as Plotly's JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from stepwell.errors import UnstorableError
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.detect import detect_library, find_figure
from stepwell.media.sources import Snapshot
from stepwell.values.convert import to_json_value
from stepwell_schemas.limits import FILE_MAX_LEAVES
from stepwell_schemas.rules.kinds import Kind

CONTENT_TYPE = "application/vnd.plotly.v1+json"


class Plotly(Media):
    """A Plotly figure: the figure object, or its JSON as text or as a dict with `data` and `layout`.

    A matplotlib figure, axes or `pyplot` is converted by Plotly's own converter, which omits unsupported parts; an
    `Image` keeps the figure as it was drawn.
    """

    kind: ClassVar[Kind] = Kind.PLOTLY

    def __init__(self, val: Any) -> None:
        self._snapshot = Snapshot(lambda: _figure_json(val))

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the figure; see `Media.take`."""
        return file_reference(keep, self._snapshot.get(), CONTENT_TYPE)


def _figure_json(value: Any) -> bytes:
    if detect_library(value) == "matplotlib":
        value = _matplotlib_to_plotly(value)
    if hasattr(value, "to_plotly_json") and hasattr(value, "to_json"):
        # The library's own encoder writes arrays, dates and NaN as its JavaScript expects them.
        return str(value.to_json()).encode()
    try:
        figure = json.loads(value) if isinstance(value, str | bytes) else value
    except ValueError as error:
        raise UnstorableError(f"the figure's text is not valid JSON: {error}") from error
    if not isinstance(figure, Mapping) or "data" not in figure:
        raise UnstorableError("must be a Plotly or matplotlib figure, or a figure's JSON with data and layout")
    return json.dumps(
        to_json_value(figure, exact=False, max_leaves=FILE_MAX_LEAVES), ensure_ascii=False, allow_nan=False
    ).encode()


def _matplotlib_to_plotly(artist: Any) -> Any:
    """Convert a matplotlib figure to Plotly. Raises: UnstorableError, or any error of Plotly."""
    try:
        from plotly.tools import mpl_to_plotly
    except ImportError:
        raise UnstorableError("converting a matplotlib figure needs plotly: pip install plotly") from None
    with warnings.catch_warnings():
        # Warnings about omitted parts and deprecated matplotlib APIs do not concern the user's script.
        warnings.simplefilter("ignore")
        return mpl_to_plotly(find_figure(artist))
