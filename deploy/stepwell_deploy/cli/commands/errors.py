"""Expected errors, and the sentence that the CLI prints for each."""

from __future__ import annotations

from typing import Final

import httpx
from pydantic import ValidationError
from rich.markup import escape

from stepwell.errors import StepwellError
from stepwell.service_errors import URL_REMEDY, describe_unanswered
from stepwell_deploy.errors import StepwellDeployError
from stepwell_schemas.errors import StepwellSchemaError

EXPECTED_FAILURES = (
    StepwellDeployError,
    StepwellError,
    StepwellSchemaError,
    httpx.HTTPError,
    httpx.InvalidURL,
    ValidationError,
    ModuleNotFoundError,
)

_SECRETS: Final = ("key", "password", "secret", "token", "dsn")
"""Parts of the names of settings whose values are not printed."""

_DEMO_PACKAGES: Final = {"plotext", "sklearn"}


def sentence(error: Exception) -> str:
    """Return an error and its remedy as one plain sentence, with rich's markup escaped."""
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return escape(
            f"no Stepwell service answers at {_address(error)}; start one with `stepwell up`, "
            "or name yours with STEPWELL_BASE_URL"
        )
    if isinstance(error, httpx.RequestError):
        return escape("; ".join(filter(None, describe_unanswered(_address(error), error))))
    if isinstance(error, httpx.InvalidURL):
        return escape(f"{error}; {URL_REMEDY}")
    if isinstance(error, ValidationError):
        return escape("; ".join(_setting_problem(problem) for problem in error.errors(include_url=False)))
    if isinstance(error, ModuleNotFoundError):
        extra = "demo" if error.name in _DEMO_PACKAGES else "local"
        return escape(f"this command needs the package {error.name}: pip install 'stepwell[{extra}]'")
    return escape(str(error))


def _address(error: httpx.RequestError) -> str:
    url = error.request.url
    # `localhost:8420` is parsed as a scheme with a path.
    return str(url.copy_with(path="", query=None, fragment=None)) if url.host else str(url).partition("/api/")[0]


def _setting_problem(problem: object) -> str:
    assert isinstance(problem, dict)  # noqa: S101 - pydantic's ErrorDetails is a plain dict
    name = "_".join(str(part) for part in problem["loc"])
    shown = "" if any(word in name for word in _SECRETS) else f"={problem['input']!r}"
    return f"STEPWELL_{name.upper()}{shown}: {problem['msg']}"
