"""Console output: what a run prints, line by line, as rows of a stream beside its own.

| key | a value |
|---|---|
| `console/stdout` | a line of standard output, without colours and other control sequences |
| `console/stderr` | a line of standard error |

The step is the line's number, over both. A writer with a name has keys of its own, `console/<writer>/stdout`.
"""
