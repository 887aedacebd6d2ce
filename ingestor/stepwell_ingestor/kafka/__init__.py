"""Kafka clients, record decoding and fenced commits."""
