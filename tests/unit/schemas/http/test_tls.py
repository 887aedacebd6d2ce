"""Certificate files: what can't be used is refused with setting, file and remedy, and new files replace old ones."""

from __future__ import annotations

import os
import shutil
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from stepwell_schemas.errors import TlsError
from stepwell_schemas.http.tls import ServerCertificate
from stepwell_schemas.http.trust import client_trust


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> tuple[Path, Path]:
    """The files of a certificate and its key."""
    return write(authority, tmp_path, "first")


def write(authority: trustme.CA, folder: Path, name: str, **options: Any) -> tuple[Path, Path]:
    leaf = authority.issue_cert(f"{name}.example", **options)
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    return certificate, key


def served_name(context: ssl.SSLContext, authority: trustme.CA) -> str:
    """Return the name in the certificate that a context serves, by a handshake in memory."""
    client = ssl.create_default_context()
    authority.configure_trust(client)
    client.check_hostname = False
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there)
    theirs = context.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    names: Any = ours.getpeercert()
    return str(names["subjectAltName"][0][1])


def test_a_certificate_is_served_with_its_key(authority: trustme.CA, files: tuple[Path, Path]) -> None:
    context = ServerCertificate(*files).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert served_name(context, authority) == "first.example"


def test_one_file_may_hold_both(authority: trustme.CA, files: tuple[Path, Path], tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(files[1].read_bytes() + files[0].read_bytes())
    assert served_name(ServerCertificate(both).context, authority) == "first.example"


def test_new_files_are_served_and_unusable_ones_are_not(authority: trustme.CA, tmp_path: Path) -> None:
    certificate, key = write(authority, tmp_path, "first")
    new_certificate, new_key = write(authority, tmp_path, "second")
    server = ServerCertificate(certificate, key)
    assert not server.reload_if_changed()
    # Half written: the key is still the earlier one.
    shutil.copyfile(new_certificate, certificate)
    touch(certificate)
    assert not server.reload_if_changed()
    assert served_name(server.context, authority) == "first.example"
    shutil.copyfile(new_key, key)
    touch(key)
    assert server.reload_if_changed()
    assert served_name(server.context, authority) == "second.example"
    certificate.unlink()
    assert not server.reload_if_changed()
    assert served_name(server.context, authority) == "second.example"


def touch(file: Path) -> None:
    """Give a file another time: the clock of file systems may stand still between two writes."""
    later = file.stat().st_mtime_ns + 1_000_000_000
    os.utime(file, ns=(later, later))


def test_a_missing_file_is_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"STEPWELL_TLS_CERTFILE .*gone\.crt: can't be read .*name a PEM file"):
        ServerCertificate(tmp_path / "gone.crt", files[1])
    with pytest.raises(TlsError, match=r"STEPWELL_TLS_KEYFILE .*gone\.key"):
        ServerCertificate(files[0], tmp_path / "gone.key")


def test_a_key_of_another_certificate_is_named(authority: trustme.CA, files: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = write(authority, tmp_path, "other")
    with pytest.raises(TlsError, match=r"other\.key: is not the key of the first certificate in .*first\.crt"):
        ServerCertificate(files[0], other)


@pytest.mark.parametrize(
    "content", [b"", b"not PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_files_that_are_no_pem_are_named(files: tuple[Path, Path], tmp_path: Path, content: bytes) -> None:
    odd = tmp_path / "odd.pem"
    odd.write_bytes(content)
    with pytest.raises(TlsError, match=r"odd\.pem: holds no certificate in PEM form"):
        ServerCertificate(odd, files[1])
    with pytest.raises(TlsError, match=r"odd\.pem: holds no usable private key"):
        ServerCertificate(files[0], odd)


def test_an_expired_certificate_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    old = write(authority, tmp_path, "old", not_after=yesterday, not_before=yesterday - timedelta(days=1))
    with pytest.raises(TlsError, match=r"old\.crt: has expired on .*renew it"):
        ServerCertificate(*old)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    early = write(authority, tmp_path, "early", not_before=tomorrow, not_after=tomorrow + timedelta(days=1))
    with pytest.raises(TlsError, match=r"early\.crt: is valid from .*clock"):
        ServerCertificate(*early)


def test_an_encrypted_key_needs_its_password(authority: trustme.CA, files: tuple[Path, Path]) -> None:
    key = serialization.load_pem_private_key(files[1].read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    assert served_name(ServerCertificate(*files, password="secret").context, authority) == "first.example"
    with pytest.raises(TlsError, match=r"STEPWELL_TLS_KEY_PASSWORD must hold the password"):
        ServerCertificate(*files)
    with pytest.raises(TlsError, match=r"STEPWELL_TLS_KEY_PASSWORD is not the password") as caught:
        ServerCertificate(*files, password="another")
    assert "another" not in str(caught.value)


def test_clients_trust_the_authorities_of_a_file(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client_trust() is True
    monkeypatch.delenv("SSL_CERT_DIR")
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    given = client_trust(file)
    monkeypatch.setenv("STEPWELL_CA_FILE", str(file))
    for trusted in (given, client_trust()):
        assert isinstance(trusted, ssl.SSLContext)
        assert trusted.verify_mode is ssl.CERT_REQUIRED
        # In addition to the usual ones.
        assert len(trusted.get_ca_certs()) > 1


def test_a_file_of_authorities_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"STEPWELL_CA_FILE .*gone: can't be read"):
        client_trust(tmp_path / "gone")
    odd = tmp_path / "odd"
    odd.write_text("no certificate")
    with pytest.raises(TlsError, match=r"STEPWELL_CA_FILE .*odd: holds no certificate"):
        client_trust(odd)
