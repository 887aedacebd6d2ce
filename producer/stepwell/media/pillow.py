"""Lazy import of Pillow, an optional dependency."""

from __future__ import annotations

from types import ModuleType

from stepwell.errors import UnstorableError


def pillow() -> ModuleType:
    """Return the module PIL.Image. Raises: UnstorableError naming the package to install."""
    try:
        from PIL import Image
    except ImportError:
        raise UnstorableError("images need Pillow: pip install 'stepwell[media]'") from None
    return Image
