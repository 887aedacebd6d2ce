/** Everything that the page asks the service for. */

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").Metric} Metric */
/** @typedef {import("../types.js").Points} Points */

const ROOT = "/api/v1";

/** An answer that is no success, or none at all (`status` 0). */
export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {{field: string}[]} errors */
  constructor(status, message, errors = []) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.errors = errors;
  }

  /** Whether the service was not reached, or says that it can't answer now. */
  get passing() {
    return this.status === 0 || this.status === 503;
  }
}

/** Told after each request whether the service was reached. */
export const reachability = {
  /** @type {(reached: boolean) => void} */
  report: () => undefined,
};

/**
 * @param {string} path
 * @param {{signal?: AbortSignal, body?: unknown}} [options]
 * @returns {Promise<any>}
 */
export async function ask(path, { signal, body } = {}) {
  /** @type {RequestInit} */
  const init = body === undefined ? { signal } : { signal, method: "POST", body: JSON.stringify(body) };
  if (body !== undefined) init.headers = { "content-type": "application/json" };
  let answer;
  try {
    answer = await fetch(`${ROOT}${path}`, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    reachability.report(false);
    throw new ApiError(0, "The service can't be reached.");
  }
  reachability.report(true);
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new ApiError(answer.status, problem.detail ?? `The service answered ${answer.status}.`, problem.errors);
}

/** @param {string[]} parts */
function path(...parts) {
  return parts.map(encodeURIComponent).join("/");
}

/** @param {Record<string, string | number | boolean | string[] | undefined>} values a list: the name once for each */
function query(values) {
  const each = Object.entries(values).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one) => ({ name, one })));
  const there = each.filter(({ one }) => one !== undefined && one !== "");
  return there.length ? `?${there.map(({ name, one }) => `${name}=${encodeURIComponent(String(one))}`).join("&")}` : "";
}

/** @returns {Promise<{projects: {entity: string, project: string, runs: number, last_activity: string}[]}>} */
export function projects() {
  return ask("/projects");
}

/**
 * Return one page of a project's runs. `columns`: these alone, as `values` in place of config and summary.
 * @param {string} entity
 * @param {string} project
 * @param {{limit?: number, cursor?: string, filter?: string, columns?: string[]}} [page]
 * @returns {Promise<{runs: Run[], next: string | null, total: number, columns: {shown: string[], total: number}}>}
 */
export function runs(entity, project, page = {}) {
  return ask(`/projects/${path(entity, project)}/runs${query({ order: "-created_at", ...page })}`);
}

/**
 * Find columns of config and summary among all runs of a project.
 * @param {string} entity
 * @param {string} project
 * @param {{search: string, limit: number}} asked `search`: words, all of which a column's name has
 * @param {AbortSignal} [signal]
 * @returns {Promise<{columns: {source: string, key: string}[], total: number}>}
 */
export function runColumns(entity, project, asked, signal) {
  return ask(`/projects/${path(entity, project)}/runs/columns${query(asked)}`, { signal });
}

/** @param {string} entity @param {string} project @param {string} run @returns {Promise<Run>} */
export function run(entity, project, run) {
  return ask(`/runs/${path(entity, project, run)}`);
}

/**
 * Return what one run has logged, its other streams included.
 * @param {Run} of
 * @returns {Promise<{key: string, kind: string, last_step: number, stream: string}[]>}
 */
export async function runMetrics(of) {
  return (await ask(`/runs/${path(of.entity, of.project, of.run_id)}/metrics`)).metrics;
}

/**
 * Return what some runs have logged together, sorted by key.
 * @param {string} entity
 * @param {string} project
 * @param {string[]} ids
 * @returns {Promise<Metric[]>}
 */
export async function metrics(entity, project, ids) {
  const answer = await ask(`/projects/${path(entity, project)}/metrics`, { body: { run_ids: ids } });
  const of = answer.metrics;
  return of.key.map((/** @type {string} */ key, /** @type {number} */ at) => ({
    key,
    kind: of.kind[at],
    first: of.first_step[at],
    last: of.last_step[at],
    runs: of.runs[at],
    stream: of.stream[at],
  }));
}

