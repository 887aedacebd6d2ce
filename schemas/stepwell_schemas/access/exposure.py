"""The rule that a service which other machines can reach requires a credential."""

from __future__ import annotations

from ipaddress import ip_address

from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.access.oidc_settings import SignInSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import ExposedServiceError


def is_loopback(host: str) -> bool:
    """Return True if a service that listens on `host` is reachable from this machine alone.

    A name other than `localhost` may stand for any address, so it is not.
    """
    name = host.strip().strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, settings: SignInSettings, store: Store | None = None) -> None:
    """Refuse to serve other machines without access control; call it before a service listens.

    Args:
        host: the address to listen on.
        settings: they may have an administrator's key, or an identity provider.
        store: the database, whose keys turn access control on, too; None if there is none yet.

    Raises:
        ExposedServiceError: when the service would be open to other machines.
        StoreError: when ClickHouse does not answer.
    """
    if is_loopback(host) or settings.admin_key.get_secret_value() or settings.oidc_issuer:
        return
    if store is None or not KeyStore(store).any_exists():
        raise ExposedServiceError(host)
