"""Display of a run in a notebook."""

from __future__ import annotations

from typing import Any

from stepwell.recording.curves import Curves
from stepwell.session.defined_metrics import DefinedMetrics
from stepwell.session.notebook import ProgressDisplay, find_shell, in_notebook
from stepwell.session.rendering import render_run


class ShownRun(DefinedMetrics):
    """A run that shows itself in notebooks."""

    _curves: Curves | None = None
    _display: ProgressDisplay | None = None

    def _show_in_notebook(self) -> None:
        """In a notebook, keep curves from now on, and show the run's progress in the cell of `init()`."""
        if not in_notebook() or self.disabled or self.forked:
            return
        self._curves = Curves(lambda: self.step)
        self._rows.observe(self._curves.curve)
        if not self._spec.quiet and self._spec.primary:
            self._display = ProgressDisplay(self._repr_html_)
            self._display.start()

    @property
    def is_displayed(self) -> bool:
        """Return whether a notebook shows the run's progress."""
        return self._display is not None

    def _repr_html_(self) -> str:
        """Return the run as HTML: a link to its page, and small charts of what this process has logged."""
        status = f"step {self.step:,}" if self._receipt is None else str(self._receipt)
        url = "" if self.offline or self.disabled else self.url
        curves = self._curves.all() if self._curves is not None else []
        return render_run(
            self.name, url, status, [(curve.key, list(curve.points)) for curve in curves], dict(self.summary)
        )

    def to_html(self, height: int = 420, hidden: bool = False) -> str:  # noqa: ARG002 - wandb's arguments
        """Return the run as HTML, as notebooks show it."""
        return self._repr_html_()

    def display(self, height: int = 420, hidden: bool = False) -> bool:  # noqa: ARG002 - wandb's arguments
        """Show the run in the current cell of a notebook; return False outside notebooks."""
        if not in_notebook():
            return False
        shell: Any = find_shell()
        shell.display_pub.publish({"text/html": self._repr_html_(), "text/plain": repr(self)})
        return True
