"""SQL of guests: its rules and its execution."""
