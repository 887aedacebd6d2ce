"""TLS: a service's certificate, which is read again when its files change, and the authorities that clients trust."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from stepwell_schemas.errors import TlsError
from stepwell_schemas.settings import HttpSettings

CERT_SETTING: Final = "STEPWELL_TLS_CERTFILE"
KEY_SETTING: Final = "STEPWELL_TLS_KEYFILE"
PASSWORD_SETTING: Final = "STEPWELL_TLS_KEY_PASSWORD"  # noqa: S105 - a name
_MISMATCH: Final = "KEY_VALUES_MISMATCH"
_ENCRYPTED: Final = b"ENCRYPTED"
_log = structlog.get_logger("stepwell.tls")


class ServerCertificate:
    """The certificate chain and key of a service, and the TLS context that uses them.

    Args:
        certfile: PEM file with the certificate, followed by those of its issuers.
        keyfile: PEM file with the private key; None: it is in `certfile` too.
        password: the key's password, "" for none.

    Raises:
        TlsError: when a file is missing or unusable, or the certificate has expired; names setting, file and remedy.
    """

    def __init__(self, certfile: Path, keyfile: Path | None = None, password: str = "") -> None:
        self._certfile = certfile.expanduser()
        self._keyfile = (keyfile or certfile).expanduser()
        self._password = password
        self._read = self._versions()
        self.context = self._load(server_context())

    def reload_if_changed(self) -> bool:
        """Use the files as they are now if they have changed; return True if new connections get another certificate.

        Files that can't be used, such as a new certificate whose key is not written yet, are logged and tried again
        when they change; the earlier certificate stays in use.
        """
        found = self._versions()
        if found == self._read:
            return False
        self._read = found
        try:
            # First in a context of their own: one that fails halfway would have a certificate without its key.
            self._load(server_context())
            self._load(self.context)
        except TlsError as error:
            _log.warning("certificate_not_reloaded", error=str(error))
            return False
        _log.info("certificate_reloaded", file=str(self._certfile))
        return True

    def _versions(self) -> list[tuple[int, int, int]]:
        return [_version(file) for file in (self._certfile, self._keyfile)]

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        chain = _read(CERT_SETTING, self._certfile)
        key = _read(KEY_SETTING, self._keyfile)
        _check_dates(self._certfile, chain)
        try:
            # Without a function, OpenSSL would ask for a password on the terminal.
            context.load_cert_chain(self._certfile, self._keyfile, lambda: self._password)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise TlsError(self._describe(error, key)) from error
        return context

    def _describe(self, error: Exception, key: bytes) -> str:
        if getattr(error, "reason", "") == _MISMATCH:
            return (
                f"{KEY_SETTING} {self._keyfile}: is not the key of the first certificate in {self._certfile}; the "
                "service's own certificate comes first in the file, those of its issuers follow"
            )
        if _ENCRYPTED in key:
            wrong = "is not the password of" if self._password else "must hold the password of"
            return f"{PASSWORD_SETTING} {wrong} the encrypted key {self._keyfile}"
        return f"{KEY_SETTING} {self._keyfile}: holds no usable private key in PEM form ({error})"


def server_certificate(settings: HttpSettings) -> ServerCertificate | None:
    """Return the certificate of the settings, None if the service has none. Raises: TlsError."""
    if settings.tls_certfile is None:
        if settings.tls_keyfile is not None:
            raise TlsError(f"{KEY_SETTING} {settings.tls_keyfile}: needs {CERT_SETTING}, the certificate of the key")
        return None
    return ServerCertificate(settings.tls_certfile, settings.tls_keyfile, settings.tls_key_password.get_secret_value())


def server_context() -> ssl.SSLContext:
    """Return a context for a server, without a certificate: TLS 1.2 or newer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _version(file: Path) -> tuple[int, int, int]:
    try:
        state = file.stat()
    except OSError:
        return (0, 0, 0)
    return (state.st_mtime_ns, state.st_ino, state.st_size)


def _read(setting: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TlsError(f"{setting} {file}: can't be read ({error.strerror}); name a PEM file") from error


def _check_dates(file: Path, chain: bytes) -> None:
    from cryptography import x509

    try:
        certificate: Any = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError) as error:
        raise TlsError(f"{CERT_SETTING} {file}: holds no certificate in PEM form") from error
    now = datetime.now(UTC)
    if now >= certificate.not_valid_after_utc:
        raise TlsError(
            f"{CERT_SETTING} {file}: has expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it"
        )
    if now < certificate.not_valid_before_utc:
        raise TlsError(
            f"{CERT_SETTING} {file}: is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; check the "
            "clock of this machine"
        )
