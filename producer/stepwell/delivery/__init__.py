"""From journals to Kafka: sender, batches and sync."""
