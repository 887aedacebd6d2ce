"""The certificate authorities that clients of the service trust."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final

from stepwell_schemas.errors import TlsError

CA_SETTING: Final = "STEPWELL_CA_FILE"


def client_trust(ca_file: str | Path | None = None) -> ssl.SSLContext | bool:
    """Return what httpx's clients take as `verify`: the usual authorities, and those in a file of the settings.

    Args:
        ca_file: PEM file with further authorities; None: the one of STEPWELL_CA_FILE, if it is set. httpx itself reads
            SSL_CERT_FILE, which replaces the usual ones.

    Raises:
        TlsError: when the file can't be used; names setting, file and remedy.
    """
    file = Path(ca_file or os.environ.get(CA_SETTING) or "")
    if not file.name:
        return True
    import httpx

    context = httpx.create_ssl_context()
    try:
        context.load_verify_locations(file.expanduser())
    except ssl.SSLError as error:
        raise TlsError(f"{CA_SETTING} {file}: holds no certificate in PEM form") from error
    except OSError as error:
        raise TlsError(f"{CA_SETTING} {file}: can't be read ({error.strerror}); name a PEM file") from error
    return context
