"""Media files and logged tables."""
