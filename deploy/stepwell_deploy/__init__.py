"""The command line, and the runner of a complete Stepwell on one machine."""
