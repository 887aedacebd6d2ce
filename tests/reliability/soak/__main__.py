"""`make soak-events EVENTS=1000000 [SEED=1]`: mutated events against a broker, an engine and an ingestor."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from reliability.soak.events import soak
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.migrations.runner import migrate
from support.servers.ingest import make_ingestor_settings
from support.servers.stack import Stack, Topics


def main() -> None:
    """Run the soak and print its report."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    with tempfile.TemporaryDirectory(prefix="stepwell-soak-") as folder:
        stack = Stack(Path(folder))
        store = connect(stack.dsn("chdb"), "soak")
        migrate(store)
        topics = Topics("events", "deadletters")
        broker = stack.bootstrap_servers()
        asyncio.run(topics.create(broker))
        try:
            print(asyncio.run(soak(make_ingestor_settings(broker, topics), store, chosen.events, chosen.seed)))
        finally:
            store.close()
            stack.stop()


if __name__ == "__main__":
    main()
