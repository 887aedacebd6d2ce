"""A deterministic simulation of the ingest loop: seeded faults, virtual time, no threads, no broker, no ClickHouse."""
