"""Allowlist of the settings that guests may change, with a rule for each value.

The list contains the settings that the supported clients send by themselves or document for their users:
clickhouse-connect, ClickHouse's JavaScript client and JDBC driver, Grafana's data sources, and the switches that BI
tools set. It has no patterns: among names of one prefix, some read or write files (`output_format_schema`,
`format_template_resultset`).

A value is parsed here and written again in one form, so that the engine can't read it in another way: a time limit of
0.0000001 seconds, for instance, is 0 to the engine, which means no limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

Rule = Callable[[str], str | None]
"""Return a value in the form for the engine, or None if the setting does not accept it."""

_FLAGS: Final = {"0": "0", "1": "1", "false": "0", "true": "1"}
_INTEGER: Final = re.compile(r"[0-9]{1,19}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_TIME_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_INT64_MAX: Final = 2**63 - 1
LEAST_SECONDS: Final = 0.001


def flag(text: str) -> str | None:
    """Accept a boolean."""
    return _FLAGS.get(text.lower())


def integer(least: int, most: int = _INT64_MAX) -> Rule:
    """Return a rule for decimal numbers of a range."""

    def rule(text: str) -> str | None:
        return str(int(text)) if _INTEGER.fullmatch(text) and least <= int(text) <= most else None

    return rule


def seconds(text: str) -> str | None:
    """Accept a number of seconds that the engine does not round to none."""
    value = float(text) if _SECONDS.fullmatch(text) else math.nan
    return f"{value:.3f}" if value >= LEAST_SECONDS else None


def choice(*names: str) -> Rule:
    """Return a rule for exact names."""
    return lambda text: text if text in names else None


def time_zone(text: str) -> str | None:
    """Accept the form of a time zone's name, empty for the server's."""
    return text if not text or _TIME_ZONE.fullmatch(text) else None


def delimiter(text: str) -> str | None:
    """Accept one visible character or a tab."""
    return text if len(text) == 1 and (text == "\t" or " " <= text <= "~") else None


COUNTING: Final = frozenset({"max_rows_to_read", "max_bytes_to_read", "read_overflow_mode"})
"""Settings that guests who may not see all rows can't set: they count rows that are read and then filtered out."""

_OVERFLOW: Final = choice("throw", "break")
_COMPRESSION: Final = choice("none", "lz4", "lz4_frame", "zstd", "snappy", "gzip", "brotli")

RULES: Final[dict[str, Rule]] = {
    # Limits: the server's own are applied on top, see `guests.Limits`.
    "max_execution_time": seconds,
    **dict.fromkeys(("max_memory_usage", "max_result_bytes"), integer(1)),
    **dict.fromkeys(("max_result_rows", "max_rows_to_read", "max_bytes_to_read"), integer(0)),
    "max_threads": integer(1, 64),
    "max_block_size": integer(1, 1_000_000),
    **dict.fromkeys(("result_overflow_mode", "read_overflow_mode", "timeout_overflow_mode"), _OVERFLOW),
    # Guests only read, whatever these settings are.
    "readonly": choice("0", "1", "2"),
    # Output of values.
    "date_time_output_format": choice("simple", "iso", "unix_timestamp"),
    "date_time_input_format": choice("basic", "best_effort", "best_effort_us"),
    "session_timezone": time_zone,
    "format_csv_delimiter": delimiter,
    "output_format_arrow_compression_method": _COMPRESSION,
    "output_format_parquet_compression_method": _COMPRESSION,
    "output_format_pretty_max_rows": integer(1, 1_000_000),
    **dict.fromkeys(
        (
            "output_format_arrow_string_as_string",
            "output_format_arrow_low_cardinality_as_dictionary",
            "output_format_parquet_string_as_string",
            "output_format_json_quote_64bit_integers",
            "output_format_json_quote_64bit_floats",
            "output_format_json_quote_denormals",
            "output_format_json_quote_decimals",
            "output_format_json_escape_forward_slashes",
            "output_format_json_named_tuples_as_objects",
            "output_format_json_array_of_rows",
            "output_format_csv_crlf_end_of_line",
            "output_format_tsv_crlf_end_of_line",
            "output_format_write_statistics",
            "output_format_decimal_trailing_zeros",
            "output_format_parallel_formatting",
            "output_format_pretty_color",
            "output_format_binary_write_json_as_string",
            "output_format_binary_encode_types_in_binary_format",
            "output_format_native_write_json_as_string",
            "output_format_native_encode_types_in_binary_format",
            "output_format_native_use_flattened_dynamic_and_json_serialization",
            "input_format_binary_read_json_as_string",
            "input_format_null_as_default",
            "input_format_skip_unknown_fields",
            "http_write_exception_in_output_format",
            # Interpretation of statements, and additional parts of the answer.
            "allow_experimental_json_type",
            "allow_experimental_dynamic_type",
            "allow_experimental_variant_type",
            "enable_json_type",
            "enable_dynamic_type",
            "enable_variant_type",
            "extremes",
            "join_use_nulls",
            "group_by_use_nulls",
            "transform_null_in",
            "prefer_column_name_to_alias",
            "select_sequential_consistency",
            "use_uncompressed_cache",
            # Settings of inserts, which guests can't run; clients send them with every statement.
            "async_insert",
            "wait_for_async_insert",
            "optimize_on_insert",
            "deduplicate_blocks_in_dependent_materialized_views",
        ),
        flag,
    ),
}
