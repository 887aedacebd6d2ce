"""Rows of runs as tables: what becomes of `history`, and all that a run logged as Arrow, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from stepwell.api.http import ApiHttp
from stepwell.errors import ApiError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ARROW: Final = "application/vnd.apache.arrow.stream"


def frame_of(rows: Sequence[Mapping[str, Any]], first: str) -> Any:
    """Return rows as a DataFrame whose first column is `first`; without pandas, as they are."""
    try:
        from pandas import DataFrame
    except ImportError:
        return rows
    frame = DataFrame.from_records(rows)
    before = [first] if first in frame.columns else []
    return frame[before + [column for column in frame.columns if column not in before]]


class Scan:
    """All rows of a run, some thousands at a time, as pyarrow.RecordBatches; each iteration asks the service anew.

    Iterating raises ApiError when pyarrow is missing, the service refuses, or its answer breaks off.

    Attributes:
        schema: of the batches; known once an iteration has begun.
        next: the cursor for a later scan that gives what was logged since; known once an iteration has ended.
    """

    def __init__(self, api: ApiHttp, address: str, asked: Mapping[str, Any]) -> None:
        self._api = api
        self._address = address
        self._asked = asked
        self.schema: pa.Schema | None = None
        self.next: str | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            import pyarrow as pa
        except ImportError as error:
            raise ApiError("scans come as Arrow, for which pyarrow is needed: pip install pyarrow") from error
        with self._api.streamed(self._address, self._asked, _ARROW) as answer:
            received = ReceivedBytes(answer.iter_bytes())
            with pa.ipc.open_stream(pa.PythonFile(received, "r")) as reader:
                self.schema = reader.schema
                yield from reader
            received.drain()
            self.next = answer.headers["stepwell-next"]

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
    """The bytes of an answer as a file to be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def drain(self) -> None:
        """Read what a reader left: an answer's end, without which its connection can't be used again."""
        for _ in self._chunks:
            pass

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer at the end."""
        pieces: list[memoryview] = []
        wanted = size
        while wanted != 0:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            piece = self._rest if wanted < 0 else self._rest[:wanted]
            self._rest = self._rest[len(piece) :]
            pieces.append(piece)
            wanted -= len(piece) if wanted > 0 else 0
        return b"".join(pieces)
