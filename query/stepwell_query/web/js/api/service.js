/** The client of the HTTP API. */

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").Metric} Metric */
/** @typedef {import("../types.js").Points} Points */

const ROOT = "/api/v1";

/** A response with an error status, or no response (`status` 0). */
export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {{field: string}[]} errors */
  constructor(status, message, errors = []) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.errors = errors;
  }

  /** Whether the service was unreachable or temporarily unavailable. */
  get isTemporary() {
    return this.status === 0 || this.status === 503;
  }
}

/** `left`: the user is signing out, which leads to the sign-in page without a way back. */
export const session = { left: false };

/** `report` is called after each request with whether the service was reached. */
export const reachability = {
  /** @type {(reached: boolean) => void} */
  report: () => undefined,
};

/**
 * Send a request; return the JSON of the response. Throws ApiError.
 * @param {string} path
 * @param {{signal?: AbortSignal, body?: unknown, method?: string}} [options]
 * @returns {Promise<any>}
 */
export async function request(path, { signal, body, method = "POST" } = {}) {
  /** @type {RequestInit} */
  const init = body === undefined ? { signal } : { signal, method, body: JSON.stringify(body) };
  if (body !== undefined) init.headers = { "content-type": "application/json" };
  let response;
  try {
    response = await fetch(`${ROOT}${path}`, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    reachability.report(false);
    throw new ApiError(0, "The service is unreachable.");
  }
  reachability.report(true);
  if (response.ok) return response.json();
  // The session has ended, or its key was revoked.
  if (response.status === 401 && !session.left) location.assign(`/signin?ended&next=${encodeURIComponent(location.pathname + location.search)}`);
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.detail ?? `The service responded with status ${response.status}.`, problem.errors);
}

/** @param {string[]} parts */
export function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

/** @param {Record<string, string | number | boolean | string[] | undefined>} values a list repeats the name */
export function query(values) {
  const pairs = Object.entries(values)
    .flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((item) => ({ name, value: item })))
    .filter(({ value }) => value !== undefined && value !== "");
  return pairs.length ? `?${pairs.map(({ name, value }) => `${name}=${encodeURIComponent(String(value))}`).join("&")}` : "";
}

/** @returns {Promise<{projects: {entity: string, project: string, runs: number, last_activity: string}[]}>} */
export function projects() {
  return request("/projects");
}

/**
 * Return one page of a project's runs, the newest first. With `columns`, runs have these columns as `values` instead of
 * config and summary.
 * @param {string} entity
 * @param {string} project
 * @param {{limit?: number, cursor?: string, filter?: string, columns?: string[]}} [page]
 * @param {AbortSignal} [signal]
 * @returns {Promise<{runs: Run[], next: string | null, total: number, columns: {shown: string[], total: number}}>}
 */
export function runs(entity, project, { columns, ...page } = {}, signal) {
  // No columns at all: one empty name.
  const parameters = query({ order: "-created_at", ...page, columns }) + (columns?.length === 0 ? "&columns=" : "");
  return request(`/projects/${path(entity, project)}/runs${parameters}`, { signal });
}

/**
 * Find columns of config and summary among all runs of a project.
 * @param {string} entity
 * @param {string} project
 * @param {{search: string, limit: number}} options `search`: words that the names of columns contain
 * @param {AbortSignal} [signal]
 * @returns {Promise<{columns: {source: string, key: string}[], total: number}>}
 */
export function runColumns(entity, project, options, signal) {
  return request(`/projects/${path(entity, project)}/runs/columns${query(options)}`, { signal });
}

/** @param {string} entity @param {string} project @param {string} run @returns {Promise<Run>} */
export function run(entity, project, run) {
  return request(`/runs/${path(entity, project, run)}`);
}

/**
 * Return the metrics of some runs together, sorted by key.
 * @param {string} entity
 * @param {string} project
 * @param {string[]} ids
 * @returns {Promise<Metric[]>}
 */
export async function metrics(entity, project, ids) {
  const columns = (await request(`/projects/${path(entity, project)}/metrics`, { body: { run_ids: ids } })).metrics;
  return columns.key.map((/** @type {string} */ key, /** @type {number} */ at) => ({
    key,
    folded: columns.folded[at],
    kind: columns.kind[at],
    first: columns.first_step[at],
    last: columns.last_step[at],
    runs: columns.runs[at],
    writers: columns.writers[at],
    stream: columns.stream[at],
  }));
}

/**
 * @typedef {object} RunSeries
 * @property {string} run
 * @property {Points[]} series
 * @property {number} offset up to which the response is complete
 */

/** @typedef {import("../series/request_planner.js").SeriesRequest} SeriesRequest */

/** @param {SeriesRequest} request */
function seriesBody({ metrics, ranks, ...rest }) {
  return { ...rest, keys: metrics.map(({ key }) => key), ...(ranks ? { writer: ["*"] } : {}) };
}

/**
 * Return series of runs.
 * @param {SeriesRequest} seriesRequest
 * @param {AbortSignal} [signal]
 * @returns {Promise<RunSeries[]>}
 */
