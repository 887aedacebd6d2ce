"""SQL of users and guests: access rules and execution."""
