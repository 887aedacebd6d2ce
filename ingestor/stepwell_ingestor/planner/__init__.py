"""The planner: pure functions from events and run states to the rows of a flush."""
