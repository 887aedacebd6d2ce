"""The errors of the runner and the command line.

StepwellDeployError
├── PortInUseError       another program listens on a port that a service needs
├── FolderInUseError     another process works in the data folder
├── BrokerError          Kafka did not start, died, can't be reached or refuses
├── NoLetterError        no dead letter has this name
├── LetterError          a dead letter can't be sent again
├── StackError           the local stack did not start, or a part of it ended that can't be restarted
│   └── DiskSpaceError   the data folder has too little free space to start
├── UnknownKeyError      a run has not logged a requested key
├── BadChangeError       a change of a run is not written as KEY=VALUE
├── ServiceRefusedError  the query service refused a request
├── ExportError          a run's rows can't be written
│   └── ServiceLostError the connection to the service was lost during an export
├── KeyExistsError       a key with the scope admin exists already
├── DatabaseHeldError    a running service holds the database in which a first key should be created
├── NotComparableError   a run's log and tables can't be compared
├── RebuildError         the tables can't be rebuilt now
└── MoveError            the events of a topic can't be copied to another one
"""

from __future__ import annotations

from collections.abc import Sequence


class StepwellDeployError(Exception):
    """Base of all errors of this package; its text is one sentence with a remedy."""


class PortInUseError(StepwellDeployError):
    """Another program listens on a port that a service needs."""

    def __init__(self, host: str, port: int, remedy: str) -> None:
        super().__init__(f"port {port} on {host} is in use by another program; {remedy}")


class FolderInUseError(StepwellDeployError):
    """Another process works in the data folder."""

    def __init__(self, folder: object, process: str) -> None:
        super().__init__(
            f"the folder {folder} is in use by process {process}; stop it, or name another folder with --dir"
        )


class BrokerError(StepwellDeployError):
    """Kafka did not start, died, can't be reached or refuses."""


class NoLetterError(StepwellDeployError):
    """No dead letter has this name."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"there is no dead letter {name!r}: {why}")


class LetterError(StepwellDeployError):
    """A dead letter can't be sent again; the error does not affect other letters."""


class StackError(StepwellDeployError):
    """The local stack did not start, or a part of it ended that can't be restarted within the process."""


class DiskSpaceError(StackError):
    """The data folder has too little free space to start."""

    def __init__(self, folder: object, free: int, reserve: int) -> None:
        super().__init__(
            f"{free:,} bytes are free at {folder}, fewer than the reserve of {reserve:,}; free some space, "
            "or set STEPWELL_DISK_RESERVE_BYTES lower"
        )


class ServiceRefusedError(StepwellDeployError):
    """The query service refused a request; the text is the service's."""


class BadChangeError(StepwellDeployError):
    """A change of a run is not written as KEY=VALUE."""


class UnknownKeyError(StepwellDeployError):
    """A run has not logged the requested keys."""

    def __init__(self, run: object, keys: Sequence[str]) -> None:
        names = ", ".join(map(repr, keys))
        super().__init__(f"the run {run} has not logged {names}; `stepwell metrics {run}` lists what it has")


class KeyExistsError(StepwellDeployError):
    """A key with the scope admin exists already."""

    def __init__(self, key_id: str, name: str) -> None:
        super().__init__(
            f"a key with the scope admin exists already: {key_id} ({name}); create others with it: `stepwell keys "
            "create`; if it is lost, add --force"
        )


class DatabaseHeldError(StepwellDeployError):
    """A running service holds the database in which a first key should be created."""


class ExportError(StepwellDeployError):
    """A run's rows can't be written; the text has the reason."""


class ServiceLostError(ExportError):
    """The connection to the service was lost during an export, which can be resumed."""


class NotComparableError(StepwellDeployError):
    """A run's journals, log and tables can't be compared; the text has the reason."""


class RebuildError(StepwellDeployError):
    """The tables can't be rebuilt now; the text has the reason and the remedy."""


class MoveError(StepwellDeployError):
    """The events of a topic can't be copied to another one; the text has the reason and the remedy."""
