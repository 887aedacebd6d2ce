"""What both ends of Stepwell share: events, pure rules, and the ClickHouse schema."""
