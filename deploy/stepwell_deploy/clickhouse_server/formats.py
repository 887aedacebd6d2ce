"""Output formats that guests may choose, with the content type of each as ClickHouse's server sends it.

Left out are formats that read a schema or a template from a file (Protobuf, CapnProto, Template), that can ask a schema
registry (AvroConfluent), that a browser may render (XML, PNG), and other servers' wire protocols.
"""

from __future__ import annotations

from typing import Final

from stepwell_query.sql.functions import PLAIN_FORMATS

_BINARY: Final = "application/octet-stream"
_PLAIN: Final = "text/plain; charset=UTF-8"
_TABS: Final = "text/tab-separated-values; charset=UTF-8"
_JSON: Final = "application/json; charset=UTF-8"
_LINES: Final = "application/x-ndjson; charset=UTF-8"
_CSV: Final = "text/csv; charset=UTF-8; header="

_CSV_TYPES: Final = {"CSV": f"{_CSV}absent", "CSVWithNames": f"{_CSV}present", "CSVWithNamesAndTypes": f"{_CSV}present"}
_LINE_FORMATS: Final = frozenset({"JSONEachRow", "JSONLines", "JSONL", "NDJSON", "JSONStringsEachRow"})
_JSON_FORMATS: Final = frozenset(
    {
        *("JSON", "JSONStrings", "JSONCompact", "JSONCompactStrings", "JSONColumns", "JSONCompactColumns"),
        *("JSONColumnsWithMetadata", "JSONObjectEachRow", "JSONEachRowWithProgress"),
    }
)
_BINARY_FORMATS: Final = frozenset(
    {
        *("Arrow", "ArrowStream", "Parquet", "ORC", "Avro", "Native", "MsgPack", "Npy", "BSONEachRow", "Buffers"),
        *("RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes"),
    }
)


def content_type(form: str | None) -> str:
    """Return the content type of a format; formats that are not listed here are sent as binary data."""
    if form is None:
        return _PLAIN
    if form not in PLAIN_FORMATS or form in _BINARY_FORMATS:
        return _BINARY
    if form in _CSV_TYPES:
        return _CSV_TYPES[form]
    if form in _LINE_FORMATS:
        return _LINES
    if form in _JSON_FORMATS:
        return _JSON
    return (
        _TABS
        if form.startswith(("TabSeparated", "TSV", "TSKV", "Raw", "LineAsString")) and form != "RawBLOB"
        else _PLAIN
    )
