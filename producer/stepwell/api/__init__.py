"""Reading back: the public `Api` and its objects."""
