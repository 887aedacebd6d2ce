"""`RunDisabled`: wandb's name for a run that records nothing."""

from __future__ import annotations

from typing import Any


class RunDisabled:
    """A run without effect, which libraries return on ranks that do not log; all its methods return None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _do_nothing


def _do_nothing(*_: Any, **__: Any) -> None:
    return None