export async function series(seriesRequest, signal) {
  const response = await request("/series", { body: seriesBody(seriesRequest), signal });
  return response.runs.map((/** @type {any} */ run) => ({
    run: run.run,
    offset: run.complete_to.offset,
    series: run.series.map(toPoints),
  }));
}

/** @param {any} series @returns {Points} */
export function toPoints(series) {
  return {
    key: series.key,
    folded: series.folded,
    kind: series.kind,
    writer: series.writer ?? "",
    axis: series.x_axis,
    sampled: series.sampled,
    width: series.bucket_width,
    x: floats(series.x),
    step: series.step,
    value: floats(series.value),
    min: floats(series.min),
    max: floats(series.max),
    mean: floats(series.mean),
    counts: series.counts,
    nans: series.nans,
    ...(series.smoothed ? { smoothed: floats(series.smoothed) } : {}),
    ...removedRows(series),
  };
}

/**
 * Return series aggregated by group: `value` and `mean` are the mean, `min` and `max` are one standard deviation below
 * and above it (NaN if there is only one run), and `counts` are numbers of runs.
 * @param {SeriesRequest} seriesRequest
 * @param {AbortSignal} [signal]
 * @returns {Promise<{points: Map<string, Points[]>, offsets: Map<string, number>}>} by group, and by run
 */
export async function groups(seriesRequest, signal) {
  const response = await request("/groups", { body: seriesBody(seriesRequest), signal });
  /** @type {Map<string, Points[]>} */
  const points = new Map(response.groups.map((/** @type {any} */ group) => [group.value, []]));
  for (const series of response.series) for (const group of series.groups) points.get(group.value)?.push(toGroupPoints(series, group));
  const offsets = Object.entries(response.complete_to).map(([run, to]) => /** @type {[string, number]} */ ([run, /** @type {any} */ (to).offset]));
  return { points, offsets: new Map(offsets) };
}

/** Return the first step with rows, if the project keeps older ones no longer. @param {any} series @returns {{rawFrom?: number}} */
function removedRows(series) {
  return series.raw_from ? { rawFrom: series.raw_from } : {};
}

/** @param {any} series @param {any} group @returns {Points} */
export function toGroupPoints(series, group) {
  const mean = floats(group.mean);
  const std = floats(group.std);
  return {
    key: series.key,
    folded: series.folded,
    kind: series.kind,
    axis: series.x_axis,
    sampled: true,
    ...removedRows(series),
    width: series.bucket_width,
    x: group.step,
    step: group.step,
    value: mean,
    min: mean.map((value, at) => value - std[at]),
    max: mean.map((value, at) => value + std[at]),
    mean,
    counts: group.count,
    nans: new Array(mean.length).fill(0),
  };
}

/**
 * Convert numbers of a response: NaN and the infinities, which JSON lacks, are texts.
 * @param {(number | string)[]} values
 * @returns {number[]}
 */
export function floats(values) {
  const allNumbers = values.every((value) => typeof value === "number");
  return allNumbers ? /** @type {number[]} */ (values) : values.map(Number);
}

/**
 * Return an even sample of a run's rows.
 * @param {Run} run
 * @param {{key?: string | string[], samples?: number, min_step?: number, max_step?: number, stream?: string}} options
 * @param {AbortSignal} [signal]
 * @returns {Promise<{rows: Record<string, any>[], sampled: boolean, complete_to: {offset: number}}>}
 */
export function history(run, options, signal) {
  return request(`/runs/${path(run.entity, run.project, run.run_id)}/history${query(options)}`, { signal });
}

/**
 * Execute a statement.
 * @param {string} sql
 * @param {Record<string, unknown>} parameters
 * @returns {Promise<{columns: {name: string, type: string}[], rows: any[][]}>}
 */
export function sql(sql, parameters) {
  return request("/sql", { body: { sql, parameters } });
}

/** @param {string} sha256 */
export function mediaUrl(sha256) {
  return `${ROOT}/media/${encodeURIComponent(sha256)}`;
}

/** @param {string} sha256 of an HTML file */
export function pageUrl(sha256) {
  return `${mediaUrl(sha256)}/page`;
}

/** @param {string} sha256 @returns {Promise<object>} a Plotly figure */
export function figure(sha256) {
  return request(`/media/${encodeURIComponent(sha256)}`);
}

/**
 * @typedef {object} TablePage
 * @property {{name: string, type: string}[]} columns
 * @property {any[][]} rows
 * @property {number} found rows that match the search
 * @property {number} total
 */

/**
 * Return rows of a logged table.
 * @param {string} sha256
 * @param {{offset: number, limit: number, sort?: string, descending?: boolean, search?: string}} options
 * @param {AbortSignal} [signal]
 * @returns {Promise<TablePage>}
 */
export function tableRows(sha256, options, signal) {
  return request(`/media/${encodeURIComponent(sha256)}/rows${query(options)}`, { signal });
}

/** @param {string} entity @param {string} project */
export function eventsUrl(entity, project) {
  return `${ROOT}/projects/${path(entity, project)}/events`;
}
