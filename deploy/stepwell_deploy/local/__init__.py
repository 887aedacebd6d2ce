"""Everything on one machine: `stepwell up`."""
