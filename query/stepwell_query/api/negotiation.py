"""Content negotiation: the format of a response, from `format=` or the Accept header."""

from __future__ import annotations

from typing import Final

from fastapi import Request, Response

from stepwell_query.encoding import MEDIA_TYPES, Format
from stepwell_query.errors import RequestError

RAW_FROM: Final = "stepwell-raw-from"
"""The header with the first step whose rows are complete, of answers about runs that have lost rows to retention."""


def negotiate_format(request: Request, named: Format | None, allowed: tuple[Format, ...]) -> Format:
    """Return the format of a response: `format=` if sent, otherwise the preference in Accept, otherwise the default.

    The default is the first of the allowed formats.

    Raises:
        RequestError: when the endpoint does not offer the format that `format=` names.
    """
    if named is not None:
        if named not in allowed:
            rule = f"{named} is not a format of this answer"
            raise RequestError("format", named, rule, f"send one of {', '.join(allowed)}")
        return named
    by_type = {MEDIA_TYPES[fmt].split(";")[0]: fmt for fmt in allowed}
    for media_type in _parse_accept(request.headers.get("accept", "")):
        if media_type in by_type:
            return by_type[media_type]
    return allowed[0]


def _parse_accept(header: str) -> list[str]:
    """Return the media types of an Accept header in order of preference."""
    ranked: list[tuple[float, int, str]] = []
    for entry in header.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        weights = [parameter.removeprefix("q=") for parameter in parameters if parameter.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0
        ranked.append((-weight, len(ranked), media_type))
    return [media_type for _, _, media_type in sorted(ranked)]


def encode_response(content: bytes, fmt: Format) -> Response:
    """Return a complete response with the media type of its format."""
    return Response(content, media_type=MEDIA_TYPES[fmt])
