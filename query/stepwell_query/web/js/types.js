/**
 * Types that several modules share. Only types: nothing runs here.
 *
 * @typedef {object} Run A run as the service describes it.
 * @property {string} entity
 * @property {string} project
 * @property {string} run_id
 * @property {string} path
 * @property {string} name
 * @property {string} state
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
 * @property {number} log_rows
 * @property {number} step_conflicts
 * @property {{step: number, offset: number}} complete_to
 * @property {{name: string, glob: boolean, hidden: boolean | null}[]} metric_definitions
 * @property {boolean} [partial] whether a list of runs left some of config and summary out
 * @property {Record<string, unknown>} [values] what was asked for by name of what was left out, by field
 * @property {number} [values_offset] how far the run was stored when `values` were read
 *
 * @typedef {object} Metric A key with a kind, over the runs that are shown.
 * @property {string} key
 * @property {string} kind
 * @property {number} first
 * @property {number} last
 * @property {number} runs how many of them have it
 * @property {string} stream "" for what the runs themselves logged
 *
 * @typedef {object} Points One series as the service samples it; all arrays are of one length.
 * @property {string} key
 * @property {string} kind
 * @property {string} axis what lies on x
 * @property {boolean} sampled whether a point stands for several rows
 * @property {number} width steps of one bucket
 * @property {number[]} x
 * @property {number[]} step
 * @property {number[]} value the last of each bucket
 * @property {number[]} min
 * @property {number[]} max
 * @property {number[]} mean
 * @property {number[]} counts
 * @property {number[]} nans
 *
 * @typedef {"none" | "ema" | "average" | "gaussian"} SmoothKind
 * @typedef {{kind: SmoothKind, amount: number}} Smooth
 *
 * @typedef {object} PanelView What a person set on one panel.
 * @property {boolean} [log] logarithmic y axis
 * @property {[number, number]} [zoom] range on the x axis
 * @property {number} [step] of media; none: the last one
 *
 * @typedef {object} ViewState All that a link to the page carries.
 * @property {string} q search over metrics
 * @property {string} rq search over runs
 * @property {"first" | "all"} sections what of a key names its section
 * @property {string[]} fold sections that were opened or folded against their default
 * @property {string} x "" for each metric's own axis
 * @property {Smooth} smooth
 * @property {boolean} logx
 * @property {boolean} logy
 * @property {boolean} outliers whether the y axis leaves out outliers
 * @property {string[] | null} show ids of the runs that are drawn; null: the newest
 * @property {string} sort
 * @property {string} group
 * @property {string[] | null} columns null: the usual ones
 * @property {Record<string, string>} colors by run id
 * @property {Record<string, PanelView>} panels by key
 * @property {string} full the panel that is enlarged
 * @property {boolean} table whether the runs are shown as a table
 * @property {string} tab of a run's page
 *
 * @typedef {object} Line What a line chart draws; arrays are of one length, x ascends.
 * @property {string} id
 * @property {string} name
 * @property {string} color
 * @property {number[]} x
 * @property {number[]} y what is drawn
 * @property {number[] | null} raw what was smoothed
 * @property {number[] | null} low
 * @property {number[] | null} high
 * @property {number[]} step
 * @property {number[]} counts
 * @property {number[]} nans
 * @property {number[]} last the last value of each bucket
 * @property {boolean} sampled
 * @property {boolean} dash
 * @property {string} band what low and high are: "min–max" or "± std"
 */

export {};
