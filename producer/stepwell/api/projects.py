"""Projects as `Api` lists them."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote


class Project(NamedTuple):
    """A project of the service at `base_url`."""

    entity: str
    name: str
    base_url: str

    def __repr__(self) -> str:
        return f"<Project {self.entity}/{self.name}>"

    @property
    def id(self) -> str:
        """`entity/project`, since projects have no other id."""
        return f"{self.entity}/{self.name}"

    @property
    def path(self) -> list[str]:
        """Entity and name."""
        return [self.entity, self.name]

    @property
    def url(self) -> str:
        """The URL of the project's page."""
        return f"{self.base_url}/{quote(self.entity, safe='')}/{quote(self.name, safe='')}"
