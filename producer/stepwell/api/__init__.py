"""Reading runs back: the public `Api` and its objects."""