/**
 * @typedef {object} RunSeries
 * @property {string} run
 * @property {Points[]} series
 * @property {number} offset to which the answer is complete
 */

/**
 * @param {import("../series/request_planner.js").SeriesRequest} asked
 * @param {AbortSignal} [signal]
 * @returns {Promise<RunSeries[]>}
 */
export async function series(asked, signal) {
  const answer = await ask("/series", { body: asked, signal });
  return answer.runs.map((/** @type {any} */ one) => ({
    run: one.run,
    offset: one.complete_to.offset,
    series: one.series.map(toPoints),
  }));
}

/** @param {any} one @returns {Points} */
function toPoints(one) {
  return {
    key: one.key,
    kind: one.kind,
    axis: one.x_axis,
    sampled: one.sampled,
    width: one.bucket_width,
    x: floats(one.x),
    step: one.step,
    value: floats(one.value),
    min: floats(one.min),
    max: floats(one.max),
    mean: floats(one.mean),
    counts: one.counts,
    nans: one.nans,
    ...(one.smoothed ? { smoothed: floats(one.smoothed) } : {}),
  };
}

/**
 * Return series summed up by group: the mean as `value` and `mean`, and one standard deviation to each side of it as
 * `min` and `max` (NaN where there is but one run); `counts` are the runs.
 * @param {import("../series/request_planner.js").SeriesRequest} asked
 * @param {AbortSignal} [signal]
 * @returns {Promise<{points: Map<string, Points[]>, offsets: Map<string, number>}>} by group, and by run
 */
export async function groups(asked, signal) {
  const answer = await ask("/groups", { body: asked, signal });
  /** @type {Map<string, Points[]>} */
  const points = new Map(answer.groups.map((/** @type {any} */ group) => [group.value, []]));
  for (const series of answer.series) for (const group of series.groups) points.get(group.value)?.push(toGroupPoints(series, group));
  const reached = Object.entries(answer.complete_to).map(([run, to]) => /** @type {[string, number]} */ ([run, /** @type {any} */ (to).offset]));
  return { points, offsets: new Map(reached) };
}

/** @param {any} series @param {any} group @returns {Points} */
function toGroupPoints(series, group) {
  const mean = floats(group.mean);
  const std = floats(group.std);
  return {
    key: series.key,
    kind: series.kind,
    axis: series.x_axis,
    sampled: true,
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
 * JSON has no NaN and no infinities: the service writes their names.
 * @param {(number | string)[]} values
 * @returns {number[]}
 */
export function floats(values) {
  const plain = values.every((value) => typeof value === "number");
  return plain ? /** @type {number[]} */ (values) : values.map(Number);
}

/**
 * Return a run's rows that have a key, sampled evenly.
 * @param {Run} of
 * @param {{key?: string, samples?: number, min_step?: number, max_step?: number, stream?: string}} asked
 * @param {AbortSignal} [signal]
 * @returns {Promise<{rows: Record<string, any>[], sampled: boolean, complete_to: {offset: number}}>}
 */
export function history(of, asked, signal) {
  return ask(`/runs/${path(of.entity, of.project, of.run_id)}/history${query(asked)}`, { signal });
}

/**
 * @param {string} sql
 * @param {Record<string, unknown>} parameters
 * @returns {Promise<{columns: {name: string, type: string}[], rows: any[][]}>}
 */
export function sql(sql, parameters) {
  return ask("/sql", { body: { sql, parameters } });
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
  return ask(`/media/${encodeURIComponent(sha256)}`);
}

/**
 * @typedef {object} TablePage
 * @property {{name: string, type: string}[]} columns
 * @property {any[][]} rows
 * @property {number} found
 * @property {number} total
 */

/**
 * @param {string} sha256
 * @param {{offset: number, limit: number, sort?: string, descending?: boolean, search?: string}} asked
 * @param {AbortSignal} [signal]
 * @returns {Promise<TablePage>}
 */
export function tableRows(sha256, asked, signal) {
  return ask(`/media/${encodeURIComponent(sha256)}/rows${query(asked)}`, { signal });
}

/** @param {string} entity @param {string} project */
export function eventsUrl(entity, project) {
  return `${ROOT}/projects/${path(entity, project)}/events`;
}
