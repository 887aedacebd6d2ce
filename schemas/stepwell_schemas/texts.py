"""Texts as messages show them."""

from __future__ import annotations


def shorten(text: str, most: int) -> str:
    """Return a text of at most `most` characters as it is, and the beginning of a longer one with an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}…"
