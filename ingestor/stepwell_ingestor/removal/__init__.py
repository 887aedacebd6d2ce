"""Removal of what deleted runs leave: their media files, and rows that arrived late."""
