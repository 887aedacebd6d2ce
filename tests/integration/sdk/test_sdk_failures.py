"""Faults around a training process: it continues, reports each in one line, and loses nothing that was written."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stepwell_schemas.limits import MIB
from support.mounts import tmpfs
from support.readers.journals import flip, segment_files
from support.servers.sdk import Served, eventually

_ROWS = 2_000

_SCRIPT = """
import json, os, resource, shutil, sys, time, stepwell
rows, fault, timeout = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
if fault == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
run = stepwell.init(id="run", mode=sys.argv[4] if len(sys.argv) > 4 else "online")
while fault == "reached" and run._journal.acknowledged.sequence == 0:
    time.sleep(0.01)
for row in range(rows):
    run.log({"row": row, "wide": "x" * (2_000 if fault in {"full", "limited"} else 1)})
    if fault == "deleted" and row == rows // 2:
        shutil.rmtree(os.environ["STEPWELL_DIR"])
began = time.monotonic()
receipt = run.finish(timeout=timeout)
print(json.dumps({**receipt._asdict(), "journal": str(receipt.journal), "seconds": time.monotonic() - began}))
"""

_SMALL_DISK = """
import json, os, sys, time, stepwell
run = stepwell.init(id="run")
journal = run._journal
for row in range(int(sys.argv[1])):
    run.log({"row": row, **{f"metric/{number}": float(row) for number in range(12)}})
    # A training that is no faster than its delivery: at most 2 MiB wait.
    while row % 500 == 0 and journal.end - journal.acknowledged.offset > 2 << 20:
        time.sleep(0.01)
