"""The broker and the tables of a stack that is not running, for commands that need both without an ingestor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from stepwell_deploy.local.broker_thread import BrokerThread
from stepwell_deploy.local.data_dir import locked_folder
from stepwell_deploy.local.exit_deadline import BROKER_SECONDS
from stepwell_deploy.local.kafka import LocalKafka, Progress
from stepwell_deploy.settings import DeploySettings
from stepwell_ingestor.settings import IngestorSettings


@contextmanager
def stopped_stack(settings: DeploySettings, progress: Progress) -> Iterator[IngestorSettings]:
    """Start the broker of a data folder for the block; yield the settings of an ingestor of this folder.

    Raises:
        FolderInUseError: if `stepwell up` runs on the folder.
        BrokerError, PortInUseError: if the broker does not start.
    """
    given = IngestorSettings()
    with locked_folder(settings.server_dir.expanduser().resolve()) as folder:
        broker = BrokerThread(LocalKafka(folder / "kafka", settings.kafka_port, settings.kafka_heap_mb))
        try:
            broker.start(progress)
            changes = {
                "kafka_bootstrap_servers": broker.kafka.bootstrap_servers,
                "clickhouse_dsn": SecretStr(f"chdb://{folder / 'clickhouse'}"),
            }
            media = {} if "media_url" in given.model_fields_set else {"media_url": str(folder / "media")}
            yield given.model_copy(update=changes | media)
        finally:
            broker.close(BROKER_SECONDS)
