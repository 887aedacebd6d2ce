"""Every bound that both ends share, with its arithmetic.

A bound is here when breaking it on one side would surprise the other; what only one service cares
about is a setting of that service.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

IDENTIFIER_MAX_CHARS: Final = 128
"""Characters of an entity, project or run id. A run path is then at most 3 × 128 × 4 bytes + 2 slashes,
which stays below the 2,000 bytes that proxies accept in a URL once it is not percent-encoded."""

KEY_MAX_CHARS: Final = 1_024
"""Characters of a metric's key, after nested dicts became `a.b` keys."""

MAX_STEP: Final = 2**62
"""The largest step that may be asked for. Nanosecond clocks (1.8e18) fit, and adding 2^62 automatic steps
to it still stays within Int64."""

MAX_BATCH_ROWS: Final = 2**20
"""Rows of one event: a row's version is `offset << 20 | row`, so an event has at most 2^20 of them."""

VERSION_ROW_BITS: Final = 20
MAX_OFFSET: Final = 2 ** (64 - VERSION_ROW_BITS)
"""Offsets that a version can hold: 2^44 events in one partition, 550 years at 1,000 events a second."""

MAX_EVENT_BYTES: Final = 8 * MIB
"""The largest event a broker set up by Stepwell takes; the producers' batches stay below it."""

MAX_BATCH_BYTES: Final = 4 * MAX_EVENT_BYTES
"""Bytes of one Kafka record batch after decompression: 32 MiB. The broker takes 9 MiB of compressed bytes, and metrics
compress to a third. A reader holds the batch, its decompressed bytes and its records: 9 + 32 + 32 MiB at most."""

FETCH_RECORDS: Final = 10_000
"""Records that a reader takes over at once. The smallest record has 7 bytes and takes some 500 as an object: a batch
of MAX_BATCH_BYTES holds 4.8 million of them, 2.4 GB, and of these 10,000 exist at a time, 5 MB."""

RECORD_OVERHEAD_BYTES: Final = 512
"""Bytes that a record in memory takes besides its key and value."""

LETTER_VALUE_MAX_BYTES: Final = MAX_EVENT_BYTES + MIB
"""Bytes of an event that a dead letter holds: 9 MiB, the largest record that the broker takes without compression. The
topic of dead letters takes 10 MiB; a larger event came compressed, and its letter goes without it."""

LETTER_KEY_MAX_BYTES: Final = 4 * KIB
"""Bytes of a dead letter's key when it goes without its value. A run path has at most 1,538."""

SEND_BATCH_BYTES: Final = MAX_EVENT_BYTES // 8
"""Packed values in one LogBatch: an eighth of what the broker takes, since the keys, the texts of a batch and
the framing come on top, and batches of 1 MiB already run at the broker's full speed."""

MEDIA_CHUNK_BYTES: Final = MAX_EVENT_BYTES // 8
"""Media bytes in one MediaChunk."""

MEDIA_MAX_PIECES: Final = 2**16
"""MediaChunks of one file: 64 GiB in pieces of MEDIA_CHUNK_BYTES."""

CONTENT_TYPE_MAX_CHARS: Final = 128
"""Characters of a media file's content type; the registered ones have fewer than 100."""

MEDIA_MAX_BYTES: Final = 1024 * MIB - 1
"""Bytes of one media file that the SDK takes unless set otherwise; a file is read into memory to be logged."""

TEXT_MAX_BYTES: Final = MAX_EVENT_BYTES // 8
"""UTF-8 bytes of one string value, or of the JSON of one `other` value."""

JSON_MAX_DEPTH: Final = 100
"""Levels of lists and objects in a document or an `other` value. Parsers give up at very different depths: orjson
writes 254 levels, Python reads fewer than 1,000 less those of its own stack. 100 is below all of them, so that what is
stored can be read by every program, and more than any hand-written configuration has."""

DOCUMENT_MAX_BYTES: Final = 16 * MIB
"""Bytes of a run's config, of its summary set by hand and of its metric definitions, each: a change writes the whole
document, and twice the largest event is more than a single event can set."""

COUNT_MAX: Final = 2**64 - 1
"""The largest count that a column of the type UInt64 holds; sums are clipped there."""

FLOAT64_EXACT_INT: Final = 2**53
"""Integers up to this magnitude are exact in float64; beyond it the exact text travels too."""

assert MAX_BATCH_ROWS == 1 << VERSION_ROW_BITS  # noqa: S101 - a relation between limits, checked at import
assert SEND_BATCH_BYTES + TEXT_MAX_BYTES + MIB <= MAX_EVENT_BYTES  # noqa: S101 - a batch and its largest text fit
