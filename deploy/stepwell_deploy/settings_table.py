"""The table of settings in the documentation, generated from the settings models.

    python -m stepwell_deploy.settings_table README.md docs/settings.md

writes the table between the two markers of each file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from stepwell.settings import ProducerSettings
from stepwell_deploy.settings import DeploySettings
from stepwell_gateway.settings import GatewaySettings
from stepwell_ingestor.settings import IngestorSettings
from stepwell_query.settings import QuerySettings

BEGIN: Final = "<!-- settings: made by `make docs` -->"
END: Final = "<!-- end of settings -->"

_SERVICES: Final[dict[str, type[BaseSettings]]] = {
    "SDK": ProducerSettings,
    "ingestor": IngestorSettings,
    "query": QuerySettings,
    "gateway": GatewaySettings,
    "`up`, CLI": DeploySettings,
}


def settings_table() -> str:
    """Return a Markdown table with a row for each environment variable: default, the services that read it, meaning."""
    rows: dict[str, tuple[FieldInfo, list[str]]] = {}
    for service, model in _SERVICES.items():
        for name, field in model.model_fields.items():
            rows.setdefault(name, (field, []))[1].append(service)
    lines = ["| variable | default | read by | meaning |", "|---|---|---|---|"]
    for name, (field, services) in sorted(rows.items()):
        cells = (f"`STEPWELL_{name.upper()}`", _default(field), ", ".join(services), _cell(field.description or ""))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if field.default_factory is not None or value is None:
        return ""
    if isinstance(value, tuple):
        value = ",".join(value)
    shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return f"`{_cell(shown)}`" if shown else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def with_table(document: str) -> str:
    """Return a document with the table between its markers. Raises: ValueError when it has no markers."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no markers {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(with_table(file.read_text("utf-8")), "utf-8")
