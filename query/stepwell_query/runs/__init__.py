"""Lists of runs: filters, order, columns and metadata."""
