"""Rules shared by producers and services: steps, keys, kinds, identifiers, JSON and streams."""
