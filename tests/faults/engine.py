"""The embedded engine behind its HTTP port as a process that can be killed: `python -m faults.engine FOLDER PORT`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_schemas.clickhouse import connect
from stepwell_schemas.migrate import migrate

USER = "faults"


def main() -> None:
    """Serve until killed."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    store = connect(f"chdb://{folder}", "stepwell")
    migrate(store)
    with ClickHouseHttp(folder, "127.0.0.1", port, USER, USER):
        threading.Event().wait()


if __name__ == "__main__":
    main()
