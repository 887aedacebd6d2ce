"""Series of several runs, aggregated by group."""
