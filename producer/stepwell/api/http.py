"""How `Api` asks the query service, and what becomes of its refusals."""

from __future__ import annotations

import csv
import json
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import httpx

from stepwell.errors import ApiError, MediaMissingError, RunNotFoundError
from stepwell_schemas.limits import TEXT_MAX_BYTES

_NOT_FOUND: Final = 404
_MEDIA: Final = "urn:stepwell:problem:media-"


class _Opened(NamedTuple):
    """A client, the process that opened it, and the one it inherited, which is kept so that nothing closes it here."""

    pid: int
    client: httpx.Client
    inherited: Any


class ApiHttp:
    """Requests to the service at `base_url`, with a key ("" for none); `timeout` in seconds.

    Connections are kept between requests, and closed with the object. Safe to call from any thread.
    """

    def __init__(self, base_url: str, key: str, timeout: float) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._opened: _Opened | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _client(self) -> httpx.Client:
        """Return the client; a forked child gets one of its own, since its parent goes on using what it inherited."""
        with self._lock:
            if self._opened is None or self._opened.pid != os.getpid():
                client = httpx.Client(headers=self._headers, timeout=self._timeout)
                weakref.finalize(self, client.close)
                self._opened = _Opened(os.getpid(), client, self._opened)
            return self._opened.client

    def get(self, address: str, **parameters: Any) -> Any:
        """Return the JSON answer of GET `/api/v1/{address}`. Raises: ApiError, RunNotFoundError."""
        given = {name: value for name, value in parameters.items() if value is not None}
        url = f"{self.base_url}/api/v1/{address}"
        try:
            answer = self._client().get(url, params=given)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        _check(answer)
        return answer.json()

    def lines(self, address: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of a streamed ndjson answer. Raises: ApiError, RunNotFoundError."""
        with self.streamed(address, parameters, "application/x-ndjson") as answer:
            yield from map(json.loads, ndjson_lines(answer.iter_bytes()))

    def table_rows(self, address: str, **parameters: Any) -> Iterator[dict[str, str]]:
        """Yield the rows of a streamed CSV answer as texts by column. Raises: ApiError, RunNotFoundError."""
        # The bound holds for the whole process: it is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), 2 * TEXT_MAX_BYTES))
        with self.streamed(address, parameters, "text/csv") as answer:
            yield from csv.DictReader(f"{line.decode()}\n" for line in ndjson_lines(answer.iter_bytes()))

    def chunks(self, address: str) -> Iterator[bytes]:
        """Yield the bytes of a streamed answer. Raises: ApiError, RunNotFoundError."""
        with self.streamed(address, {}, "*/*") as answer:
            yield from answer.iter_bytes()

    def headers(self, address: str) -> Mapping[str, str]:
        """Return the headers of an answer, whose body is left unread. Raises: ApiError, RunNotFoundError."""
        try:
            answer = self._client().head(f"{self.base_url}/api/v1/{address}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        if answer.is_success:
            return answer.headers
        # An answer to HEAD does not say what is wrong.
        with self.streamed(address, {}, "*/*") as answer:
            return answer.headers

    @contextmanager
    def streamed(self, address: str, parameters: Mapping[str, Any], accepted: str) -> Iterator[httpx.Response]:
        """Ask for an answer of a media type, whose body is read in the block. Raises: ApiError, RunNotFoundError."""
        given = {name: value for name, value in parameters.items() if value is not None}
        url = f"{self.base_url}/api/v1/{address}"
        try:
            with self._client().stream("GET", url, params=given, headers={"Accept": accepted}) as answer:
                if answer.is_error:
                    answer.read()
                _check(answer)
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ApiError:
        return ApiError(f"no answer from {self.base_url} ({type(error).__name__}: {error}); is `stepwell up` running?")


def ndjson_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines that end in a newline; texts may hold whatever else Unicode ends lines with."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _check(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    missing = ""
    try:
        problem = answer.json()
        missing = str(problem.get("type", "")).partition(_MEDIA)[2]
        words = str(problem.get("detail") or problem.get("title"))
        words += "".join(f"; {error['field']}: {error.get('rule', '')}" for error in problem.get("errors", ()))
    except (ValueError, AttributeError, TypeError, KeyError):
        words = answer.text[:200]
    if missing:
        raise MediaMissingError(missing, f"{answer.status_code} from {answer.url}: {words}")
    kind = RunNotFoundError if answer.status_code == _NOT_FOUND else ApiError
    raise kind(f"{answer.status_code} from {answer.url}: {words}")
