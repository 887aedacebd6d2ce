"""Rows of runs as tables: DataFrames for `history`, and Arrow scans in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from stepwell.api.http import ApiHttp
from stepwell.errors import ApiError

if TYPE_CHECKING:
    import httpx
    import pandas as pd
    import pyarrow as pa

_ARROW: Final = "application/vnd.apache.arrow.stream"


def removed_to(answer: httpx.Response) -> int | None:
    """Return the first step whose rows an answer has completely, None if no rows of it are removed."""
    step = answer.headers.get("stepwell-raw-from")
    return None if step is None else int(step)


def to_dataframe(rows: Sequence[Mapping[str, Any]], first: str) -> Any:
    """Return rows as a DataFrame whose first column is `first`; without pandas, return them unchanged."""
    try:
        from pandas import DataFrame
    except ImportError:
        return rows
    frame = DataFrame.from_records(rows)
    before = [first] if first in frame.columns else []
    return frame[before + [column for column in frame.columns if column not in before]]


class Scan:
    """All rows of a run as pyarrow.RecordBatches of some thousands of rows; each iteration is a new request.

    Iteration raises ApiError if pyarrow is missing, the service rejects the request, or its response breaks off.

    Attributes:
        schema: the schema of the batches; set when an iteration starts.
        next: the cursor for a later scan of newer rows; set when an iteration ends.
        raw_from: the first step whose rows are complete, if older ones were removed; set when an iteration starts.
    """

    def __init__(self, api: ApiHttp, address: str, parameters: Mapping[str, Any]) -> None:
        self._api = api
        self._address = address
        self._parameters = parameters
        self.schema: pa.Schema | None = None
        self.next: str | None = None
        self.raw_from: int | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            import pyarrow as pa
        except ImportError as error:
            raise ApiError("scans need pyarrow: pip install pyarrow") from error
        with self._api.streamed(self._address, self._parameters, _ARROW) as response:
            self.raw_from = removed_to(response)
            received = ReceivedBytes(response.iter_bytes())
            with pa.ipc.open_stream(pa.PythonFile(received, "r")) as reader:
                self.schema = reader.schema
                yield from reader
            received.drain()
            self.next = response.headers["stepwell-next"]

    def table(self) -> pa.Table:
        """Return all batches as one pyarrow.Table. Raises: ApiError."""
        batches = list(self)
        import pyarrow as pa

        return pa.Table.from_batches(batches, self.schema)

    def to_pandas(self) -> pd.DataFrame:
        """Return all rows as a DataFrame. Raises: ApiError."""
        frame: pd.DataFrame = self.table().to_pandas()
        return frame


class ReceivedBytes(io.RawIOBase):
    """The bytes of a streamed response as a file object for one pass."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def drain(self) -> None:
        """Read to the end of the response, so that its connection can be used again."""
        for _ in self._chunks:
            pass

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        parts: list[memoryview] = []
        remaining = size
        while remaining != 0:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            part = self._rest if remaining < 0 else self._rest[:remaining]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            remaining -= len(part) if remaining > 0 else 0
        return b"".join(parts)
