"""Limits shared by producers and services, with their derivation.

A limit is defined here if both sides must agree on it; limits of a single service are settings of that service.
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
"""The largest step that a call may request. Nanosecond clocks (1.8e18) fit, and adding 2^62 automatic steps
still stays within Int64."""

MAX_BATCH_ROWS: Final = 2**20
"""Rows of one event: a row's version is `offset << 20 | row`, so an event has at most 2^20 of them."""

VERSION_ROW_BITS: Final = 20
MAX_OFFSET: Final = 2 ** (64 - VERSION_ROW_BITS)
"""Offsets that a version can hold: 2^44 events in one partition, 550 years at 1,000 events a second."""

MAX_EVENT_BYTES: Final = 8 * MIB
"""The largest event that a broker configured by Stepwell accepts; the producers' batches stay below it."""

MAX_BATCH_BYTES: Final = 4 * MAX_EVENT_BYTES
"""Bytes of one Kafka record batch after decompression: 32 MiB. The broker accepts 9 MiB of compressed bytes, and
metrics compress to a third. A reader holds the batch, its decompressed bytes and its records: 9 + 32 + 32 MiB at most.
"""

FETCH_RECORDS: Final = 10_000
"""Records that a reader decodes per poll. The smallest record has 7 bytes and takes some 500 as an object: a batch of
MAX_BATCH_BYTES may hold 4.8 million of them (2.4 GB), of which only 10,000 (5 MB) exist at a time."""

RECORD_OVERHEAD_BYTES: Final = 512
"""Memory of a record in addition to its key and value, in bytes."""

LETTER_VALUE_MAX_BYTES: Final = MAX_EVENT_BYTES + MIB
"""Bytes of an event that a dead letter may hold: 9 MiB, the largest uncompressed record that the broker accepts. The
topic of dead letters accepts 10 MiB; a larger event was compressed, and its letter is sent without it."""

LETTER_KEY_MAX_BYTES: Final = 4 * KIB
"""Bytes of the key of a dead letter without a value. A run path has at most 1,538."""

REQUEST_EVENTS_MAX: Final = 10_000
"""Events of one request to the gateway. The smallest event has some 20 bytes, so a body of 32 MiB may hold 1.4 million,
each of which takes a record and a future of some 1,000 bytes: 10,000 are 10 MB at a time. A producer that sends so many
small events gains nothing from more: they share one record batch."""

SEND_BATCH_BYTES: Final = MAX_EVENT_BYTES // 8
"""Packed values in one LogBatch: an eighth of the largest event, since keys, texts and framing are added, and batches
of 1 MiB already reach the broker's full throughput."""

MEDIA_CHUNK_BYTES: Final = 960 * KIB
"""Media bytes in one MediaChunk. Media don't compress, and a chunk can't be cut: with its framing, one still fits in
Kafka's default `max.message.bytes` of 1,048,588."""

MEDIA_MAX_PIECES: Final = 2**16
"""MediaChunks of one file: 60 GiB in chunks of MEDIA_CHUNK_BYTES."""

CONTENT_TYPE_MAX_CHARS: Final = 128
"""Characters of a media file's content type; registered types have fewer than 100."""

MEDIA_MAX_BYTES: Final = 1024 * MIB - 1
"""Default limit of the SDK for the bytes of one media file; a file is read into memory to be logged."""

TEXT_MAX_BYTES: Final = MAX_EVENT_BYTES // 8
"""UTF-8 bytes of one string value, or of the JSON of one `other` value."""

VALUE_MAX_LEAVES: Final = TEXT_MAX_BYTES // 2
"""Parts of one value with lists or dicts: 524,288, since JSON takes two bytes or more for each. A part that several
places share counts at each of them, so that the bound holds for the work, too."""

FILE_MAX_LEAVES: Final = MEDIA_MAX_BYTES // 2
"""Parts of the JSON of a media file, such as a figure: likewise two bytes or more for each."""

