"""The Kafka clients, and commits that a former owner can't make."""
