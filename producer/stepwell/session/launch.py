"""Position of this process in a distributed launch: its rank, the number of ranks, and the id of the launch.

Pure functions over environment variables and what `stepwell.session.launcher` learns about the process. The first
source that gives a rank and a size wins; they are ordered from the innermost launcher to the outermost one, since a
`torchrun` that `srun` starts inherits the variables of its task, which is a node and not a rank:

1. Ray's train context and JAX's distributed state, if the script has imported and initialized them;
2. RANK, WORLD_SIZE (torchrun, accelerate, DeepSpeed); 3. HOROVOD_RANK; 4. OMPI_COMM_WORLD_RANK; 5. PMI_RANK;
6. SLURM_PROCID within a step that `srun` started. A batch script has SLURM_PROCID=0 and runs once.

A source with one process ends the search: eight tasks of `srun` that each start a `torchrun` of one process are eight
trainings. A source with a rank but no size, or a rank that is no integer below the size, is skipped.

The id of a launch is the same in all ranks and never repeats. The address and port of a launch's master, or an id that
a user chose, such as `--rdzv-id=100`, are no such ids; without a better one `launch_id` is empty.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

Environment = Mapping[str, str]
FindLauncher = Callable[[str], str]
"""Returns the identity of the nearest ancestor process without an environment variable; "" if it is unknown."""

UNKNOWN: Final = -1

_ID_ALPHABET: Final = string.digits + string.ascii_lowercase
_ID_CHARS: Final = 12
_UNIQUE: Final = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[0-9]{30,39}")
"""A UUID in hexadecimal or decimal digits."""

_SLURM_SPECIAL_STEPS: Final = 0xFFFFFFF0
"""SLURM's batch script, interactive step and other steps that run once have ids from here on."""

_ELASTIC_ID: Final = "TORCHELASTIC_RUN_ID"


class Rank(NamedTuple):
    """A rank as one source gives it. `local`, `local_size`: among the processes of its node; UNKNOWN if not given."""

    rank: int
    size: int
    local: int = UNKNOWN
    local_size: int = UNKNOWN


class Launch(NamedTuple):
    """The position of this process in its launch; a process that was started alone is the only rank.

    Attributes:
        rank, world_size: the process's number, and the number of processes.
        local_rank: its number on its node, UNKNOWN if the launcher does not give it.
        launch_id: the same text in all ranks of a launch, and in no other launch; "" if there is none.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = UNKNOWN
    launch_id: str = ""

    @property
    def parallel(self) -> bool:
        """Return whether there are other ranks."""
        return self.world_size > 1

    @property
    def writer(self) -> str:
        """The default name of this process among its run's writers, "" if it is the only rank."""
        return f"rank{self.rank}" if self.parallel else ""


class _Source(NamedTuple):
    """The variables of a launcher: the first one of each list that is set counts."""

    rank: str
    sizes: tuple[str, ...]
    local: str
    local_sizes: tuple[str, ...] = ()


