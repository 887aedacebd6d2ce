"""The events of the topic `stepwell.events` as pydantic models, with the fields and defaults of `avro/*.avsc`.

A validated model is consistent: the packed columns of a `LogBatch` have the lengths given by its numbers of rows and
keys. Rules that need the run's state (steps, keys, kinds) are applied by the ingestor.

Every number has the range of its Avro type, or a narrower one. On the wire, an Avro `int` is a varint of up to 64 bits,
and fastavro does not check its range; a number out of range would fail later, when its column is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stepwell_schemas.limits import MAX_BATCH_ROWS, MEDIA_MAX_PIECES
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

AVRO_INT_MAX: Final = 2**31 - 1
AVRO_LONG_MAX: Final = 2**63 - 1

Int = Annotated[int, Field(ge=-AVRO_INT_MAX - 1, le=AVRO_INT_MAX)]
"""A number of the Avro type `int`, and of the column type Int32."""

Long = Annotated[int, Field(ge=-AVRO_LONG_MAX - 1, le=AVRO_LONG_MAX)]
"""A number of the Avro type `long`, and of the column type Int64."""

I64_BYTES = 8
F64_BYTES = 8
U32_BYTES = 4

NO_SEQUENCE = -1
NO_TIMESTAMP = -1


class Event(BaseModel):
    """Fields of every event: run, session and sequence number of the record, and the time (µs since the epoch)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]

    entity: str
    project: str
    run_id: str
    session: str = ""
    sequence: Long = NO_SEQUENCE
    timestamp: Long = NO_TIMESTAMP

    @property
    def path(self) -> RunPath:
        """The run's path. Raises: IdentifierError."""
        return RunPath.checked(self.entity, self.project, self.run_id)

    @property
    def records(self) -> int:
        """Number of sequence numbers of its session that the event covers."""
        return 1


class RunStarted(Event):
    """A run is started or resumed."""

    name = "RunStarted"

    writer: str = ""
    display_name: str = ""
    config: str = "{}"
    tags: list[str] = []
    notes: str = ""
    group: str = ""
    job_type: str = ""
    resumed: bool = False
    client: str = ""
    host: str = ""
    pid: Long = -1
    program: str = ""
    git_commit: str = ""
    git_dirty: bool | None = None
    lineage: str = ""
    lineage_step: Long = 0
    predecessor: str = ""
    predecessor_sequence: Long = 0


class Exact(BaseModel):
    """The exact decimal text of the integer at `index` of its block's packed values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int = Field(ge=0, le=AVRO_INT_MAX)
    text: str = Field(pattern=r"^-?[0-9]+$")


class Block(BaseModel):
    """The values of some keys of one kind that the same rows logged: len(keys) columns of n values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    keys: list[str]
    rows: bytes | None = None
    packed: bytes = b""
    texts: list[str] = []
    exact: list[Exact] = []

    def row_count(self, batch_rows: int) -> int:
        """Return n, the values in each column, within a batch of `batch_rows` rows."""
        return batch_rows if self.rows is None else len(self.rows) // U32_BYTES

    def check(self, batch_rows: int) -> None:
        """Raise ValueError unless the columns have the lengths given by keys and rows."""
        if self.rows is not None and len(self.rows) % U32_BYTES:
            raise ValueError(f"block rows: {len(self.rows)} bytes are not a multiple of {U32_BYTES}")
        values = self.row_count(batch_rows) * len(self.keys)
        value_bytes = {Kind.NUMBER: F64_BYTES, Kind.BOOL: 1}.get(self.kind, 0)
        if len(self.packed) != values * value_bytes:
            raise ValueError(f"block packed: {len(self.packed)} bytes for {values} {self.kind} values")
        if len(self.texts) != (0 if value_bytes else values):
            raise ValueError(f"block texts: {len(self.texts)} for {values} {self.kind} values")
        if self.exact and (self.kind is not Kind.NUMBER or max(e.index for e in self.exact) >= values):
            raise ValueError("block exact: an index is out of range, or the block has no numbers")


class LogBatch(Event):
    """Many `log()` calls of one writer, in columns."""

    name = "LogBatch"

    writer: str = ""
    rows: int = Field(ge=0, le=MAX_BATCH_ROWS)
    timestamps: bytes
    steps: bytes | None = None
    commits: bytes | None = None
    current_step: Long | None = None
    row_begun: bool = False
    content: Long | None = None
    blocks: list[Block]

    @property
    def records(self) -> int:
        """Number of rows; each has a sequence number."""
        return self.rows

    @model_validator(mode="after")
    def _columns_match(self) -> Self:
        _check_length("timestamps", self.timestamps, self.rows * I64_BYTES)
        _check_length("steps", self.steps, self.rows * I64_BYTES)
        _check_length("commits", self.commits, self.rows)
        for block in self.blocks:
            block.check(self.rows)
        return self


def _check_length(field: str, column: bytes | None, expected: int) -> None:
    if column is not None and len(column) != expected:
        raise ValueError(f"{field}: {len(column)} bytes; the batch's rows need {expected}")


class Other(BaseModel):
    """A value of the kind `other`, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    json_text: str = Field(alias="json")


class Media(BaseModel):
    """A media reference as JSON, with its kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    json_text: str = Field(alias="json")


class LogEvent(Event):
    """One `log()` call as a plain map."""

    name = "LogEvent"

    writer: str = ""
    step: Long | None = None
    commit: bool | None = None
    data: dict[str, bool | Long | float | str | Media | Other | None]


class MetricDefinition(BaseModel):
    """Settings of a metric: its x axis, summary and visibility."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    step_metric: str | None = None
    summary: str | None = None
    goal: str | None = None
    hidden: bool = False
    glob: bool = False


class RunUpdated(Event):
    """Changes to a run's config, summary and other metadata."""

    name = "RunUpdated"

    config: str = "{}"
    config_remove: list[str] = []
    summary: str = "{}"
    summary_remove: list[str] = []
    tags: list[str] | None = None
    notes: str | None = None
    display_name: str | None = None
    metrics: list[MetricDefinition] = []
    group: str | None = None
    job_type: str | None = None
    stop_requested: bool | None = None
    tags_add: list[str] = []
    tags_remove: list[str] = []
    edited: bool = False


class MediaChunk(Event):
    """A chunk of a media file, which is identified by its SHA-256."""

    name = "MediaChunk"

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    index: int = Field(ge=0, lt=MEDIA_MAX_PIECES)
    count: int = Field(ge=1, le=MEDIA_MAX_PIECES)
    size: int = Field(ge=0, le=AVRO_LONG_MAX)
    content_type: str = "application/octet-stream"
    data: bytes


class RunFinished(Event):
    """A run ended."""

    name = "RunFinished"

    exit_code: Int = 0
    state: Literal["finished", "failed", "killed", "crashed"] = "finished"


class RunDeleted(Event):
    """A run is deleted, with everything that was recorded of it before this event."""

    name = "RunDeleted"

    reason: str = ""


EVENT_TYPES: Sequence[type[Event]] = (RunStarted, LogBatch, LogEvent, RunUpdated, MediaChunk, RunFinished, RunDeleted)
