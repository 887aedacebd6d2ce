"""A training process that counts: the row at step n has the value n.

Run it with `python -m reliability.faults.counting RUN ROWS PAUSE_MS PAYLOAD`.

Continues the run after its last step, logs ROWS rows with PAYLOAD characters each, and prints its receipt as a JSON
line.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import stepwell

_FINISH_SECONDS: Final = 300.0


def main() -> None:
    """Log the rows."""
    run_id, rows, pause_ms, payload = sys.argv[1], *map(int, sys.argv[2:])
    run = stepwell.init(id=run_id, resume="allow")
    text = {"text": "x" * payload} if payload else {}
    for _ in range(rows):
        run.log({"count": run.step, **text})
        time.sleep(pause_ms / 1_000)
    receipt = run.finish(timeout=_FINISH_SECONDS)
    print(json.dumps({**receipt._asdict(), "journal": str(receipt.journal)}), flush=True)


if __name__ == "__main__":
    main()
