"""Problem types: the stable names of all errors that the service answers with.

`type` of a problem document is `urn:stepwell:problem:` followed by one of these names. Clients match the type and never
the title or the detail. docs/troubleshooting.md describes each type.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

URN: Final = "urn:stepwell:problem:"


class ProblemType(StrEnum):
    """Names of problem types."""

    BAD_PARAMETER = "bad-parameter"
    UNKNOWN_KEY = "unknown-key"
    NOT_FOUND = "not-found"
    RUN_DELETED = "run-deleted"
    NO_SUCH_ROUTE = "no-such-route"
    MEDIA_PENDING = "media-pending"
    MEDIA_GONE = "media-gone"
    MEDIA_UNKNOWN = "media-unknown"
    RANGE = "range"
    HTTP = "http"

    NOT_HTTP = "not-http"
    NO_HOST = "no-host"
    UNKNOWN_HOST = "unknown-host"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    IDENTITY_PROVIDER_UNAVAILABLE = "identity-provider-unavailable"
    NO_FORM = "no-form"
    FOREIGN_PAGE = "foreign-page"
    REQUEST_TIMEOUT = "request-timeout"
    HEAD_TOO_LARGE = "head-too-large"
    BODY_TOO_LARGE = "body-too-large"
    COMPRESSED_BODY = "compressed-body"
    MEDIA_TYPE = "media-type"

    BAD_FRAMING = "bad-framing"
    BAD_EVENT = "bad-event"
    EVENT_TOO_LARGE = "event-too-large"
    KAFKA_UNAVAILABLE = "kafka-unavailable"

    BUSY = "busy"
    TOO_BUSY = "too-busy"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    TOO_MANY_STREAMS = "too-many-streams"
    CLIENT_GONE = "client-gone"

    INTERNAL = "internal"
    NOT_READY = "not-ready"
    PAGE_INCOMPLETE = "page-incomplete"
    STORE_REJECTED = "store-rejected"
    STORE_UNAVAILABLE = "store-unavailable"
    MEDIA_UNAVAILABLE = "media-unavailable"
