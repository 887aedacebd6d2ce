"""The pure plan of a flush: from events to rows of tables."""
