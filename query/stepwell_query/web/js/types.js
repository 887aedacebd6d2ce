/**
 * Types that several modules share.
 *
 * @typedef {object} Run A run, as the service returns it.
 * @property {string} entity
 * @property {string} project
 * @property {string} run_id
 * @property {string} path
 * @property {string} name
 * @property {string} state
 * @property {boolean} [stop_requested] whether someone asked the run to stop
 * @property {number | null} exit_code
 * @property {Record<string, unknown>} config
 * @property {Record<string, unknown>} summary
 * @property {string[]} tags
 * @property {string} notes
 * @property {string} group
 * @property {string} job_type
 * @property {string} client
 * @property {string} host
 * @property {string} created_at
 * @property {string} started_at
 * @property {string | null} finished_at
 * @property {string} heartbeat_at
 * @property {number} last_step
 * @property {number} points
 * @property {number | null} [duration] seconds, if the service returns it
 * @property {number} log_rows
 * @property {number} step_conflicts
 * @property {{step: number, offset: number}} complete_to
 * @property {{name: string, folded: string, glob: boolean, hidden: boolean | null, step_metric?: string | null}[]} metric_definitions
 * @property {boolean} [partial] whether parts of config and summary are left out, as in lists of wide runs
 * @property {Record<string, unknown>} [values] columns that were left out and then requested by name, by field
 * @property {number} [values_offset] the stored offset of the run when `values` were read
 *
 * @typedef {object} Metric A key with a kind, over the shown runs.
 * @property {string} key
 * @property {string} folded the form that all spellings of the key share
 * @property {string} kind
 * @property {number} first
 * @property {number} last
 * @property {number} runs number of runs that have it
 * @property {number} writers number of named writers that logged it, such as the ranks of a job
 * @property {string} stream "" for values that scripts logged
 *
 * @typedef {object} Points One sampled series; all arrays have the same length.
 * @property {string} key
 * @property {string} folded
 * @property {string} kind
 * @property {string} [writer] the writer that logged the series; "" if it has no name
 * @property {string} axis the metric on the x axis
 * @property {boolean} sampled whether a point represents several rows
 * @property {number} width steps per bucket
 * @property {number[]} x
 * @property {number[]} step
 * @property {number[]} value the last value of each bucket
 * @property {number[]} min
 * @property {number[]} max
 * @property {number[]} mean
 * @property {number[]} counts
 * @property {number[]} nans
 * @property {number[]} [smoothed] the moving average, computed over the whole series
 * @property {number} [rawFrom] the first step with rows, if older ones are removed
 * @property {Owners} [owners] of a band over writers, whose `counts` are numbers of writers
 *
 * @typedef {{low: string[], high: string[]}} Owners The writers of the least and the greatest value of each point.
 *
 * @typedef {"primary" | "band" | "lines"} RankMode How a metric that several ranks logged is drawn.
 *
 * @typedef {"none" | "ema" | "average" | "gaussian"} SmoothKind
 * @typedef {{kind: SmoothKind, amount: number}} Smooth
 *
 * @typedef {object} PanelView The settings of one panel.
 * @property {boolean} [log] logarithmic y axis
 * @property {number} [step] of media; undefined: the last one
 *
 * @typedef {object} ChartDefinition A chart of several metrics.
 * @property {string[]} keys in the order of the legend
 * @property {string[]} right those of the keys that are on the right axis
 * @property {string} title "": its keys
 * @property {string} x the x axis; "": that of all charts
 * @property {boolean} log
 * @property {boolean} logRight
 * @property {[number, number] | null} rangeX null: the whole range
 * @property {[number, number] | null} rangeY null: that of the values
 * @property {[number, number] | null} rangeRight
 *
 * @typedef {{axis: string, low: number, high: number}} Zoom A range of an x axis.
 *
 * @typedef {object} ViewState Everything that the address of the page contains.
 * @property {string} q search for metrics
 * @property {string} rq search for runs
 * @property {"first" | "all"} sections the part of a key that names its section: up to its first or its last `/`
 * @property {string[]} order names of sections in the order that was chosen for them; empty: the default order
 * @property {string[]} fold sections that are not in their default state (open or folded)
 * @property {string} x "" for each metric's own axis
 * @property {Zoom | null} zoom the range that all charts over its axis show; null: the whole range
 * @property {string} solo the only run, group or rank whose lines charts show; "": all
 * @property {boolean} legend whether charts have a legend next to a list that shows the same colours
 * @property {Smooth} smooth
 * @property {boolean} logx
 * @property {boolean} logy
 * @property {boolean} outliers whether the range of the y axis excludes outliers
 * @property {string[] | null} show ids of the drawn runs; null: the newest
 * @property {string} sort
 * @property {string} group
 * @property {string[] | null} columns null: the default columns
 * @property {Record<string, string>} colors by run id
 * @property {Record<string, PanelView>} panels by key
 * @property {ChartDefinition[]} charts of several metrics
 * @property {string} full id of the enlarged panel
 * @property {boolean} table whether the runs are shown as a table
 * @property {string} tab tab of a run's page
 * @property {RankMode} ranks of a run's page
 * @property {string} rank the only rank whose system metrics and console output are shown; "": all
 * @property {string} metric the metric of the table of ranks; "": the first
 * @property {"" | "diff" | "all"} compare whether the shown runs are compared: only what differs, or all
 * @property {string} base id of the run from which differences are shown; "": none
 * @property {string} cq search for rows of the comparison
 *
 * @typedef {object} Line A line of a chart; all arrays have the same length, and x ascends.
 * @property {string} id
 * @property {string} owner id of the run, or name of the group or rank, that the line belongs to
 * @property {string} name
 * @property {string} color
 * @property {number[]} x
 * @property {number[]} y the drawn values
 * @property {number[] | null} raw the values before smoothing
 * @property {number[]} [smooth] the moving average, computed by the service over the whole series
 * @property {number[] | null} low
 * @property {number[] | null} high
 * @property {number[]} step
 * @property {number[]} counts
 * @property {number[]} nans
 * @property {number[]} last the last value of each bucket
 * @property {boolean} sampled
 * @property {boolean} dash
 * @property {string} band the meaning of low and high: "min–max", "± std" of runs, or "ranks" for the extremes over ranks
 * @property {Owners} [owners]
 * @property {string} [metric] the folded key, in a chart of several metrics
 * @property {number[]} [dashes] of its stroke, in pixels
 * @property {boolean} [right] whether its values are on the right axis
 * @property {import("./ui/format.js").Unit} [unit] of its values; default: that of the chart
 * @property {number} [rawFrom] the first step with rows, if older ones are removed
 * @property {boolean} [rank] whether it is one of many lines of ranks, of which the hovered one is highlighted
 */

export {};
