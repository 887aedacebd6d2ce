"""Set the time after which the view `runs` shows a run without a sign of life as crashed.

A view has no settings, so the time is part of its text. The migrations create it with the default.
"""

from __future__ import annotations

from typing import Final

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import CRASHED_AFTER_SECONDS
from stepwell_schemas.migrations.runner import migrations

_VIEW: Final = "CREATE OR REPLACE VIEW {db}.runs AS"
_TEXT: Final = (
    "SELECT create_table_query AS text FROM system.tables WHERE database = {database:String} AND name = 'runs'"
)


def runs_view(crashed_after_seconds: float) -> str:
    """Return the statement that creates the view with a setting."""
    created = [part for migration in migrations() for part in migration.statements if part.startswith(_VIEW)]
    default = _interval(CRASHED_AFTER_SECONDS)
    assert created[-1].count(default) == 1  # noqa: S101 - the newest migration of the view has the default
    return created[-1].replace(default, _interval(crashed_after_seconds))


def set_crashed_after(store: Store, crashed_after_seconds: float) -> bool:
    """Create the view again if it has another setting; return whether it had. Without the view, do nothing.

    Raises:
        StoreError: if ClickHouse can't be reached, or the user may not change views.
    """
    texts = store.query(_TEXT, {"database": store.database}).column("text").to_pylist()
    if not texts or _interval(crashed_after_seconds) in texts[0]:
        return False
    store.command(runs_view(crashed_after_seconds))
    return True


def _interval(seconds: float) -> str:
    return f"toIntervalMillisecond({int(seconds * 1_000)})"
