"""`Plotly`: an interactive figure, as Plotly's own JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from stepwell.errors import UnstorableError
from stepwell.media.base import Keep, Media, file_reference
from stepwell.media.detect import figure_of, library_of
from stepwell.media.sources import Taken
from stepwell.values.convert import json_ready
from stepwell_schemas.rules.kinds import Kind

CONTENT_TYPE = "application/vnd.plotly.v1+json"


class Plotly(Media):
    """A Plotly figure: the figure itself, or its JSON as text or as a dict with `data` and `layout`.

    A matplotlib figure, axes or `pyplot` becomes one as far as Plotly's own conversion goes, which leaves out what it
    does not know; as an `Image` it is kept as it was drawn.
    """

    kind: ClassVar[Kind] = Kind.PLOTLY

    def __init__(self, val: Any) -> None:
        self._taken = Taken(lambda: _json_of(val))

    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the figure; see `Media.take`."""
        return file_reference(keep, self._taken.get(), CONTENT_TYPE)


def _json_of(value: Any) -> bytes:
    if library_of(value) == "matplotlib":
        value = _converted(value)
    if hasattr(value, "to_plotly_json") and hasattr(value, "to_json"):
        # The library's own encoder: arrays, dates and NaN become what its page understands.
        return str(value.to_json()).encode()
    try:
        figure = json.loads(value) if isinstance(value, str | bytes) else value
    except ValueError as error:
        raise UnstorableError(f"the figure's text is no JSON: {error}") from error
    if not isinstance(figure, Mapping) or "data" not in figure:
        raise UnstorableError("must be a Plotly figure, a matplotlib one, or a figure's JSON with data and layout")
    return json.dumps(json_ready(figure, exact=False), ensure_ascii=False, allow_nan=False).encode()


def _converted(artist: Any) -> Any:
    """Return a matplotlib figure as one of Plotly's. Raises: UnstorableError; whatever Plotly does."""
    try:
        from plotly.tools import mpl_to_plotly
    except ImportError:
        raise UnstorableError("a matplotlib figure becomes one of Plotly's where plotly is installed") from None
    with warnings.catch_warnings():
        # What it leaves out, and what it uses that matplotlib is about to change, is no news of the script's.
        warnings.simplefilter("ignore")
        return mpl_to_plotly(figure_of(artist))
