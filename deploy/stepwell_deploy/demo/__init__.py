"""`stepwell demo`: real training on real data through the whole pipeline, and what a person wants to see of it."""
