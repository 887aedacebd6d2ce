"""From `log()` to rows in the journal."""
