/** Combines the queries of panels into few requests, each within the limits of the service. */

/**
 * @typedef {object} Part One run, or one group of runs, that a panel shows.
 * @property {string} id a run's path, or the id of a group's series
 * @property {string[]} runs paths
 * @property {string} [group] the group's name: the service then aggregates its runs
 * @property {number} [from] first step
 * @property {number} [to] last step
 */

/**
 * @typedef {object} SeriesQuery The series that one panel shows.
 * @property {string} key
 * @property {string} folded the folded key
 * @property {string} x "" for the metric's own axis
 * @property {number} points
 * @property {number} [smoothing] weight of the moving average, per thousandth of the series
 * @property {Part[]} parts
 */

/**
 * @typedef {object} SeriesRequest One request, for `runs` or for `groups` of them by name.
 * @property {string[]} [runs]
 * @property {Record<string, string[]>} [groups]
 * @property {{key: string, folded: string}[]} metrics
 * @property {number} points
 * @property {number} [from]
 * @property {number} [to]
 * @property {string} [x] undefined: each metric's own axis
 * @property {number} [smoothing]
 * @property {number} [smoothing_parts]
 * @property {boolean} [filled]
 */

/**
 * Series and values of one request at most. Half of the service's default limits: a response of half a million points
 * is 40 MB of JSON, and a request is cancelled as a whole.
 */
const SERIES_MAX = 500;
const VALUES_MAX = 1_000_000;

/** Parts of a series that a smoothing weight refers to: a chart of the whole range has as many points. */
export const SMOOTHING_PARTS = 1_000;

/**
 * Return the cache key of a part's points.
 * @param {SeriesQuery} query
 * @param {Part} part
 */
export function cacheKey(query, part) {
  const runs = part.group === undefined ? part.id : [part.id, ...part.runs].join();
  return [runs, query.folded, query.x, query.points, query.smoothing ?? "", part.from ?? "", part.to ?? ""].join("\n");
}

/**
 * Return the id of a group's series. It contains a blank, which no run's path does.
 * @param {string} name
 */
export function groupSeriesId(name) {
  return `group ${name}`;
}

/**
 * Plan the requests for the missing parts of queries. Queries of the same runs over the same steps share a request.
 * @template {{query: SeriesQuery}} S
 * @param {{subscription: S, parts: Part[]}[]} missing
 * @param {{series: number, values: number}} limits of the service
 * @returns {{request: SeriesRequest, subscriptions: Set<S>}[]} each request with the subscriptions that it serves
 */
export function planRequests(missing, limits) {
  /** @type {Map<string, {request: SeriesRequest, subscriptions: Set<S>}>} */
  const combined = new Map();
  for (const { subscription, parts } of missing) {
    for (const request of requestsByRange(subscription.query, parts)) {
      const shared = JSON.stringify({ ...request, metrics: [] });
      const plan = combined.get(shared) ?? { request: { ...request, metrics: [] }, subscriptions: new Set() };
      const known = new Set(plan.request.metrics.map((metric) => metric.folded));
      plan.request.metrics.push(...request.metrics.filter((metric) => !known.has(metric.folded)));
      plan.subscriptions.add(subscription);
      combined.set(shared, plan);
    }
  }
  return [...combined.values()].flatMap(({ request, subscriptions }) =>
    splitRequest(request, limits).map((part) => {
      const metrics = new Set(part.metrics.map((metric) => metric.folded));
      return { request: part, subscriptions: new Set([...subscriptions].filter(({ query }) => metrics.has(query.folded))) };
    }),
  );
}

/** @param {SeriesQuery} query @param {Part[]} parts @returns {SeriesRequest[]} */
function requestsByRange(query, parts) {
  const { key, folded, points, smoothing } = query;
  /** @type {Map<string, SeriesRequest>} */
  const requests = new Map();
  for (const { id, runs, group, from, to } of parts) {
    const range = `${group === undefined} ${from ?? ""} ${to ?? ""}`;
    let request = requests.get(range);
    if (!request) {
      request = { metrics: [{ key, folded }], points, from, to };
      if (group !== undefined) request = { groups: {}, ...request, filled: true };
      else request = { runs: [], ...request, x: query.x || undefined, ...(smoothing ? { smoothing, smoothing_parts: SMOOTHING_PARTS } : {}) };
      requests.set(range, request);
    }
    if (request.groups && group !== undefined) request.groups[group] = runs;
    else request.runs?.push(id);
  }
  return [...requests.values()];
}

/**
 * Split a request into requests within the limits.
 * @param {SeriesRequest} request
 * @param {{series: number, values: number}} limits of the service
 * @returns {SeriesRequest[]}
 */
export function splitRequest(request, limits) {
  const values = Math.min(VALUES_MAX, limits.values);
  const series = Math.max(1, Math.min(SERIES_MAX, limits.series, Math.floor(values / request.points)));
  return splitByRuns(request, series).flatMap((part) => {
    const runs = part.runs?.length ?? Object.values(part.groups ?? {}).flat().length;
    const length = Math.max(1, Math.floor(series / Math.max(1, runs)));
    return chunks(part.metrics, length).map((metrics) => ({ ...part, metrics }));
  });
}

/** @param {SeriesRequest} request @param {number} length most runs of one request @returns {SeriesRequest[]} */
function splitByRuns(request, length) {
  const { runs, groups } = request;
  if (runs) return chunks(runs, length).map((part) => ({ ...request, runs: part }));
  /** @type {Record<string, string[]>[]} */
  const parts = [{}];
  let held = 0;
  for (const [name, members] of Object.entries(groups ?? {})) {
    if (held && held + members.length > length) {
      parts.push({});
      held = 0;
    }
    parts[parts.length - 1][name] = members;
    held += members.length;
  }
  return parts.map((part) => ({ ...request, groups: part }));
}

/**
 * @template T
 * @param {T[]} items
 * @param {number} length
 */
function chunks(items, length) {
  return Array.from({ length: Math.ceil(items.length / length) }, (_, at) => items.slice(at * length, (at + 1) * length));
}
