"""Effects on a run of what the service says: it is to stop, was deleted, or shares the name of its writer."""

from __future__ import annotations

from stepwell.errors import StopRequestedError
from stepwell.session.properties import RunProperties
from stepwell.session.stop_requests import StopRequests
from stepwell.terminal import notify
from stepwell_schemas.rules.writers import number_writer


class StoppableRun(RunProperties):
    """A run that can be stopped from outside."""

    _stop_requests: StopRequests

    def _watch_for_stop(self) -> None:
        """Poll the service from now on, in the primary process of an online run."""
        spec, session = self._spec, self._journal.info.session
        self._stop_requests = StopRequests(
            self._settings, spec.path, session, self._on_stop, self._on_deletion, self._on_shared_writer
        )
        if spec.mode == "online" and spec.primary and not spec.forked:
            self._stop_requests.start()

    @property
    def stop_requested(self) -> bool:
        """Return whether someone asked the run to stop, with `stepwell stop`, on its page or by `Api`."""
        return self._stop_requests.requested

    def _on_stop(self) -> None:
        notify(f"{self.id}: the run is asked to stop")
        if self._settings.stop == "raise":
            label = self.id
            remedy = "finish the run, or set STEPWELL_STOP=flag to look at run.stop_requested instead"
            self._rows.refuse(lambda: StopRequestedError(f"{label}: the run is asked to stop; {remedy}"))

    def _on_deletion(self) -> None:
        notify(f"{self.id}: the run was deleted in the service, which keeps nothing of what it logs from now on")

    def _on_shared_writer(self) -> None:
        effect = (
            f"values of the one that started first are stored as {number_writer(self.writer, 2)} or a higher number"
        )
        remedy = "give each process a name of its own (STEPWELL_WRITER), or the rank that it has"
        notify(f"{self.id}: another process logs as {self.writer}, too; {effect}; {remedy}")
