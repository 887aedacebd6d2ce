"""Check links between the files of the repository, as a code host shows them, without network access."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from prose.markdown import anchors, links
from prose.words import Finding


def check_links(file: Path) -> Iterator[Finding]:
    """Yield the links of a Markdown file that lead to no file, or to no heading of one."""
    for link in links(file.read_text("utf-8")):
        parts = urlsplit(link.target)
        if parts.scheme or parts.netloc:
            continue
        target = file.parent / unquote(parts.path) if parts.path else file
        if not target.exists():
            yield Finding(link.line, 1, f"the link {link.target} leads to no file")
        elif parts.fragment and parts.fragment not in anchors(target.read_text("utf-8")):
            yield Finding(link.line, 1, f"the link {link.target} leads to no heading of {target.name}")
