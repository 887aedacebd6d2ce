"""The Avro events: models and codec."""
