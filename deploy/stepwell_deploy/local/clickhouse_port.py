"""The ClickHouse port of `stepwell up`, with the keys, the limits and the audit log of its process."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from stepwell_deploy.clickhouse_server.guests import Limits
from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_deploy.local.service_app import Shared
from stepwell_deploy.settings import DeploySettings
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.service_access import ServiceAccess
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.tls import ServerCertificate

_CLICKHOUSE_USER: Final = "stepwell"


def make_clickhouse_port(
    settings: DeploySettings,
    engine: Path,
    store: Store,
    stack: ExitStack,
    certificate: ServerCertificate | None,
    shared: Shared,
) -> ClickHouseHttp | None:
    """Return the ClickHouse port if it is enabled; the password of its writing user is random and not stored.

    What it uses of the store is closed by `stack`, after the port.
    """
    if settings.clickhouse_port == 0:
        return None
    port = 0 if settings.clickhouse_port == "auto" else settings.clickhouse_port
    given = QuerySettings()
    limits = Limits(given.sql_max_seconds, given.sql_max_memory_bytes, given.sql_max_bytes)
    password = secrets.token_urlsafe()
    # Not the service's: each event loop has an authenticator of its own.
    authenticator = ServiceAccess.over(store, given, given.base_url).authenticator
    stack.callback(authenticator.keys.close)
    return ClickHouseHttp(
        engine,
        settings.host,
        port,
        _CLICKHOUSE_USER,
        password,
        limits,
        allowed_hosts=given.allowed_hosts,
        database=store.database,
        authenticator=authenticator,
        audit=shared.audit,
        certificate=certificate,
        key_limits=shared.limits,
    )
