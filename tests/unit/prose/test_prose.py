"""The checks of the documents, on small documents of each kind."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from prose.__main__ import documents
from prose.links import check_links
from prose.markdown import anchors, prose
from prose.site import remote_addresses
from prose.words import build_rules, check_words, read_config, read_rules
from support.paths import ROOT

RULES = read_rules(ROOT / ".vale" / "styles", "Stepwell")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("It is computed anew.", [(1, 16)]),
        ("Fine.\n\nBoth are sent at\nonce.", [(3, 15)]),
        ("It goes to Kafka, else it waits. Else it ends.", [(1, 17), (1, 34)]),
        ("Ask those who know; NOBODY does.", [(1, 11), (1, 21)]),
        ("`anew` and [a link](anew.md) and ``x ` anew``", []),
        ("```\nanew\n```\n\n    anew\n    anew\n\nThe end <!-- anew -->", []),
        ("- item\n    anew", [(2, 5)]),
        ("<!-- vale off -->\nanew\n<!-- vale on -->\nanew", [(4, 1)]),
        ("behindhand, wholly, elsewhere, otherwise", []),
    ],
)
def test_words_are_found_in_prose_alone(text: str, places: list[tuple[int, int]]) -> None:
    assert sorted(finding[:2] for finding in check_words(prose(text), RULES)) == places


def test_prose_keeps_lines_and_columns() -> None:
    for file in documents(ROOT):
        text = file.read_text("utf-8")
        kept = [(len(line)) for line in prose(text).splitlines()]
        assert kept == [len(line) for line in text.splitlines()], file


def test_the_style_of_a_file_is_that_of_the_last_section_that_matches() -> None:
    config = read_config(ROOT)
    assert config.style("README.md") == "Stepwell"
    assert config.style("docs/decisions/0001-names-in-the-sort-key.md") == "Stepwell"
    assert config.style("docs/reading.txt") == ""


def test_a_rule_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match=re.escape("'capitalization'")):
        build_rules("X", {"extends": "capitalization"})


def test_links_lead_to_files_and_headings(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# wandb's filters\n\n## Same\n\n## Same\n\n```\n# Code\n```\n")
    assert anchors((tmp_path / "other.md").read_text()) == {"wandbs-filters", "same", "same-1"}
    file = tmp_path / "page.md"
    good = "[a](other.md) [b](other.md#same-1) [c](#page) [d](https://example.org/x) `[e](gone.md)`"
    file.write_text(f"# Page\n\n{good}\n\n[f](gone.md)\n[g](other.md#code) ![h](gone.png)\n")
    assert [finding.line for finding in check_links(file)] == [5, 6, 6]


def test_a_page_s_remote_addresses_are_those_that_it_loads() -> None:
    loads = (
        '<script src="https://cdn.example/a.js"></script><link rel="icon" href="//cdn.example/b.svg"><img src="c.png">'
    )
    leads = '<a href="https://example.org">x</a><link rel="canonical" href="https://example.org/">'
    assert remote_addresses(loads + leads) == ["https://cdn.example/a.js", "//cdn.example/b.svg"]


def test_the_site_has_every_document() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))

    def files(entries: object) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        items = entries.values() if isinstance(entries, dict) else entries if isinstance(entries, list) else ()
        return [file for item in items for file in files(item)]

    there = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").glob("**/*.md")}
    assert set(files(config["nav"])) == there


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text.partition("## Where a new thing goes")[2].partition("## Commands")[0]
    files = [name for name in re.findall(r"`([\w./-]+)`", table) if "/" in name]
    assert len(files) > 20
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_modules_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    modules = set(re.findall(r"`(stepwell(?:_[a-z]+)?(?:\.[a-z_]+)+)`", text))
    assert len(modules) > 10
    assert {name for name in modules if find_spec(name) is None} == set()
