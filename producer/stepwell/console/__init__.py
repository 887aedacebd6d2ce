"""Console output: the lines that a run prints, as rows of a side stream.

| key | value |
|---|---|
| `console/stdout` | a line of standard output, without colours and other control sequences |
| `console/stderr` | a line of standard error |

The step is the line's number, counted over both. A named writer has separate keys, `console/<writer>/stdout`.
"""
