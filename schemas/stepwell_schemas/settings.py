"""Settings shared by several services: connections to Kafka, ClickHouse and the media store.

The settings of each service inherit from them.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from stepwell_schemas.limits import ADMIN_KEY_MIN_CHARS, CREDENTIAL_MAX_CHARS

ENVIRONMENT = SettingsConfigDict(env_prefix="STEPWELL_", extra="ignore", validate_default=True, frozen=True)
MEDIA_SCHEMES: Final = ("file", "s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "memory")

LogLevel = Literal["debug", "info", "warning", "error"]
Compression = Literal["lz4", "zstd", "none"]
DEFAULT_COMPRESSION: Final = "zstd"
"""aiokafka's LZ4 is the one of level 9: it takes four times as long as zstd, and its result is larger."""

_SECRET_LENGTH: Final = f"must have at least {ADMIN_KEY_MIN_CHARS} characters: `openssl rand -hex 32` prints some"


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


class AuditSettings(BaseSettings):
    """The audit log."""

    model_config = ENVIRONMENT

    audit_days: float = Field(
        400.0,
        ge=0,
        le=36_500,
        description="Days for which audit entries are kept; 0 keeps them for ever. A change applies to later entries.",
    )


class HttpSettings(BaseSettings):
    """Host names of an HTTP service."""

    model_config = ENVIRONMENT

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names that the service and the ClickHouse port accept, separated by commas; `.example.org` "
        "stands for all names below it. `localhost` and IP addresses are always accepted.",
    )

    tls_certfile: Path | None = Field(
        None,
        description="PEM file with the certificate of the services of this machine, followed by those of its issuers:"
        " they then serve HTTPS. It is read again when it changes.",
    )
    tls_keyfile: Path | None = Field(None, description="PEM file with its key; by default, STEPWELL_TLS_CERTFILE.")
    tls_key_password: SecretStr = Field(SecretStr(""), description="Password of an encrypted key.")
    hsts_seconds: int = Field(
        31_536_000,
        ge=0,
        description="Seconds for which browsers use HTTPS alone for the service's host, on all of its ports; 0 if"
        " another service of this host has no HTTPS.",
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, hosts: object) -> object:
        if isinstance(hosts, str):
            return tuple(host.strip() for host in hosts.split(",") if host.strip())
        return hosts


class AccessSettings(BaseSettings):
    """Access control of the services that answer over the network."""

    model_config = SettingsConfigDict(**{**ENVIRONMENT, "hide_input_in_errors": True})

    admin_key: SecretStr = Field(
        SecretStr(""),
        description="A key with all scopes that is not stored, to create others with. At least "
        f"{ADMIN_KEY_MIN_CHARS} characters: `openssl rand -hex 32` prints some. It turns access control on.",
    )

    session_secret: SecretStr = Field(
        SecretStr(""),
        description=f"Seals the cookies of the page; at least {ADMIN_KEY_MIN_CHARS} characters, the same for all"
        " services of an installation. `up` keeps one in its folder; without one, sessions end when the service ends.",
    )
    session_hours: float = Field(
        12.0,
        gt=0,
        le=168,
        description="Hours after which a session of the page ends. One that was begun with a key is renewed while it is"
        " used, up to 7 days.",
    )

    @field_validator("session_secret")
    @classmethod
    def _check_session_secret(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < ADMIN_KEY_MIN_CHARS:
            raise ValueError(_SECRET_LENGTH)
        return secret

    key_requests_per_second: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Maximum requests a second of one key, over 10 seconds, at each process; above it, requests are"
        " answered with 429 and `Retry-After`. 0: no limit.",
    )
    key_bytes_per_second: float = Field(
        0.0,
        ge=0,
        le=1e12,
        description="Maximum bytes a second of one key, of bodies and answers, over 10 seconds, at each process. 0: no"
        " limit.",
    )

    @field_validator("admin_key")
    @classmethod
    def _check_admin_key(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if text and (len(text) < ADMIN_KEY_MIN_CHARS or len(text) > CREDENTIAL_MAX_CHARS):
            raise ValueError(_SECRET_LENGTH)
        if text and not (text.isascii() and text.isprintable() and " " not in text):
            raise ValueError("must be printable ASCII characters without spaces: `openssl rand -hex 32` prints some")
        return key


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
