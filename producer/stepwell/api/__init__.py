"""Reading runs back: the public `Api` and its objects."""

from __future__ import annotations

from typing import Any, Final

_NO_KEY: Final = "none"


def __getattr__(name: str) -> Any:
    """Return `api_key` for libraries that check for a login with `wandb.api.api_key`; "none" if no key is set."""
    if name != "api_key":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stepwell.settings import ProducerSettings

    return ProducerSettings().api_key.get_secret_value() or _NO_KEY
