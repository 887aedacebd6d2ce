"""Check the documents' words and links, as `make lint` does; exit code 1 when something is found.

PYTHONPATH=tests python -m prose
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from prose.links import check_links
from prose.markdown import prose
from prose.words import Config, Finding, check_words, read_config, read_rules
from support.paths import ROOT


def documents(root: Path) -> list[Path]:
    """Return the Markdown files of the repository: those at its root, and those of docs/."""
    return sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])


def check(file: Path, root: Path, config: Config) -> Iterator[Finding]:
    """Yield all findings of one document."""
    yield from check_links(file)
    style = config.style(file.relative_to(root).as_posix())
    if style:
        yield from check_words(prose(file.read_text("utf-8")), read_rules(config.styles, style))


def main() -> int:
    """Print each finding as `file:line:column: text`, and return the exit code."""
    config = read_config(ROOT)
    count = 0
    for file in documents(ROOT):
        for finding in sorted(check(file, ROOT, config)):
            count += 1
            print(f"{file.relative_to(ROOT)}:{finding.line}:{finding.column}: {finding.text}")
    print(f"{count} findings in {len(documents(ROOT))} documents")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
