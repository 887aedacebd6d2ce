"""The metrics that runs logged, and the shape of their series."""
