"""A run in a notebook: a block in the cell of `init()` that shows its progress, and events of cells.

Works with Jupyter's kernels (JupyterLab, VS Code, Colab), which know displays that are updated. IPython is used if the
script runs in it, and is never imported otherwise.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

_UPDATE_SECONDS: Final = 2.0
_JOIN_SECONDS: Final = 2.0
_CELL_BEGINS: Final = "pre_run_cell"


def find_shell() -> Any:
    """Return IPython's shell of this process; None outside IPython."""
    module = sys.modules.get("IPython")
    get = getattr(module, "get_ipython", None)
    return None if get is None else get()


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, which shows HTML."""
    return getattr(find_shell(), "kernel", None) is not None


def watch_cells(callback: Callable[..., None]) -> Callable[[], None]:
    """Call a function whenever a cell begins; return a function that stops it. Does nothing outside IPython."""
    shell = find_shell()
    if shell is None:
        return _do_nothing
    shell.events.register(_CELL_BEGINS, callback)

    def stop() -> None:
        # Other code may have removed it.
        with contextlib.suppress(ValueError):
            shell.events.unregister(_CELL_BEGINS, callback)

    return stop


class ProgressDisplay:
    """A block of HTML that is updated every two seconds, and shows the end of the run at last."""

    def __init__(self, render: Callable[[], str]) -> None:
        self._render = render
        self._shown = ""
        self._handle: Any = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._update_often, name="stepwell-notebook", daemon=True)

    def start(self) -> None:
        """Show the block. A notebook that can't show it gets none."""
        ipython = _ipython()
        with contextlib.suppress(Exception):  # whatever a front end's publisher raises
            self._shown = self._render()
            self._handle = ipython.display(ipython.HTML(self._shown), display_id=True)
        if self._handle is not None:
            with contextlib.suppress(RuntimeError):  # the thread limit is reached: it is updated at the end
                self._thread.start()

    def update(self) -> None:
        """Show what is rendered now, if it has changed."""
        html = self._render()
        if self._handle is not None and html != self._shown:
            self._shown = html
            with contextlib.suppress(Exception):  # whatever a front end's publisher raises
                self._handle.update(_ipython().HTML(html))

    def stop(self) -> None:
        """Show the last state, and end the updates."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)
        self.update()

    def _update_often(self) -> None:
        while not self._stopped.wait(_UPDATE_SECONDS):
            self.update()


def _ipython() -> Any:
    return import_module("IPython.display")


def _do_nothing() -> None:
    """Do nothing."""
