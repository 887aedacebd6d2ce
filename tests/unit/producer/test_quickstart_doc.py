"""The training script of docs/quickstart.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import stepwell
from support.paths import ROOT

ROWS = 1_000


def test_the_script_logs_a_thousand_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, reading = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "quickstart.md").read_text("utf-8"), re.DOTALL
    )
    assert "stepwell.Api()" in reading
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SYSTEM_SECONDS": "0", "CONSOLE": "off"}.items():
        monkeypatch.setenv(f"STEPWELL_{name}", value)
    names: dict[str, object] = {}
    exec(script, names)
    run = names["run"]
    assert isinstance(run, stepwell.Run)
    assert (run.project, run.step, run.config["lr"]) == ("quickstart", ROWS, 0.1)
    assert list(tmp_path.rglob("*")) != []