_TORCH: Final = _Source("RANK", ("WORLD_SIZE",), "LOCAL_RANK", ("LOCAL_WORLD_SIZE", "LOCAL_SIZE"))
_HOROVOD: Final = _Source("HOROVOD_RANK", ("HOROVOD_SIZE",), "HOROVOD_LOCAL_RANK")
_OPEN_MPI: Final = _Source(
    "OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",), "OMPI_COMM_WORLD_LOCAL_RANK", ("OMPI_COMM_WORLD_LOCAL_SIZE",)
)
_PMI: Final = _Source("PMI_RANK", ("PMI_SIZE",), "MPI_LOCALRANKID", ("MPI_LOCALNRANKS",))
_SLURM: Final = _Source("SLURM_PROCID", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"), "SLURM_LOCALID")
_SOURCES: Final = (_TORCH, _HOROVOD, _OPEN_MPI, _PMI, _SLURM)


def find_launch(
    environ: Environment, frameworks: tuple[Rank, ...] = (), launcher: FindLauncher | None = None
) -> Launch:
    """Return the position of this process.

    Args:
        frameworks: ranks that loaded frameworks report; they precede the variables.
        launcher: finds the process that started this node's ranks; None if nothing is known about processes.
    """
    given = [(source, _read_rank(source, environ)) for source in _SOURCES]
    known = [(source, rank) for source, rank in given if rank is not None]
    ranks = [*(rank for rank in frameworks if _is_possible(rank)), *(rank for _, rank in known)]
    if not ranks or ranks[0].size == 1:
        return Launch()
    first = ranks[0]
    agreeing = [(source, rank) for source, rank in known if (rank.rank, rank.size) == (first.rank, first.size)]
    local = next((rank.local for rank in (first, *(rank for _, rank in agreeing)) if rank.local >= 0), UNKNOWN)
    ids = (_find_id(source, rank, environ, launcher or _no_launcher) for source, rank in agreeing)
    return Launch(first.rank, first.size, local, next(filter(None, ids), ""))


def derive_run_id(launch_id: str, program: str, number: int) -> str:
    """Return the id of a run that all ranks of a launch join: 12 characters of 0–9 and a–z.

    Args:
        program: the file name of the script: programs that one task of a launch runs in turn have runs of their own.
        number: how many runs without an id the process has started before in its project.
    """
    digest = hashlib.sha256("\0".join((launch_id, program, str(number))).encode()).digest()
    rest, chars = int.from_bytes(digest), ""
    for _ in range(_ID_CHARS):
        rest, digit = divmod(rest, len(_ID_ALPHABET))
        chars += _ID_ALPHABET[digit]
    return chars


def _no_launcher(_: str) -> str:
    return ""


def _read_rank(source: _Source, environ: Environment) -> Rank | None:
    if source is _SLURM and not _slurm_step(environ):
        return None
    rank = Rank(
        _number(environ, source.rank),
        _number(environ, *source.sizes),
        _number(environ, source.local),
        _number(environ, *source.local_sizes),
    )
    return rank if _is_possible(rank) else None


def _is_possible(rank: Rank) -> bool:
    return 0 <= rank.rank < rank.size


def _number(environ: Environment, *names: str) -> int:
    """Return the number in the first of these variables that is set, UNKNOWN if there is none."""
    text = next((environ[name] for name in names if environ.get(name)), "")
    return int(text) if text.isascii() and text.isdigit() else UNKNOWN


def _slurm_step(environ: Environment) -> str:
    """Return the id of the step that `srun` started, "" outside of one."""
    step = _number(environ, "SLURM_STEP_ID")
    return str(step) if 0 <= step < _SLURM_SPECIAL_STEPS else ""


def _cluster_job(environ: Environment) -> str:
    """Return the id of this attempt of a job of the cluster's scheduler, "" if there is none."""
    if job := environ.get("SLURM_JOB_ID"):
        cluster, restart = environ.get("SLURM_CLUSTER_NAME", ""), environ.get("SLURM_RESTART_COUNT", "0")
        return f"slurm/{cluster}/{job}/{restart}"
    return next((f"{name}/{environ[name]}" for name in ("PBS_JOBID", "LSB_JOBID") if environ.get(name)), "")


def _find_id(source: _Source, rank: Rank, environ: Environment, launcher: FindLauncher) -> str:
    return next(filter(None, _ids(source, rank, environ, launcher)), "")


def _ids(source: _Source, rank: Rank, environ: Environment, launcher: FindLauncher) -> Iterator[str]:
    """Yield the ids that a launcher's variables give, the best first; empty ones stand for none."""
    job, step = _cluster_job(environ), _slurm_step(environ)
    elastic = environ.get(_ELASTIC_ID, "")
    elastic = "" if elastic == "none" else elastic
    if source is _SLURM:
        yield job and f"{job}/{step}"
    marker = _find_marker(source, environ)
    if marker and rank.local_size == rank.size and (process := launcher(marker)):
        yield f"process/{process}/{elastic}"
    if source is _TORCH:
        yield f"elastic/{elastic}" if _UNIQUE.fullmatch(elastic.lower()) else ""
        # One `srun` starts the agents of all nodes. Without a step, the id that they share distinguishes launches.
        yield f"{job}/{step}/{elastic}" if job and (step or elastic) else ""
    if source is _OPEN_MPI:
        namespace = environ.get("PMIX_NAMESPACE") or environ.get("OMPI_MCA_ess_base_jobid", "")
        yield f"{job}/{namespace}" if job and namespace else ""


def _find_marker(source: _Source, environ: Environment) -> str:
    """Return a variable that all ranks of a node have from their launcher, a process that serves one launch.

    A shell or a script that sets RANK may do so for one launch after the other.
    """
    names = {_TORCH: (_ELASTIC_ID, "CROSS_SIZE"), _OPEN_MPI: (_OPEN_MPI.rank,), _PMI: (_PMI.rank,)}.get(source, ())
    return next((name for name in names if name in environ), "")
