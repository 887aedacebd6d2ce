"""Delivery of journals to Kafka: the sender, event batches and `sync`."""