DICT_MAX_METRICS: Final = 2**17
"""Metrics that one `log()` call may make of nested dicts: 131,072, twice the numbers that fit a LogBatch of
SEND_BATCH_BYTES at 16 bytes each. Dicts that make more of them share parts, and make 2^n of n dicts."""

JSON_MAX_DEPTH: Final = 100
"""Nesting levels of lists and objects in a document or an `other` value. Parsers have very different limits: orjson
writes 254 levels, Python reads fewer than 1,000, depending on its stack. 100 is below all of them, so that every
program can read stored values, and more than any hand-written configuration needs."""

DOCUMENT_MAX_BYTES: Final = 16 * MIB
"""Bytes of each of a run's config, manual summary and metric definitions: a change writes the whole document, and twice
the largest event is more than a single event can set."""

SESSION_MAX_GAPS: Final = 128
"""Ranges of missing records that the ingestor remembers for one session: a log that was created again leaves one, and
each damaged segment of a journal another. A producer that leaves out every other number would fill the memory."""

SEGMENT_MIN_BYTES: Final = MIB
SEGMENT_MAX_BYTES: Final = 64 * MIB
"""Bytes of a journal's segment. It is deleted as a whole when its records are delivered: small ones keep the use of the
disk close to what is undelivered, large ones keep 16 GiB in 256 files."""

HEARTBEAT_SECONDS: Final = 5.0
HEARTBEAT_OLD_SECONDS: Final = 300.0
"""Seconds between two heartbeats of an open journal, and seconds without one after which another host may deliver it:
60 heartbeats, so that a stalled network file system or a paused virtual machine does not pass for a dead process."""

SIGN_OF_LIFE_SECONDS: Final = 30.0
CRASHED_AFTER_SECONDS: Final = 300.0
"""Seconds of silence after which the SDK sends a sign of life for a run, and the default of seconds without one after
which a running run is served as crashed: ten of them, so that a broker's election or an ingestor's restart is not taken
for the end of all runs."""

ACCESS_KEYS_MAX: Final = 10_000
KEY_GRANTS_MAX: Final = 64
KEY_TEXT_MAX_CHARS: Final = 128
"""Valid API keys, scopes of a key, and characters of its name and owner. Each process holds all valid keys, 10,000 of
about 1 KB, and reads them every few seconds."""

ADMIN_KEY_MIN_CHARS: Final = 32
CREDENTIAL_MAX_CHARS: Final = 8 * KIB
"""Characters of an administrator's key that a setting gives, and of any credential: 32 hexadecimal digits are 128 bits,
and tokens of identity providers with many groups have some 4,000 characters."""

EARLIEST_TIMESTAMP: Final = 0
LATEST_TIMESTAMP: Final = 2**53
"""Microseconds since the epoch that an event may name (1970 to 2255, within DateTime64's range); instead of one
outside, the Kafka record's own time is stored, clipped to the same range."""

COUNT_MAX: Final = 2**64 - 1
"""The largest value of a UInt64 column; counts are clipped to it."""

FLOAT64_EXACT_INT: Final = 2**53
"""Integers up to this magnitude are exact in float64; larger ones are sent with their exact text."""

AUDIT_FIELD_MAX_CHARS: Final = 1_000
AUDIT_DETAIL_MAX_CHARS: Final = 4_000
AUDIT_QUEUE_MAX: Final = 10_000
"""Characters of one text of an audit entry, and of its detail as JSON; entries that wait for ClickHouse. Most entries
have 500 bytes, the longest some 12,000: 5 MB, and 120 MB at worst."""

assert MAX_BATCH_ROWS == 1 << VERSION_ROW_BITS  # noqa: S101 - a relation between limits, checked at import
assert SEND_BATCH_BYTES + TEXT_MAX_BYTES + MIB <= MAX_EVENT_BYTES  # noqa: S101 - a batch and its largest text fit
