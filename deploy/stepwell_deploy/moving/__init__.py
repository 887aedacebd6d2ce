"""Moving the events that are not stored from a topic with added partitions to a new topic."""
