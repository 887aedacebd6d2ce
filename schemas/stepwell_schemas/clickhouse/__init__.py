"""The connection to ClickHouse, for servers and the embedded engine."""
