"""The memory-mapped journal: format, writer, reader and locks."""
