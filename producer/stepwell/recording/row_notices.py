"""Notices of a writer's rows, each printed once: values that are not stored, further spellings, step conflicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stepwell.terminal import notify
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.texts import shorten

_KEY_CHARS: Final = 80


class RowNotices:
    """Prints and counts what is not stored as it was given.

    Attributes:
        label: the beginning of each notice. rejected: number of values that could not be stored.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.rejected = 0
        self._spellings: dict[str, str] = {}
        self._warned: set[str] = set()

    def reject(self, key: str, kind: str, rule: str) -> None:
        """Count a value of a type that breaks a rule."""
        self.rejected += 1
        shown = shorten(key, _KEY_CHARS)
        self.warn(f"{shown} {kind}", f"{self.label}: {shown!r} ({kind}) is not stored: {rule}")

    def reject_part(self, key: str, rule: str) -> None:
        """Count a part of a media value that breaks a rule; `key` is "" for one of the summary."""
        self.rejected += 1
        value = repr(shorten(key, _KEY_CHARS)) if key else "a value of the summary"
        self.warn(f"{value} {rule}", f"{self.label}: a part of {value} is not stored: {rule}")

    def first_spelling(self, key: str) -> str:
        """Return the spelling in which a key was first given, which is this one for a new key."""
        return self._spellings.setdefault(fold_key(key), key)

    def note_spellings(self, keys: Iterable[str]) -> None:
        """Remember keys, and report further spellings."""
        for key in keys:
            first = self.first_spelling(key)
            if first != key:
                self.warn(
                    f"spelling {key}", f"{self.label}: {key!r} is the metric {first!r} (keys are case-insensitive)"
                )

    def warn(self, about: str, message: str) -> None:
        """Print a message, unless there was one about this."""
        if about not in self._warned:
            self._warned.add(about)
            notify(message)
