"""The commands of `stepwell`, by what they do: serve, read, deliver, show, dead letters."""
