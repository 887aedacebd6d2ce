"""Keys that `stepwell login` keeps: a file of the user alone, with one key for each service.

The file is JSON, `{"http://host:8420": {"key": "…"}}`, with mode 0600 in a folder with mode 0700. A user of the
service's identity provider has tokens in it instead. A key is sent to the service that it was kept for alone.
STEPWELL_API_KEY has precedence.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from stepwell.errors import CredentialsError
from stepwell.terminal import notify

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
FILE_VARIABLE: Final = "STEPWELL_CREDENTIALS_FILE"

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MAX_BYTES: Final = 1024 * 1024
_noticed: set[str] = set()


def default_file() -> Path:
    """Return the path of the file: STEPWELL_CREDENTIALS_FILE, otherwise a place below the user's configuration."""
    named = os.environ.get(FILE_VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "stepwell" / "credentials.json"


def service_name(base_url: str) -> str:
    """Return a URL in the form in which keys are kept: scheme, host and port that are the same for all spellings."""
    parts = urlsplit(base_url.strip())
    try:
        port = parts.port
    except ValueError:
        port = None
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    name = f"{parts.scheme.lower()}://{host}"
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme.lower()):
        name += f":{port}"
    return name + parts.path.rstrip("/")


def find_key(base_url: str, file: Path | None = None) -> str:
    """Return the key that is kept for a service, "" for none.

    A file that other users can read or replace is not used: a notice names the remedy, once.
    """
    path = default_file() if file is None else file
    try:
        kept = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError, CredentialsError) as error:
        if str(path) not in _noticed:
            _noticed.add(str(path))
            notify(f"the keys in {path} are not used: {error}")
        return ""
    entry = kept.get(service_name(base_url))
    if not isinstance(entry, dict):
        return ""
    if "token" in entry:
        return _fresh_token(base_url, entry, path)
    key = entry.get("key")
    return key if isinstance(key, str) else ""


def _fresh_token(base_url: str, entry: dict[str, Any], path: Path) -> str:
    """Return a kept token, renewed if it has expired; the expired one if it can't be, which the service explains."""
    from stepwell.provider_tokens import is_due, renew

    if is_due(entry) and (renewed := renew(entry)) is not None:
        try:
            _change(base_url, renewed, path)
        except CredentialsError as error:
            notify(f"{error}; this process uses the new token nevertheless")
        return str(renewed["token"])
    return str(entry["token"])


def keep_key(base_url: str, key: str, file: Path | None = None) -> Path:
    """Keep a key for a service, in place of an earlier one; return the file. Raises: CredentialsError."""
    return _change(base_url, {"key": key}, file)


def keep_tokens(base_url: str, tokens: dict[str, Any], file: Path | None = None) -> Path:
    """Keep tokens of an identity provider for a service; return the file. Raises: CredentialsError."""
    return _change(base_url, tokens, file)


def forget_key(base_url: str, file: Path | None = None) -> Path:
    """Remove the key that is kept for a service, if there is one; return the file. Raises: CredentialsError."""
    return _change(base_url, None, file)


def _change(base_url: str, entry: dict[str, Any] | None, file: Path | None) -> Path:
    path = default_file() if file is None else file
    name = service_name(base_url)
    try:
        _make_folder(path.parent)
        try:
            kept = _read(path)
        except FileNotFoundError:
            kept = {}
        kept.pop(name, None)
        if entry is not None:
            kept[name] = entry
        _write(path, kept)
    except (OSError, ValueError) as error:
        reason = f"the key can't be kept in {path}: {error}"
        raise CredentialsError(f"{reason}; name another file with {FILE_VARIABLE}") from error
    return path


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    elif folder.name == "stepwell" and folder.stat().st_uid == os.getuid():
        folder.chmod(FOLDER_MODE)


def _read(path: Path) -> dict[str, Any]:
    """Return the content of the file. Raises: CredentialsError, OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        # Of the opened file, which can't be exchanged any more.
        _check_owner(path, os.fstat(opened.fileno()))
        content = opened.read(_MAX_BYTES)
    kept = json.loads(content)
    if not isinstance(kept, dict):
        raise CredentialsError("it is not a JSON object; delete it, and run `stepwell login`")
    return kept


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CredentialsError("it is not a file")
    if status.st_uid != os.getuid():
        raise CredentialsError("it belongs to another user; run `stepwell login`")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise CredentialsError(f"other users may open it (mode {mode:04o}); run `chmod 600 {path}`")


def _write(path: Path, kept: dict[str, Any]) -> None:
    """Replace the file, so that a reader sees the old or the new one; `mkstemp` creates it for its owner alone."""
    descriptor, name = tempfile.mkstemp(prefix=".credentials-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as opened:
            json.dump(kept, opened, indent=2, sort_keys=True)
            opened.write("\n")
            os.fchmod(opened.fileno(), FILE_MODE)
            opened.flush()
            os.fsync(opened.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
