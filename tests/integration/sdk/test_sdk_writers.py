"""Eight processes, each a named writer of one run, with interleaved steps."""

from __future__ import annotations

from functools import partial

from support.servers.sdk import Served, eventually

_WRITERS = 8
_ROWS = 200

_WRITER = """
import sys, stepwell
number, writers, rows = map(int, sys.argv[1:])
run = stepwell.init(id="run", writer=f"rank{number}")
for row in range(rows):
    run.log({f"loss{number}": row, f"own/{number}": number}, step=row * writers + number)
    if row % 10 == 0:
        run.log({"shared": row})
receipt = run.finish()
assert (receipt.conflicts, receipt.pending, receipt.error) == (0, 0, ""), receipt
"""


def test_eight_writers_of_one_run_are_stored_once_at_their_steps(sdk: Served) -> None:
    writers = [sdk.start(_WRITER, str(number), str(_WRITERS), str(_ROWS)) for number in range(_WRITERS)]
    for writer in writers:
        _, err = writer.communicate(timeout=90)
        assert writer.returncode == 0, err
    for number in range(_WRITERS):
        wanted = [(row * _WRITERS + number, float(row)) for row in range(_ROWS)]
        eventually(partial(sdk.numbers, f"loss{number}"), wanted)
    assert sdk.count("step_conflicts") == 0
    shared = [row * _WRITERS + number for row in range(0, _ROWS, 10) for number in range(_WRITERS)]
    eventually(lambda: [step for step, _ in sdk.numbers("shared")], sorted(shared))
    assert sdk.state() == "finished"
    assert sdk.journals() == []
