"""HTTP client of `Api`: requests to the query service, and errors of its responses."""

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

from stepwell.errors import ApiError, AuthenticationError, MediaMissingError, RunNotFoundError, UnknownKeyError
from stepwell.service_errors import describe_unanswered
from stepwell.service_requests import key_headers
from stepwell_schemas.http.trust import client_trust
from stepwell_schemas.limits import TEXT_MAX_BYTES
from stepwell_schemas.texts import shorten

_ERRORS: Final[Mapping[int, type[ApiError]]] = {401: AuthenticationError, 404: RunNotFoundError}
_MEDIA: Final = "urn:stepwell:problem:media-"
_VALUE_CHARS: Final = 200
_UNKNOWN_KEY: Final = "urn:stepwell:problem:unknown-key"


class _ProcessClient(NamedTuple):
    """A client, the process that opened it, and the client inherited from the parent, which must not be closed."""

    pid: int
    client: httpx.Client
    inherited: Any


class ApiHttp:
    """HTTP client of the service at `base_url`, with an API key ("" for none); `timeout` in seconds.

    Connections are kept between requests, and closed with the object. Thread-safe.
    """

    def __init__(self, base_url: str, key: str, timeout: float) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._headers = key_headers(key)
        self._opened: _ProcessClient | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _client(self) -> httpx.Client:
        """Return the client; a forked child gets a new one, since its parent still uses the inherited connections."""
        with self._lock:
            if self._opened is None or self._opened.pid != os.getpid():
                client = httpx.Client(headers=self._headers, timeout=self._timeout, verify=client_trust())
                weakref.finalize(self, client.close)
                self._opened = _ProcessClient(os.getpid(), client, self._opened)
            return self._opened.client

    def get(self, address: str, **parameters: Any) -> Any:
        """Return the JSON response of GET `/api/v1/{address}`. Raises: ApiError, RunNotFoundError."""
        given = {name: value for name, value in parameters.items() if value is not None}
        url = f"{self.base_url}/api/v1/{address}"
        try:
            response = self._client().get(url, params=given)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        check_response(response)
        return response.json()

    def send(self, method: str, address: str, body: Any = None, **parameters: Any) -> Any:
        """Return the JSON response of a request that changes something. Raises: ApiError, RunNotFoundError."""
        given = {name: value for name, value in parameters.items() if value is not None}
        url = f"{self.base_url}/api/v1/{address}"
        try:
            response = self._client().request(method, url, json=body, params=given)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        check_response(response)
        return response.json()

    def lines(self, address: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of a streamed ndjson response. Raises: ApiError, RunNotFoundError."""
        with self.streamed(address, parameters, "application/x-ndjson") as response:
            yield from map(json.loads, ndjson_lines(response.iter_bytes()))

    def table_rows(self, address: str, **parameters: Any) -> Iterator[dict[str, str]]:
        """Yield the rows of a streamed CSV response as texts by column. Raises: ApiError, RunNotFoundError."""
        # The limit is global to the process, so it is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), 2 * TEXT_MAX_BYTES))
        with self.streamed(address, parameters, "text/csv") as response:
            yield from csv.DictReader(f"{line.decode()}\n" for line in ndjson_lines(response.iter_bytes()))

    def chunks(self, address: str) -> Iterator[bytes]:
        """Yield the bytes of a streamed response. Raises: ApiError, RunNotFoundError."""
        with self.streamed(address, {}, "*/*") as response:
            yield from response.iter_bytes()

    def headers(self, address: str) -> Mapping[str, str]:
        """Return the headers of a response without its body. Raises: ApiError, RunNotFoundError."""
        try:
            response = self._client().head(f"{self.base_url}/api/v1/{address}")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        if response.is_success:
            return response.headers
        # The response to HEAD has no problem document: repeat the request as GET.
        with self.streamed(address, {}, "*/*") as response:
            return response.headers

    @contextmanager
    def streamed(self, address: str, parameters: Mapping[str, Any], accepted: str) -> Iterator[httpx.Response]:
        """Request a response of a media type, and stream its body in the block. Raises: ApiError, RunNotFoundError."""
        given = {name: value for name, value in parameters.items() if value is not None}
        url = f"{self.base_url}/api/v1/{address}"
        try:
            with self._client().stream("GET", url, params=given, headers={"Accept": accepted}) as response:
                if response.is_error:
                    response.read()
                check_response(response)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ApiError:
        return ApiError("; ".join(filter(None, describe_unanswered(self.base_url, error))))


def ndjson_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines that end in a newline; texts may hold other line separators of Unicode."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _describe(error: Mapping[str, Any]) -> str:
    """Return an entry of a problem document's `errors` as a sentence: field, value, rule, remedy."""
    value = json.dumps(error.get("value"), ensure_ascii=False)
    remedy = error.get("remedy")
    broken = f"{error['field']} {shorten(value, _VALUE_CHARS)}: {error.get('rule', '')}"
    return f"{broken}; {remedy}" if remedy else broken


def check_response(response: httpx.Response) -> None:
    """Raise the error that a response reports, if it does. Raises: ApiError, RunNotFoundError."""
    if not response.is_error:
        return
    missing, unknown_keys = "", []
    try:
        problem = response.json()
        if problem.get("type") == _UNKNOWN_KEY:
            unknown_keys = list(map(str, problem["unknown_keys"]))
        missing = str(problem.get("type", "")).partition(_MEDIA)[2]
        words = "; ".join(map(_describe, problem.get("errors", ()))) or str(problem.get("detail") or problem["title"])
    except (ValueError, AttributeError, TypeError, KeyError):
        words = response.text[:200]
    if missing:
        raise MediaMissingError(missing, f"{response.status_code} from {response.url}: {words}")
    if unknown_keys:
        raise UnknownKeyError(unknown_keys, f"{response.status_code} from {response.url}: {words}")
    kind = _ERRORS.get(response.status_code, ApiError)
    raise kind(f"{response.status_code} from {response.url}: {words}")
