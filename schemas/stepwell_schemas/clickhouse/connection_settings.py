"""ClickHouse's settings for connections, statements and inserts, whatever the defaults of a server or a user are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clickhouse_connect.driver.client import Client

CLIENT_SETTINGS: Final[dict[str, str | int]] = {
    # Strings as text: by default ClickHouse returns bytes, which every reader would have to decode.
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_compression_method": "none",
    # Store rows as inserted: replacing and aggregating happen in later merges.
    "optimize_on_insert": 0,
    # Deduplicate inserts that are repeated under their token in the target tables of materialized views too.
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}
"""Settings of a connection: set per call, they would cost the embedded engine four more statements."""

STATEMENT_SETTINGS: Final[dict[str, str | int]] = {"enable_parallel_replicas": 0}
"""Settings of connections to servers that have them. Parallel replicas with FINAL or projections count wrongly."""

# More rows and bytes than any insert has.
_UNLIMITED: Final = 2**40
INSERT_SETTINGS: Final[dict[str, str | int]] = {
    # The default of servers since 26.3: rows are acknowledged in a buffer, and several inserts share a block.
    "async_insert": 0,
    "max_insert_threads": 1,
    "max_insert_block_size": _UNLIMITED,
    "max_insert_block_size_bytes": 0,
    "min_insert_block_size_rows": _UNLIMITED,
    "min_insert_block_size_bytes": _UNLIMITED,
    "use_strict_insert_block_limits": 0,
    # Two names of one setting, of older and newer servers.
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
}
"""Settings of an insert: one block, which is stored before the reply."""


def known_settings(client: Client, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings that the server's version has; it refuses others."""
    return {name: value for name, value in settings.items() if name in client.server_settings}
