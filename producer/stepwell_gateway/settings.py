"""Settings of the gateway."""

from __future__ import annotations

from pydantic import Field

from stepwell_schemas.access.oidc_settings import SignInSettings
from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from stepwell_schemas.settings import (
    DEFAULT_COMPRESSION,
    AuditSettings,
    Compression,
    HttpSettings,
    KafkaSettings,
    StoreSettings,
)


class GatewaySettings(KafkaSettings, StoreSettings, HttpSettings, SignInSettings, AuditSettings):
    """Settings of the gateway: its address, and the limits of requests and of memory."""

    base_url: str = Field("http://127.0.0.1:8420", description="URL of the service for browsers and the SDK.")
    gateway_host: str = Field("127.0.0.1", description="Address that `stepwell gateway` listens on.")
    gateway_port: int = Field(
        8421, ge=0, le=65_535, description="Port that `stepwell gateway` listens on; 0: any free port."
    )
    gateway_max_connections: int = Field(
        1_000, ge=1, description="Maximum connections to the gateway; above it, idle connections are closed."
    )
    gateway_request_bytes: int = Field(
        32 * MIB,
        ge=MAX_EVENT_BYTES + MIB,
        le=1024 * MIB,
        description="Maximum bytes of a request with events, as received and after decompression.",
    )
    gateway_buffer_bytes: int = Field(
        256 * MIB,
        ge=MAX_EVENT_BYTES + MIB,
        description="Maximum bytes of requests that the gateway receives, and of events that the brokers have not "
        "acknowledged, each; above it, requests are answered with 503 and `Retry-After`.",
    )
    gateway_ack_seconds: float = Field(
        10.0,
        gt=0,
        le=600,
        description="Seconds for which a request waits for the brokers' acknowledgement before it is answered with 503"
        " and `Retry-After`.",
    )
    gateway_compression: Compression = Field(
        DEFAULT_COMPRESSION, description="Compression of the record batches that the gateway sends to Kafka."
    )

    def reads_keys(self) -> bool:
        """Return True if ClickHouse is configured, which has the keys."""
        return "clickhouse_dsn" in self.model_fields_set
