"""Run the benchmarks. Results are printed, and not asserted.

make bench                      the table of figures; STEPWELL_BENCH_JSON=file also writes it as JSON
make bench ARGS="series_view"   one benchmark, with all of its details
make bench ARGS="peers"         the same work by wandb, MLflow, Trackio and TensorBoard, in an environment of their own
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from bench.report import report


def main(names: list[str]) -> None:
    """Run each named benchmark, or make the table."""
    if not names:
        sys.exit(report())
    known = _benchmarks()
    for name in names:
        if name not in known:
            sys.exit(f"no benchmark {name}; there are: {', '.join(known)}")
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()


def _benchmarks() -> list[str]:
    """Return the names of the modules that have a `main()` without arguments."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [file.stem for file in files if "\ndef main() -> None:" in file.read_text("utf-8")]


if __name__ == "__main__":
    main(sys.argv[1:])
