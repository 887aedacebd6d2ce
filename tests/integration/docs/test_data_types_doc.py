"""The examples of docs/data-types.md, executed unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from support.paths import ROOT
from support.servers.sdk import Served

DOCUMENT = ROOT / "docs" / "data-types.md"


def test_the_examples_do_what_they_say(sdk: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    for name, value in sdk.environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "example"
    folder.mkdir()
    monkeypatch.chdir(folder)
    PILImage.fromarray(np.zeros((8, 8, 3), np.uint8)).save("cat.jpg")
    Path("report.html").write_text("<p>report</p>")
    Path("protein.pdb").write_text("ATOM\n")
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)
    kinds = {
        row["key"]: row["kind"]
        for row in sdk.store.query("SELECT key, kind FROM {db}.metrics WHERE run_id = 'types'").to_pylist()
    }
    assert kinds == {
        **dict.fromkeys(["field", "photo", "several", "curve", "seen"], "image"),
        **dict.fromkeys(["report", "page", "bokeh"], "html"),
        **dict.fromkeys(["walk", "film"], "video"),
        **dict.fromkeys(["cloud", "scan"], "object3d"),
        **dict.fromkeys(["weights", "counts"], "histogram"),
        "tone": "audio",
        **dict.fromkeys(["plotly", "charts/loss", "charts/both", "charts/roc", "charts/confusion"], "plotly"),
        "samples": "table",
        "protein": "molecule",
    }
    pictures = sorted(path.name.partition("_")[0] for path in Path("pictures/media/image").iterdir())
    assert pictures == ["curve", "field", "seen", "seen", "several"]
    assert isinstance(names["first"], bytes)
    assert names["first"].startswith(b"\x89PNG")
    assert Path(str(names["path"])).read_bytes() == Path("cat.jpg").read_bytes()
