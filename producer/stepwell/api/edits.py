"""Changes of a stored run that a script has made on its `ApiRun`, and the request that sends them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stepwell.values.metadata import MetadataReporter, metadata_mapping, named_floats, parse_tags, parse_text

TEXTS: Final = ("name", "notes", "group", "job_type")
"""Attributes of a run that are texts, and can be set."""


class SummaryDraft(dict[str, Any]):
    """A summary that can be changed: its items are also attributes, and `update()` sends the changes, as in wandb.

    `_json_dict` is a plain copy.
    """

    _send: Callable[[], None]

    def __init__(self, values: Mapping[str, Any], send: Callable[[], None]) -> None:
        super().__init__(values)
        object.__setattr__(self, "_send", send)

    def update(self, *given: Any, **more: Any) -> None:
        """Set values, and send what was changed. Raises: ApiError."""
        super().update(*given, **more)
        self._send()

    @property
    def _json_dict(self) -> dict[str, Any]:
        return copy.deepcopy(dict(self))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self:
            raise AttributeError(f"the summary has no {name!r}")
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"the summary has no {name!r}")
        del self[name]

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(dict(self), memo)

    def __reduce_ex__(self, _: Any) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class _Text(NamedTuple):
    """A text that an attribute was set to; `sent` if the service has it."""

    value: str
    sent: bool


class Drafts:
    """Attributes of a run that a script may have changed, next to the values that the service has."""

    def __init__(self, label: str) -> None:
        self._report = MetadataReporter(label)
        self._texts: dict[str, _Text] = {}
        self._tags: list[str] | None = None
        self._stored_tags: list[str] = []
        self._objects: dict[str, dict[str, Any]] = {}
        self._stored: dict[str, dict[str, str]] = {}

    def text(self, name: str) -> str | None:
        """Return the text that an attribute was set to, None if it was not."""
        found = self._texts.get(name)
        return None if found is None else found.value

    def set_text(self, name: str, value: Any) -> None:
        """Set an attribute. Raises: SettingsError if the text is too long."""
        self._texts[name] = _Text(parse_text(name, value), sent=False)

    def tags(self, stored: Callable[[], list[str]]) -> list[str]:
        """Return the tags, a list that can be changed; at first the stored ones."""
        if self._tags is None:
            self._stored_tags = stored()
            self._tags = list(self._stored_tags)
        return self._tags

    def values(self, name: str, stored: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the config or summary, a dict that can be changed; at first a new one of the stored values."""
        if name not in self._objects:
            self._objects[name] = stored()
            self._stored[name] = self._to_texts(self._objects[name])
        return self._objects[name]

    def changes(self, only: str = "") -> dict[str, Any]:
        """Return the changes as the service takes them; `only`: those of the config or the summary."""
        found: dict[str, Any] = {}
        if not only:
            found |= {name: text.value for name, text in self._texts.items() if not text.sent}
            if self._tags is not None and self._tags != self._stored_tags:
                found["tags"] = list(parse_tags(self._tags))
        for name in self._objects:
            if only in {"", name}:
                found |= self._object_changes(name)
        return found

    def note_sent(self, only: str = "") -> None:
        """Note that the changes were sent."""
        for name, values in self._objects.items():
            if only in {"", name}:
                self._stored[name] = self._to_texts(values)
        if not only:
            self._texts = {name: _Text(text.value, sent=True) for name, text in self._texts.items()}
            self._stored_tags = list(self._tags or ())

    def _object_changes(self, name: str) -> dict[str, Any]:
        before, now = self._stored[name], self._to_texts(self._objects[name])
        changed = {key: json.loads(text) for key, text in now.items() if before.get(key) != text}
        removed = [key for key in before if key not in now]
        return ({name: changed} if changed else {}) | ({f"{name}_remove": removed} if removed else {})

    def _to_texts(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the JSON of each value, by which values are compared: NaN does not equal itself."""
        return {key: json.dumps(named_floats(value)) for key, value in metadata_mapping(values, self._report).items()}
