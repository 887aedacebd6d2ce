"""Parameters of the list of audit entries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from stepwell_query.api.params.common import Parameters
from stepwell_query.catalog.audit_entries import ENTRIES_DEFAULT, ENTRIES_MAX, AuditFilter
from stepwell_schemas.access.audit import Action

_TEXT_MAX: Final = 1_000


def _in_utc(time: datetime) -> datetime:
    """Take a time without a zone for one of UTC."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


Time = Annotated[datetime, AfterValidator(_in_utc)]
Text = Annotated[str | None, Field(max_length=_TEXT_MAX)]


class AuditQuery(Parameters):
    """The query of GET audit."""

    action: tuple[Action, ...] = Field((), max_length=len(Action), description="An action; repeat it for several.")
    actor: Text = Field(None, description="The user.")
    key_id: Text = Field(None, description="The id of the key that was used.")
    entity: Text = Field(None, description="The entity of the data.")
    project: Text = Field(None, description="The project of the data.")
    run_id: Text = Field(None, description="The run.")
    since: Time | None = Field(None, description="The earliest time, in ISO 8601; without a zone, in UTC.")
    until: Time | None = Field(None, description="The time before which entries are, in ISO 8601.")
    limit: int = Field(ENTRIES_DEFAULT, ge=1, le=ENTRIES_MAX, description="Maximum entries of a page.")
    cursor: Text = Field(None, description="The `next` of the previous page.")

    def to_filter(self) -> AuditFilter:
        """Return the entries that the query is about."""
        fields = self.model_dump(exclude={"action"})
        return AuditFilter(tuple(str(action) for action in self.action), **fields)
