"""A deterministic simulation of the ingest loop: seeded faults, virtual time, no thread, no broker, no ClickHouse."""
