"""Substitutes for the current run's config and summary while there is no run."""

from __future__ import annotations

from typing import Any

from stepwell.errors import StepwellError, UsageError


class BeforeInit:
    """Placeholder for `stepwell.config` and `stepwell.summary` before `init()`: any access raises UsageError."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._error(f".{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise self._error(f".{name}")

    def __getitem__(self, key: str) -> Any:
        raise self._error(f"[{key!r}]")

    def __setitem__(self, key: str, value: Any) -> None:
        raise self._error(f"[{key!r}]")

    def _error(self, what: str) -> StepwellError:
        return UsageError(f"call stepwell.init() before stepwell.{object.__getattribute__(self, '_name')}{what}")