receipt = run.finish(timeout=90)
print(json.dumps({**receipt._asdict(), "journal": str(receipt.journal), "written": journal.end}))
"""

_SMALL_DISK_ROW_BYTES = 133

_TRUNCATED = """
import json, os, sys, time, stepwell
run = stepwell.init(id="run")
rows = int(sys.argv[1])
for row in range(rows):
    run.log({"row": row})
    if row in {rows // 4, rows // 2}:
        while run._journal.acknowledged.sequence < run._journal.sequence:
            time.sleep(0.01)
    if row == rows // 2 + 100:
        os.truncate(f"{run.journal_path}/000000.segment", 0)
    if row == 3 * rows // 4:
        time.sleep(1)
receipt = run.finish(timeout=float(sys.argv[2]))
print(json.dumps({**receipt._asdict(), "journal": str(receipt.journal)}))
"""


def _receipt(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def _stored(sdk: Served) -> list[tuple[int, float]]:
    return sdk.numbers("row")


def test_a_folder_deleted_while_the_run_goes_on_takes_nothing_away(sdk: Served) -> None:
    out, _ = sdk.run(_SCRIPT, str(_ROWS), "deleted", "30")
    receipt = _receipt(out)
    assert receipt["pending"] == 0
    eventually(lambda: _stored(sdk), [(row, float(row)) for row in range(_ROWS)])
    assert "deleted" in receipt["error"]


def test_a_deleted_journal_is_written_again_where_it_could_not_be_delivered(sdk: Served) -> None:
    away = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"}
    out, _ = sdk.run(_SCRIPT, str(_ROWS), "deleted", "5", code=0, **away)
    assert _receipt(out)["pending"] == _ROWS + 2
    assert len(sdk.journals()) == 1
    sdk.run("import stepwell; stepwell.init(id='run').finish()")
    eventually(lambda: _stored(sdk), [(row, float(row)) for row in range(_ROWS)])


def test_a_folder_that_takes_no_file_costs_only_the_survival_of_a_kill(sdk: Served) -> None:
    out, err = sdk.run(_SCRIPT, str(_ROWS), "", "30", STEPWELL_DIR="/proc/stepwell", TMPDIR="/proc/stepwell")
    assert _receipt(out)["pending"] == 0
    eventually(lambda: _stored(sdk), [(row, float(row)) for row in range(_ROWS)])
    assert "STEPWELL_DIR" in err


def test_a_limit_of_the_size_of_files_takes_nothing_away(sdk: Served) -> None:
    out, _ = sdk.run(_SCRIPT, str(_ROWS), "limited", "30")
    receipt = _receipt(out)
    assert (receipt["dropped"], receipt["pending"], receipt["error"]) == (0, 0, "")
    eventually(lambda: _stored(sdk), [(row, float(row)) for row in range(_ROWS)])


def test_a_healthy_run_on_a_small_disk_drops_nothing(sdk: Served, tmp_path: Path) -> None:
    rows = 130_000
    with tmpfs(tmp_path, 8 * MIB) as disk:
        out, _ = sdk.run(_SMALL_DISK, str(rows), STEPWELL_DIR=str(disk))
        assert list(disk.rglob("*.segment")) == []
    receipt = _receipt(out)
    assert (receipt["logged"], receipt["dropped"], receipt["pending"], receipt["error"]) == (rows, 0, 0, "")
    assert receipt["written"] > 2 * 8 * MIB
    assert receipt["written"] < rows * _SMALL_DISK_ROW_BYTES + MIB // 2, "no segment is begun without need"
    eventually(lambda: sdk.numbers("row")[-1:], [(rows - 1, float(rows - 1))])
    assert [step for step, _ in _stored(sdk)] == list(range(rows))


def test_a_live_journal_that_is_truncated_costs_only_what_was_in_it(sdk: Served) -> None:
    out, err = sdk.run(_TRUNCATED, "4000", "30")
    receipt = _receipt(out)
    assert receipt["pending"] == 0
    assert "can't be read" in receipt["error"]
    assert len([line for line in err.splitlines() if "can't be read" in line]) == 2, "a notice, and the receipt"
    eventually(lambda: sdk.state(), "finished")
    rows = _stored(sdk)
    assert all(step == value for step, value in rows)
    assert rows[-1] == (3_999, 3_999.0)
    assert [path.name.endswith(".damaged") for path in sdk.journals()] == [True]


def test_a_full_disk_drops_what_has_no_room_and_says_how_much(sdk: Served, tmp_path: Path) -> None:
    with tmpfs(tmp_path, 1 * MIB) as disk:
        out, err = sdk.run(_SCRIPT, str(_ROWS), "full", "30", STEPWELL_DIR=str(disk))
    receipt = _receipt(out)
    assert receipt["dropped"] > 0
    assert receipt["pending"] == 0
    # The run's last event may find no room either.
    assert receipt["logged"] + receipt["dropped"] - _ROWS in {0, 1}
    assert os.strerror(errno.ENOSPC) in receipt["error"]
    assert len([line for line in err.splitlines() if receipt["error"] in line]) == 2, "a notice, and the receipt"
    eventually(lambda: len(_stored(sdk)), receipt["logged"])
    values = [value for _, value in _stored(sdk)]
    assert values == sorted(set(values)), "what was stored is in its order, once"


@contextmanager
def _silent() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("silent", ["broker", "service", "both"])
def test_the_end_never_hangs_on_a_server_that_never_answers(sdk: Served, silent: str) -> None:
    with _silent() as address:
        environment = {}
        if silent in {"broker", "both"}:
            environment["STEPWELL_KAFKA_BOOTSTRAP_SERVERS"] = address
        if silent in {"service", "both"}:
            environment["STEPWELL_BASE_URL"] = f"http://{address}"
        began = time.monotonic()
        fault, timeout = ("reached", "5") if silent == "service" else ("", "2")
        out, _ = sdk.run(_SCRIPT, "100", fault, timeout, code=0, **environment)
    receipt = _receipt(out)
    assert receipt["seconds"] < 12
    assert time.monotonic() - began < 30
    assert receipt["pending"] == (0 if silent == "service" else 102)
    assert receipt["stored"] is None


@pytest.mark.parametrize("byte", [50, 8_200, 20_000])
def test_everything_before_a_damaged_byte_is_delivered_and_the_damage_is_named(sdk: Served, byte: int) -> None:
    away = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "STEPWELL_BASE_URL": "http://127.0.0.1:9"}
    sdk.run(_SCRIPT, str(_ROWS), "", "5", code=0, **away)
    (journal,) = sdk.journals()
    flip(segment_files(journal)[0], byte)
    _, err = sdk.run("import stepwell; stepwell.init(id='run').finish()")
    eventually(lambda: sdk.state(), "finished")
    rows = _stored(sdk)
    assert rows == [(row, float(row)) for row in range(len(rows))]
    if byte < 8_192:
        assert len(rows) == _ROWS, "no byte of the header is needed alone"
    else:
        assert len(rows) < _ROWS
        assert "damaged at byte" in err
        assert [path.name for path in sdk.journals()] == [f"{journal.name}.damaged"]


def test_a_damaged_journal_is_kept_by_sync_too(sdk: Served) -> None:
    sdk.run(_SCRIPT, str(_ROWS), "", "5", "offline")
    (journal,) = sdk.journals()
    flip(segment_files(journal)[0], 30_000)
    out, _ = sdk.run("from stepwell.delivery.sync import sync; print([result.error for result in sync()])")
    assert "damaged at byte" in out
    assert journal.exists()
    rows = _stored(sdk)
    assert rows == [(row, float(row)) for row in range(len(rows))]
