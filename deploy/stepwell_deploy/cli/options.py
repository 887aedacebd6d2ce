"""Options and clients that several commands share."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from stepwell.credentials import find_key
from stepwell_deploy.service_client import ServiceClient
from stepwell_deploy.settings import DeploySettings

RUN_HELP: Final = "entity/project/run_id, or the address of the run's page."
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def open_service(settings: DeploySettings) -> ServiceClient:
    """Return a client of the query service in the settings."""
    key = settings.api_key.get_secret_value() or find_key(settings.base_url, settings.credentials_file)
    return ServiceClient(settings.base_url, key)
