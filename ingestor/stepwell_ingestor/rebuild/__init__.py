"""Rebuilding of tables: the ingestor itself, reading a range of the log and writing to a database of its own."""
