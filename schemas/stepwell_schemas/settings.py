"""Settings shared by several services: connections to Kafka, ClickHouse and the media store.

The settings of each service inherit from them.
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
    """Settings of logging."""

    model_config = ENVIRONMENT

    log_level: LogLevel = Field("info", description="The least severe messages that a service logs.")


class KafkaSettings(BaseSettings):
    """Connection to the Kafka brokers, and the topics."""

    model_config = ENVIRONMENT

    kafka_bootstrap_servers: str = Field("", description="Kafka brokers, `host:port` separated by commas.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol of the connection to the brokers: with TLS, SASL, both or neither."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="The SASL mechanism, if the protocol uses SASL."
    )
    kafka_sasl_username: str = Field("", description="The SASL user.")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="The SASL password.")
    kafka_ssl_cafile: str | None = Field(
        None, description="File with the certificate authorities to trust; by default, those of the system."
    )
    events_topic: str = Field("stepwell.events", description="The topic of events.")
    deadletters_topic: str = Field("stepwell.deadletters", description="The topic of events that could not be used.")

    def kafka_connection(self) -> dict[str, Any]:
        """Return the connection arguments for aiokafka's clients."""
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
    """Connection to ClickHouse."""

    model_config = ENVIRONMENT

    clickhouse_dsn: SecretStr = Field(
        SecretStr("http://127.0.0.1:8123"),
        description="ClickHouse: `http(s)://user:password@host:port`, or `chdb:///folder` for the embedded engine.",
    )
    clickhouse_database: str = Field("stepwell", description="The database that holds Stepwell's tables and views.")
    clickhouse_pool_size: int = Field(4, ge=1, le=64, description="Concurrent ClickHouse calls of a process.")


class HttpSettings(BaseSettings):
    """Host names of an HTTP service."""

    model_config = ENVIRONMENT

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names that the service and the ClickHouse port accept, separated by commas; `.example.org` "
        "stands for all names below it. `localhost` and IP addresses are always accepted.",
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, hosts: object) -> object:
        if isinstance(hosts, str):
            return tuple(host.strip() for host in hosts.split(",") if host.strip())
        return hosts


class MediaSettings(BaseSettings):
    """Location of media files; it must be the same for the ingestors and the query services."""

    model_config = ENVIRONMENT

    media_url: str = Field(
        "~/.stepwell/media",
        description="Location of media files: a folder, or an object store such as `s3://bucket/prefix`, `gs://…` or "
        "`az://…`, with credentials from the store's own variables (`AWS_…`). `up` uses its own folder.",
    )

    @field_validator("media_url")
    @classmethod
    def _check_scheme(cls, url: str) -> str:
        scheme = urlsplit(url).scheme
        if not url or (scheme and scheme not in MEDIA_SCHEMES):
            raise ValueError(f"{url!r} must be a folder, or a URL that begins with one of {', '.join(MEDIA_SCHEMES)}")
        return url
