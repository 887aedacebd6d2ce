"""Query parameters and request bodies, parsed and checked."""
