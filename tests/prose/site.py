"""Check that a built site loads nothing from another host, so that it works without a network.

PYTHONPATH=tests python -m prose.site build/site
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

_REMOTE: Final = re.compile(r"(?:https?:)?//", re.IGNORECASE)
# A link of a page leads elsewhere when a reader clicks it; all other addresses are loaded with the page.
_NOT_LOADED: Final = frozenset({"a", "form"})
_NOT_LOADED_RELATIONS: Final = frozenset({"canonical", "prev", "next", "alternate"})


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.remote: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in _NOT_LOADED or named.get("rel") in _NOT_LOADED_RELATIONS:
            return
        addresses = [named.get(name) or "" for name in ("src", "href", "poster", "data")]
        self.remote += [address for address in addresses if _REMOTE.match(address)]


def remote_addresses(html: str) -> list[str]:
    """Return the addresses on other hosts that a document loads."""
    parser = _Loads()
    parser.feed(html)
    return parser.remote


def check_site(site: Path) -> Iterator[str]:
    """Yield `file: address` for each address on another host that a page of the site loads."""
    for file in sorted(site.rglob("*.html")):
        for address in remote_addresses(file.read_text("utf-8")):
            yield f"{file.relative_to(site)}: loads {address}"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    problems = list(check_site(folder))
    print("\n".join([*problems, f"{len(problems)} addresses on other hosts in {folder}"]))
    sys.exit(1 if problems or not (folder / "index.html").exists() else 0)
