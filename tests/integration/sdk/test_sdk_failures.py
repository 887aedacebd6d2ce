"""Faults around a training process: it continues, reports each in one line, and loses nothing that was written."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.servers.sdk import Served, eventually

_ROWS = 2_000

_SCRIPT = """
import json, os, resource, shutil, sys, time, stepwell
rows, fault, timeout = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
if fault == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
run = stepwell.init(id="run", mode=sys.argv[4] if len(sys.argv) > 4 else "online")
for row in range(rows):
    run.log({"row": row, "wide": "x" * (2_000 if fault == "full" else 1)})
    if fault == "deleted" and row == rows // 2:
        shutil.rmtree(os.environ["STEPWELL_DIR"])
    if fault == "full" and row % 100 == 0:
        time.sleep(0.02)
began = time.monotonic()
receipt = run.finish(timeout=timeout)
print(json.dumps({**receipt._asdict(), "journal": str(receipt.journal), "seconds": time.monotonic() - began}))
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


def test_a_full_disk_drops_what_has_no_room_and_says_how_much(sdk: Served) -> None:
    out, err = sdk.run(_SCRIPT, str(_ROWS), "full", "30")
    receipt = _receipt(out)
    assert receipt["dropped"] > 0
    assert receipt["pending"] == 0
    # The run's last event may find no room either.
    assert receipt["logged"] + receipt["dropped"] - _ROWS in {0, 1}
    assert os.strerror(errno.EFBIG) in receipt["error"]
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
        out, _ = sdk.run(_SCRIPT, "100", "", "8", code=0, **environment)
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
    content = bytearray(journal.read_bytes())
    content[byte] ^= 0xFF
    journal.write_bytes(content)
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
    content = bytearray(journal.read_bytes())
    content[30_000] ^= 0xFF
    journal.write_bytes(content)
    out, _ = sdk.run("from stepwell.delivery.sync import sync; print([result.error for result in sync()])")
    assert "damaged at byte" in out
    assert journal.exists()
    rows = _stored(sdk)
    assert rows == [(row, float(row)) for row in range(len(rows))]
