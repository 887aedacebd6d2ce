"""The rollups of a flush: rows computed incrementally, and buckets to compute from stored points."""
