"""Journals: their format in segments, their writer and reader, and the locks that tell whose they are."""
