"""Dead letters: their topic and their models."""
