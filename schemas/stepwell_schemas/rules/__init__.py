"""Rules that both ends share: steps, keys, kinds and identifiers."""
