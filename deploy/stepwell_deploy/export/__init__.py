"""Export of runs: the requests, the received parts, and the resulting files."""
