"""Ranks and launch ids of the environment variables that launchers set."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Mapping
from typing import Any

import pytest

from stepwell.session.launch import UNKNOWN, Launch, Rank, derive_run_id, find_launch
from stepwell.session.launcher import find_launcher, read_launch

_UUID = "0b1f6c1e-8f7a-4a5e-9d2f-3c4b5a697887"
_TORCH = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1"}
_MASTER = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
_ONE_NODE = {**_TORCH, "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "3"}
_DEEPSPEED = {"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "4", "CROSS_SIZE": "1", "LOCAL_SIZE": "4"}
_JOB = {"SLURM_JOB_ID": "77", "SLURM_CLUSTER_NAME": "big"}
_BATCH = {**_JOB, "SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}
_STEP = {**_BATCH, "SLURM_PROCID": "3", "SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"}
_OMPI = {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}
_PMI = {"PMI_RANK": "3", "PMI_SIZE": "8"}
_HOROVOD = {"HOROVOD_RANK": "2", "HOROVOD_SIZE": "4", "HOROVOD_LOCAL_RANK": "2"}


def _launcher(marker: str) -> str:
    return f"process that sets {marker}"


@pytest.mark.parametrize(
    ("environ", "launch"),
    [
        ({}, Launch()),
        # torchrun, accelerate and DeepSpeed; the address of a master is no id.
        (_TORCH, Launch(3, 4, 1)),
        ({**_TORCH, **_MASTER, "TORCHELASTIC_RUN_ID": "none"}, Launch(3, 4, 1)),
        ({**_TORCH, "TORCHELASTIC_RUN_ID": "100"}, Launch(3, 4, 1)),
        ({**_TORCH, "TORCHELASTIC_RUN_ID": _UUID}, Launch(3, 4, 1, f"elastic/{_UUID}")),
        ({**_TORCH, "TORCHELASTIC_RUN_ID": "1" * 38}, Launch(3, 4, 1, f"elastic/{'1' * 38}")),
        (
            {**_ONE_NODE, "TORCHELASTIC_RUN_ID": "none"},
            Launch(3, 4, 3, "process/process that sets TORCHELASTIC_RUN_ID/"),
        ),
        (
            {**_ONE_NODE, "TORCHELASTIC_RUN_ID": "100"},
            Launch(3, 4, 3, "process/process that sets TORCHELASTIC_RUN_ID/100"),
        ),
        (_DEEPSPEED, Launch(3, 4, 3, "process/process that sets CROSS_SIZE/")),
        # Without a launcher of its own: a script may set the variables for one launch after the other.
        (_ONE_NODE, Launch(3, 4, 3)),
        # Agents of torchrun that `srun` starts, one a node; a scheduler's job with an id that its user gave.
        ({**_STEP, **_TORCH, "TORCHELASTIC_RUN_ID": "none"}, Launch(3, 4, 1, "slurm/big/77/0/2/")),
        ({**_JOB, **_TORCH, "TORCHELASTIC_RUN_ID": "100"}, Launch(3, 4, 1, "slurm/big/77/0//100")),
        ({"PBS_JOBID": "9.pbs", **_TORCH, "TORCHELASTIC_RUN_ID": "a"}, Launch(3, 4, 1, "PBS_JOBID/9.pbs//a")),
        # SLURM: only what `srun` starts is parallel.
        (_BATCH, Launch()),
        ({**_BATCH, "SLURM_STEP_ID": "4294967291"}, Launch()),
        ({**_STEP, "SLURM_STEP_ID": "4294967290"}, Launch()),
        (_STEP, Launch(3, 8, 1, "slurm/big/77/0/2")),
        ({**_STEP, "SLURM_RESTART_COUNT": "1"}, Launch(3, 8, 1, "slurm/big/77/1/2")),
        ({**_STEP, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Launch()),
        # MPI and Horovod.
        (_OMPI, Launch(2, 4, 0)),
        (
            {**_OMPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "4"},
            Launch(2, 4, 0, "process/process that sets OMPI_COMM_WORLD_RANK/"),
        ),
        ({**_OMPI, **_BATCH, "PMIX_NAMESPACE": "prterun-a-1@1"}, Launch(2, 4, 0, "slurm/big/77/0/prterun-a-1@1")),
        (_PMI, Launch(3, 8)),
        ({**_PMI, **_STEP}, Launch(3, 8, 1, "slurm/big/77/0/2")),
        ({**_PMI, "MPI_LOCALNRANKS": "8"}, Launch(3, 8, UNKNOWN, "process/process that sets PMI_RANK/")),
        (_HOROVOD, Launch(2, 4, 2)),
        ({**_HOROVOD, **_OMPI, **_JOB, "PMIX_NAMESPACE": "n"}, Launch(2, 4, 2, "slurm/big/77/0/n")),
        # Conflicts: the inner launcher holds, also with one process; values that can't be used are skipped.
        ({**_OMPI, **_TORCH}, Launch(3, 4, 1)),
        ({**_STEP, "RANK": "0", "WORLD_SIZE": "1"}, Launch()),
        ({**_STEP, "RANK": "3"}, Launch(3, 8, 1, "slurm/big/77/0/2")),
        ({**_OMPI, "RANK": "4", "WORLD_SIZE": "4"}, Launch(2, 4, 0)),
        ({**_OMPI, "RANK": "-1", "WORLD_SIZE": "four"}, Launch(2, 4, 0)),
    ],
)
def test_launchers(environ: Mapping[str, str], launch: Launch) -> None:
    assert find_launch(environ, launcher=_launcher) == launch


def test_ranks_of_frameworks_precede_variables_and_take_ids_of_those_that_agree() -> None:
    assert find_launch({}, (Rank(5, 8),)) == Launch(5, 8)
    assert find_launch(_STEP, (Rank(5, 16, 1),)) == Launch(5, 16, 1)
    assert find_launch(_STEP, (Rank(3, 8),)) == Launch(3, 8, 1, "slurm/big/77/0/2")
    assert find_launch(_STEP, (Rank(0, 1),)) == Launch()
    assert find_launch(_STEP, (Rank(-1, 8),)) == Launch(3, 8, 1, "slurm/big/77/0/2")


def test_only_ranks_of_several_have_names() -> None:
    assert Launch(3, 4).writer == "rank3"
    assert Launch(0, 4).writer == "rank0"
    assert not Launch().writer


def test_run_ids_differ_by_launch_script_and_number() -> None:
    ids = {
        derive_run_id(launch, program, number)
        for launch in ("a", "b")
        for program in ("train.py", "")
        for number in (0, 1)
    }
    assert len(ids) == 8
    assert derive_run_id("a", "train.py", 0) in ids
    assert {len(run_id) for run_id in ids} == {12}
    assert all(run_id.isascii() and run_id.isalnum() and run_id == run_id.lower() for run_id in ids)


def test_the_launcher_is_the_nearest_ancestor_without_the_variable() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    inner = "import os; from stepwell.session.launcher import find_launcher; print(find_launcher('MARK'))"
    environ = {**os.environ, "MARK": "1"}
    direct = subprocess.check_output([sys.executable, "-c", inner], env=environ, text=True).strip()
    wrapped = subprocess.check_output([sys.executable, "-c", script, inner], env=environ, text=True).strip()
    assert direct == wrapped
    assert f"/{os.getpid()}/" in direct
    assert not find_launcher("MARK")


def test_loaded_frameworks_are_asked_and_none_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_ID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "HOROVOD_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert read_launch() == Launch()
    jax: Any = types.ModuleType("jax._src.distributed")
    jax.global_state = types.SimpleNamespace(client=None, process_id=0, num_processes=None)
    monkeypatch.setitem(sys.modules, "jax._src.distributed", jax)
    assert read_launch() == Launch()
    jax.global_state = types.SimpleNamespace(client=object(), process_id=2, num_processes=4)
    assert read_launch() == Launch(2, 4)
    context = types.SimpleNamespace(get_world_rank=lambda: 1, get_world_size=lambda: 3, get_local_rank=lambda: 0)
    ray: Any = types.ModuleType("ray.train")
    ray.get_context = lambda: context
    monkeypatch.setitem(sys.modules, "ray.train", ray)
    assert read_launch() == Launch(1, 3, 0)

    def fail() -> None:
        raise RuntimeError("no worker")

    ray.get_context = fail
    assert read_launch() == Launch(2, 4)
