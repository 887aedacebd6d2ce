"""A training process of the fault tests.

Run it with `python -m reliability.faults.training SEED RUN WRITER FIRST PROGRESS PAUSE_MS`.

Makes the workload's calls from number FIRST on, and appends a byte to the file PROGRESS after each call that returned.
Prints a JSON line at its start (its first step, its journal) and its receipt at its end. Its journal is kept when it
was delivered, for the harness to count its rows.
"""

from __future__ import annotations

import json
import os
import sys
import time

import stepwell
from reliability.faults.workload import writers


def main() -> None:
    """Log until the workload's last call."""
    seed, run_id, name, first, progress, pause_ms = sys.argv[1:]
    writer = next(writer for writer in writers(int(seed)) if (writer.run, writer.name) == (run_id, name))
    # A single writer continues after its last step; one of several requests its own steps. A launch names its ranks.
    run = stepwell.init(
        id=run_id,
        writer=None if writer.launched else name,
        resume=None if name else "allow",
        settings={"keep_journal": True},
    )
    assert run.writer == name
    print(json.dumps({"step": run.step, "journal": run.journal_path}), flush=True)
    done = os.open(progress, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(int(first), writer.calls):
        data, jump, at, commit = writer.call(int(seed), number)
        step = at if jump is None else max(run.step + jump, 0)
        run.log(data, step=step, commit=commit)
        os.write(done, b".")
        if number % 10 == 0:
            time.sleep(int(pause_ms) / 100)
    receipt = run.finish()
    print(json.dumps({**receipt._asdict(), "journal": str(receipt.journal)}), flush=True)


if __name__ == "__main__":
    main()
