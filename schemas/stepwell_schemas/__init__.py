"""Code shared by producers and services: events, rules, and the ClickHouse schema."""
