"""The command line and the runner that keeps a whole Stepwell on one machine."""
