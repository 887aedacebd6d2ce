"""Kafka: a producer of events that the SDK and the gateway share."""
