"""Kafka to ClickHouse: decode, order, split by type, store."""
