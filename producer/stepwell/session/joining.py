"""Joining of a run by the ranks of a launch: the run's id, and a writer's name that no process of the node has."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stepwell.session.exits import is_worker
from stepwell.session.launch import Launch, derive_run_id
from stepwell.session.node_claims import NodeClaims
from stepwell.session.resume import find_start_point
from stepwell.session.spec import RunSpec
from stepwell.terminal import notify

if TYPE_CHECKING:
    from stepwell.settings import ProducerSettings

Script = tuple[str, str, str]
"""Entity, project, and the file name of the script."""

_MAIN_PROCESS: Final = "main process"
"""Claim of a process that is no worker, and has no name."""

_joined: Final[Counter[Script]] = Counter()
"""Number of runs that this process has joined by the id of its launch."""


class ChosenRun(NamedTuple):
    """The run of a session.

    Attributes:
        run_id: "" for a new run of this process alone.
        rule: the resume rule for this rank.
        primary: whether the rank decides the run's name, metadata and state.
    """

    run_id: Any
    rule: str
    primary: bool


def choose_run(given: Any, rule: str, launch: Launch, script: Script) -> ChosenRun:
    """Return the run of a session: of the given id, or one that all ranks of the launch derive; else a new one.

    Ranks that join have no order: the run may exist when a rank starts, or not yet. So `never` is checked by rank 0 for
    a given id, and by none for a derived one, which `must` does not require either.
    """
    primary = launch.rank == 0
    if given:
        return ChosenRun(given, "" if rule == "never" and not primary else rule, primary)
    if not launch.launch_id:
        return ChosenRun("", rule, primary=True)
    run_id = derive_run_id(launch.launch_id, script[2], _joined[script])
    _joined[script] += 1
    return ChosenRun(run_id, {"never": "", "must": "allow"}.get(rule, rule), primary)


def claim_unnamed(claims: NodeClaims) -> str:
    """Return the writer of a process without a name: the unnamed one, or for further workers one of their own."""
    if not is_worker():
        # A worker that keeps the unnamed writer between its runs sees by it that the writer is taken.
        claims.owns(_MAIN_PROCESS)
        claims.owns_writer("")
        return ""
    own = f"process-{os.getpid()}"
    has_own = claims.has_had_writer(own) or claims.is_held_elsewhere(_MAIN_PROCESS)
    writer = "" if not has_own and claims.owns_writer("") else own
    claims.keep_writer(writer)
    return writer


def claim_writer(spec: RunSpec, claims: NodeClaims, settings: ProducerSettings, rule: str) -> RunSpec:
    """Return the specification under a writer's name that no other living process of this node has.

    Processes without a name share the run's unnamed writer, except for workers of multiprocessing: they log the same
    keys at the same steps as their parent and one another, and would replace one another's rows. The first one has the
    unnamed writer, and each keeps its writer as long as it lives: a pool's tasks open their runs one after the other,
    too. The other names do not come back.
    """
    writer = claims.claim_writer(spec.writer) if spec.writer else claim_unnamed(claims)
    if writer == spec.writer:
        return spec
    other = f"writes as {spec.writer}" if spec.writer else "logs to this run"
    notify(f"{spec.path}: another process of this machine {other}: this one is {writer}")
    rule = "" if rule == "never" else rule
    start = find_start_point(spec.path, writer, rule, settings, spec.mode, rank=spec.launch.parallel)
    return spec._replace(
        writer=writer,
        first_step=start.first_step,
        resumed=start.resumed,
        lineage=start.lineage.session,
        lineage_step=start.lineage.step,
        primary=spec.primary and not spec.launch.parallel and bool(spec.writer),
        auto_file=None,
        known=start.known,
    )
