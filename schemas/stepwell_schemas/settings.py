"""Settings that several services share: how to reach Kafka, ClickHouse and the media files.

Each service's model builds on them.
"""

from __future__ import annotations

import ssl
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ENVIRONMENT = SettingsConfigDict(env_prefix="STEPWELL_", extra="ignore", validate_default=True, frozen=True)
MEDIA_SCHEMES: Final = ("file", "s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "memory")


LogLevel = Literal["debug", "info", "warning", "error"]


class LogSettings(BaseSettings):
    """What the services log."""

    model_config = ENVIRONMENT

    log_level: LogLevel = Field("info", description="The least severe messages that a service logs.")


class KafkaSettings(BaseSettings):
    """How to reach the broker, and the topics on it."""

    model_config = ENVIRONMENT

    kafka_bootstrap_servers: str = Field("", description="Kafka brokers, `host:port` separated by commas.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers: TLS, SASL, both or neither."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="The SASL mechanism, where the protocol has SASL."
    )
    kafka_sasl_username: str = Field("", description="The SASL user.")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="The SASL password.")
    kafka_ssl_cafile: str | None = Field(
        None, description="File with the authorities whose brokers' certificates are trusted; unset: the system's."
    )
    events_topic: str = Field("stepwell.events", description="The topic that events travel through.")
    deadletters_topic: str = Field("stepwell.deadletters", description="The topic that keeps what could not be used.")

    def kafka_connection(self) -> dict[str, Any]:
        """Return the arguments that aiokafka's clients take to connect."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": self.kafka_security_protocol,
        }
        if "SSL" in self.kafka_security_protocol:
            arguments["ssl_context"] = ssl.create_default_context(cafile=self.kafka_ssl_cafile)
        if "SASL" in self.kafka_security_protocol:
            arguments |= {
                "sasl_mechanism": self.kafka_sasl_mechanism,
                "sasl_plain_username": self.kafka_sasl_username,
                "sasl_plain_password": self.kafka_sasl_password.get_secret_value(),
            }
        return arguments


class StoreSettings(BaseSettings):
    """How to reach ClickHouse."""

    model_config = ENVIRONMENT

    clickhouse_dsn: SecretStr = Field(
        SecretStr("http://127.0.0.1:8123"),
        description="ClickHouse: `http(s)://user:password@host:port`, or `chdb:///folder` for the embedded engine.",
    )
    clickhouse_database: str = Field("stepwell", description="The database that holds Stepwell's tables and views.")
    clickhouse_pool_size: int = Field(4, ge=1, le=64, description="ClickHouse calls a process makes at once.")


class HttpSettings(BaseSettings):
    """The names under which a service answers HTTP."""

    model_config = ENVIRONMENT

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names under which the service and the ClickHouse port answer, separated by commas; "
        "`.example.org` stands for all names below it. `localhost` and IP addresses always work.",
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, hosts: object) -> object:
        if isinstance(hosts, str):
            return tuple(host.strip() for host in hosts.split(",") if host.strip())
        return hosts


class MediaSettings(BaseSettings):
    """Where media files are kept; the ingestors and the query services must name the same place."""

    model_config = ENVIRONMENT

    media_url: str = Field(
        "~/.stepwell/media",
        description="Where media files are kept: a folder, or an object store such as `s3://bucket/prefix`, `gs://…`, "
        "`az://…`, whose credentials come from its own variables (`AWS_…`). `up` keeps them in its own folder.",
    )

    @field_validator("media_url")
    @classmethod
    def _known_place(cls, url: str) -> str:
        scheme = urlsplit(url).scheme
        if not url or (scheme and scheme not in MEDIA_SCHEMES):
            raise ValueError(f"{url!r} must be a folder, or a URL that begins with one of {', '.join(MEDIA_SCHEMES)}")
        return url
