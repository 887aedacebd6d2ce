"""Requests to the service about a run that is resumed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from stepwell.errors import ApiError, RunNotFoundError
from stepwell.session.known_run import KnownRun, means_wanted
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT

if TYPE_CHECKING:
    from stepwell.api.client import Api
    from stepwell.delivery.order import JournalEntry
    from stepwell.settings import ProducerSettings

_ASK_TIMEOUT_SECONDS: Final = 10.0
_RESTART_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 0.5
_CONSISTENT_ATTEMPTS: Final = 3
_SERIES_AT_ONCE: Final = 50

Document = Mapping[str, Any]


def open_api(settings: ProducerSettings, seconds: float = _ASK_TIMEOUT_SECONDS) -> Api:
    """Return the service's API, with a time limit for each answer."""
    from stepwell.api.client import Api

    return Api(settings.base_url, timeout=seconds, api_key=settings.api_key.get_secret_value())


def fetch_document(path: RunPath, settings: ProducerSettings, *, patient: bool) -> Document | None:
    """Return the run's document; None if the run does not exist. Raises: ApiError.

    Args:
        patient: retry for some seconds, in case the service is restarting.
    """
    deadline = time.monotonic() + (_RESTART_SECONDS if patient else 0.0)
    while True:
        try:
            return open_api(settings).run(path).info
        except RunNotFoundError:
            return None
        except ApiError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def last_step(document: Document | None) -> int:
    """Return the last step in a run's document, -1 for none."""
    last = None if document is None else document.get("last_step")
    return -1 if last is None else int(last)


def fetch_last_step_of(path: RunPath, writer: str, settings: ProducerSettings) -> int:
    """Return the last step of a writer in the service; -1 if it has none there, or the service does not answer."""
    try:
        metrics = open_api(settings).run(path).metrics(writer)
    except ApiError:
        return -1
    return max((int(metric["last_step"]) for metric in metrics if metric.get("stream", DEFAULT) == DEFAULT), default=-1)


def read_known_run(
    path: RunPath, document: Document | None, journals: Sequence[JournalEntry], settings: ProducerSettings
) -> KnownRun:
    """Return what is known of a run: from the service, and from its journals without a live owner, oldest first.

    The records of a journal that the service has are not counted again. Between two requests, the service may store
    more of them: the answers are taken when it has not.
    """
    known, settled = KnownRun(), dict[str, int]()
    if document is not None and not journals:
        known = KnownRun.read(document, _fetch_moments(path, document, settings))
    elif document is not None:
        for _ in range(_CONSISTENT_ATTEMPTS):
            settled = _fetch_settled(path, journals, settings)
            with contextlib.suppress(ApiError):
                document = fetch_document(path, settings, patient=False) or document
            known = KnownRun.read(document, _fetch_moments(path, document, settings))
            if _fetch_settled(path, journals, settings) == settled:
                break
    if not journals:
        return known
    # Imported here: it needs numpy, which the import of `stepwell` does without.
    from stepwell.session.replay import replay_journals

    return replay_journals(known, journals, settled)


def _fetch_settled(path: RunPath, journals: Sequence[JournalEntry], settings: ProducerSettings) -> dict[str, int]:
    """Return the number of settled records of the journals' sessions; empty if the service does not answer."""
    from stepwell.api.paths import run_url

    sessions = {info.session for _, info in journals}
    try:
        answer = open_api(settings).get(run_url(path, "sessions"))
    except ApiError:
        return {}
    found = {str(row["session"]): int(row["records"]) for row in answer["sessions"]}
    return {session: records for session, records in found.items() if session in sessions}


def _fetch_moments(path: RunPath, document: Document, settings: ProducerSettings) -> dict[str, tuple[int, float]]:
    """Return count and mean of the metrics that are summarized by their mean; those that can't be read are left out."""
    from stepwell.api.info import EXACT
    from stepwell.api.paths import run_url

    found: dict[str, tuple[int, float]] = {}
    keys = means_wanted(document)
    with contextlib.suppress(ApiError):
        for start in range(0, len(keys), _SERIES_AT_ONCE):
            asked: dict[str, Any] = {"key": keys[start : start + _SERIES_AT_ONCE], "points": 1, "x": "_step"}
            answer = open_api(settings).get(run_url(path, "series"), **asked, **EXACT)
            found |= {series["key"]: _moments(series) for series in answer["series"] if series["kind"] == "number"}
    return found


def _moments(series: Mapping[str, Any]) -> tuple[int, float]:
    """Return count and mean of a series' numbers without NaN."""
    nans = series.get("nans") or [0] * len(series["counts"])
    counts = [count - missing for count, missing in zip(series["counts"], nans, strict=True)]
    count = sum(counts)
    weighted = (mean * part for mean, part in zip(series["mean"], counts, strict=True) if part)
    return count, sum(weighted) / count if count else math.nan
