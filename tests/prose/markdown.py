"""Read Markdown as far as the checks need it: its prose without code, its headings and its links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_OFF: Final = "<!-- vale off -->"
_ON: Final = "<!-- vale on -->"
_FENCE: Final = re.compile(r"^\s*(```|~~~)")
_INDENTED_CODE: Final = re.compile(r"^(?: {4}|\t)")
_CODE_SPAN: Final = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK_TARGET: Final = re.compile(r"(?<=\])\([^)\s]*\)")
_LINK: Final = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$", re.MULTILINE)


class Link(NamedTuple):
    """A link of a document: its target, and the line (from 1) that holds it."""

    target: str
    line: int


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def without_code(text: str) -> str:
    """Return a document of the same lines and columns, with blanks in place of code and comments."""
    lines, fence, code = [], "", False
    previous_blank = True
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1] == fence):
            fence = "" if fence else mark[1]
            lines.append(_blank(line))
        elif fence:
            lines.append(_blank(line))
        else:
            # An indented block begins after a blank line; the documents have no nested lists, whose items look alike.
            code = bool(_INDENTED_CODE.match(line)) and (code or previous_blank)
            lines.append(_blank(line) if code else line)
        previous_blank = not line.strip()
    plain = _CODE_SPAN.sub(lambda match: _blank(match[0]), "\n".join(lines))
    return _COMMENT.sub(lambda match: _blank(match[0]), plain)


def prose(text: str) -> str:
    """Return a document's prose: blanks replace code, link targets, and parts between `vale off` and `vale on`."""
    while _OFF in text:
        before, _, rest = text.partition(_OFF)
        off, _, after = rest.partition(_ON)
        text = before + _blank(_OFF + off + _ON) + after
    return _LINK_TARGET.sub(lambda match: _blank(match[0]), without_code(text))


def links(text: str) -> Iterator[Link]:
    """Yield a document's links and images."""
    plain = without_code(text)
    for match in _LINK.finditer(plain):
        yield Link(match["target"], plain.count("\n", 0, match.start()) + 1)


def anchors(text: str) -> set[str]:
    """Return the anchors that a code host gives a document's headings."""
    seen: dict[str, int] = {}
    result = set()
    for match in _HEADING.finditer(_fences_blanked(text)):
        words = re.sub(r"[^\w\- ]", "", match["text"].lower()).strip().replace(" ", "-")
        number = seen.get(words, 0)
        seen[words] = number + 1
        result.add(f"{words}-{number}" if number else words)
    return result


def _fences_blanked(text: str) -> str:
    return re.sub(r"^\s*(```|~~~).*?^\s*\1", lambda match: _blank(match[0]), text, flags=re.DOTALL | re.MULTILINE)
