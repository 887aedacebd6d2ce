"""Rebuilding of the tables from the log: the comparison with the present tables, and the switch."""
