"""Selection of the writers whose series a request reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from stepwell_schemas.rules.writers import primary_sql, primary_writer, writer_order

_EVERY: Final = "*"


@dataclass(frozen=True, slots=True)
class WriterSelection:
    """The selected writers: the primary writer of each key, those with some `names`, or `every` writer."""

    names: tuple[str, ...] = ()
    every: bool = False

    @classmethod
    def parse(cls, texts: Sequence[str] | None) -> Self:
        """Parse names, each alone or several separated by commas; `*` selects all writers, no text the primary ones.

        The empty name is that of the unnamed writer.
        """
        names = dict.fromkeys(name for text in texts or () for name in text.split(","))
        return cls(every=True) if _EVERY in names else cls(tuple(names))

    @property
    def is_primary(self) -> bool:
        """True if the primary writer of each key is selected."""
        return not self.names and not self.every

    def choose(self, first_versions: Mapping[str, int]) -> list[str]:
        """Return the selected ones of the writers of a key, the primary one first.

        Args:
            first_versions: the version of the first row of each writer.
        """
        primary = primary_writer(first_versions)
        if self.is_primary:
            return [primary]
        selected = (name for name in first_versions if self.every or name in self.names)
        return sorted(selected, key=lambda name: (name != primary, writer_order(name)))


PRIMARY: Final = WriterSelection()
EVERY: Final = WriterSelection(every=True)


def primary_writers(condition: str) -> str:
    """Return the SELECT of `run_id`, `key` and the primary writer of each key of the runs of one project."""
    firsts = "SELECT run_id, key, writer, min(first_version) AS first_version FROM {db}.series"
    return (
        f"SELECT run_id, key, {primary_sql('writer', 'first_version')} AS primary_writer"  # noqa: S608 - of constants
        f" FROM ({firsts} WHERE {condition} GROUP BY run_id, key, writer) GROUP BY run_id, key"
    )
