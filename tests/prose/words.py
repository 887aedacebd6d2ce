"""Apply the rules of `.vale/styles` to prose.

Vale itself is a Go binary that its Python package downloads at the first run, so `make lint` would need the network.
This module reads the same files and supports the part of Vale's format that they use: `extends: existence` and
`extends: substitution`, with `ignorecase` and `nonword`.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

_GLOBAL: Final = "global"


class Rule(NamedTuple):
    """A pattern that prose must not match. `message` has `%s` for the replacement, if there is one, and the match."""

    name: str
    pattern: re.Pattern[str]
    message: str
    replacement: str | None = None


class Finding(NamedTuple):
    """A match of a rule: line and column, both from 1."""

    line: int
    column: int
    text: str


def build_rules(name: str, document: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of one file. Raises: ValueError for a kind of rule that is not supported."""
    flags = re.IGNORECASE if document.get("ignorecase") else re.NOFLAG
    edge = "" if document.get("nonword") else r"\b"

    def compiled(text: str) -> re.Pattern[str]:
        # The words of a rule may stand at the end of a line and the beginning of the next.
        words = text.replace(" ", r"\s+")
        return re.compile(f"{edge}(?:{words}){edge}", flags)

    match document["extends"]:
        case "existence":
            return [Rule(name, compiled(token), document["message"]) for token in document["tokens"]]
        case "substitution":
            swap: Mapping[str, str] = document["swap"]
            return [Rule(name, compiled(word), document["message"], instead) for word, instead in swap.items()]
        case kind:
            raise ValueError(f"{name}: rules that extend {kind!r} are not supported")


def read_rules(styles: Path, style: str) -> list[Rule]:
    """Return all rules of a style."""
    files = sorted((styles / style).glob("*.yml"))
    return [
        rule for file in files for rule in build_rules(f"{style}.{file.stem}", yaml.safe_load(file.read_text("utf-8")))
    ]


def check_words(prose: str, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield the matches of the rules."""
    for rule in rules:
        for match in rule.pattern.finditer(prose):
            start = match.start()
            words = " ".join(match[0].split())
            shown = (words,) if rule.replacement is None else (rule.replacement, words)
            line_start = prose.rfind("\n", 0, start) + 1
            line = prose.count("\n", 0, start) + 1
            yield Finding(line, start - line_start + 1, f"{rule.name}: {rule.message % shown}")


class Config(NamedTuple):
    """The part of `.vale.ini` that is used here: the folder of styles, and the style of each glob, later ones win."""

    styles: Path
    sections: Sequence[tuple[str, str]]

    def style(self, path: str) -> str:
        """Return the style that a file is checked by, "" for none; `path` is relative to the repository."""
        matching = [style for glob, style in self.sections if fnmatch(path, glob)]
        return matching[-1] if matching else ""


def read_config(root: Path) -> Config:
    """Read the repository's `.vale.ini`."""
    parser = configparser.ConfigParser()
    parser.read_string(f"[{_GLOBAL}]\n{(root / '.vale.ini').read_text('utf-8')}")
    sections = [(name, parser[name].get("BasedOnStyles", "")) for name in parser.sections() if name != _GLOBAL]
    return Config(root / parser[_GLOBAL]["StylesPath"], sections)
