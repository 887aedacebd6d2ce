"""Mutation tests of exactly-once ingestion: change one line at a time, and check that the tests fail."""
