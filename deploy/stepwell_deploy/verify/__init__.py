"""`stepwell verify`: journals, log and tables compared."""
