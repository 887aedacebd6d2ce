"""The runs and their series: how far they are stored, and the extents of their metrics."""
