"""Pillow, where it is installed: it is an extra."""

from __future__ import annotations

from types import ModuleType

from stepwell.errors import UnstorableError


def pillow() -> ModuleType:
    """Return the module PIL.Image. Raises: UnstorableError naming what to install."""
    try:
        from PIL import Image
    except ImportError:
        raise UnstorableError("encoding pixels needs Pillow: pip install 'stepwell[media]'") from None
    return Image
