"""`stepwell up`: all parts of Stepwell on one machine."""
