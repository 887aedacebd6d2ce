"""`stepwell demo`: training on real data through the whole pipeline, and a report of the results."""
