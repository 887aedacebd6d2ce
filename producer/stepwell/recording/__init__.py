"""Recording: `log()` calls to rows in the journal, metric definitions and the summary."""
