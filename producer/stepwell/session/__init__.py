"""Sessions of runs in this process: `init`, the `Run` object, resuming, side streams and the receipt."""
