"""Rules for a request's `Host` and `Origin`, which protect a service on a user's machine from other web pages.

A page can resolve its own domain to the address of the service (DNS rebinding); the browser then treats the service as
the page's origin. Such a request has the page's domain in `Host`, so only known names are allowed. IP addresses are
always allowed: a request with an address in `Host` was sent to that address.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_LOOPBACK: Final = "localhost"


def host_is_allowed(host_header: str, allowed: Collection[str]) -> bool:
    """Return True if a request with this `Host` may be answered.

    Args:
        host_header: the header, with or without a port.
        allowed: names in addition to `localhost` and every IP address; `.example.org` stands for all names below it.
    """
    match = _HOST.fullmatch(host_header)
    if match is None:
        return False
    name = match["name"].lower()
    if _is_address(name.strip("[]")):
        return True
    name = name.removesuffix(".")
    return name == _LOOPBACK or any(_matches(name, pattern.lower()) for pattern in allowed)


def origin_is_own(origin: str, host_header: str) -> bool:
    """Return True if a request's `Origin` is the service that it was sent to; an opaque origin (`null`) is not."""
    scheme, separator, authority = origin.lower().partition("://")
    return bool(separator) and scheme in {"http", "https"} and authority == host_header.lower()


def other_port(origin: str, host_header: str) -> bool:
    """Return True if an `Origin` names another port of the host in `Host`: a page of another program there."""
    authority = origin.lower().partition("://")[2]
    found, own = _HOST.fullmatch(authority), _HOST.fullmatch(host_header.lower())
    if found is None or own is None:
        return False
    # A proxy may leave out the port, or have the default one.
    both = len(authority) > len(found["name"]) and len(host_header) > len(own["name"])
    return both and found["name"] == own["name"] and authority != host_header.lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern) and name != pattern if pattern.startswith(".") else name == pattern
