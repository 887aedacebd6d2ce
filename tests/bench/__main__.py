"""Run the benchmarks: all, or those named on the command line. Results are printed, and not asserted.

make bench                      all
make bench ARGS="series_view"   one
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def main(names: list[str]) -> None:
    """Run each named benchmark, or every module of this folder that has a `main()`."""
    folder = Path(__file__).parent
    known = sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_"))
    for name in names or known:
        if name not in known:
            sys.exit(f"no benchmark {name}; there are: {', '.join(known)}")
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()


main(sys.argv[1:])
