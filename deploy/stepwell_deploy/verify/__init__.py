"""`stepwell verify`: comparison of journals, log and tables."""
