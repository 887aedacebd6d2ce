"""Export of runs: what to ask for, what was received so far, and the files that it becomes."""
