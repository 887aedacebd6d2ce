/** Combines the queries of panels into few requests, each within the limits of the service. */

/**
 * @typedef {object} Part One run, one group of runs, or one metric of a rank, that a panel shows.
 * @property {string} id identifies the part in its query: a run's path, or the id of a group's series
 * @property {string[]} runs paths
 * @property {string} [group] the group's name: the service then aggregates its runs
 * @property {Ranks} [ranks] the series of all writers of the run
 * @property {{key: string, folded: string}} [metric] instead of the query's metric
 * @property {number} [from] first step
 * @property {number} [to] last step
 */

/** @typedef {{mode: "band" | "lines", writers: number}} Ranks `writers`: how many have the metric */

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
 * @property {Ranks} [ranks] `band`: one series for all writers of the only run; `lines`: one for each
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
 * Series and values of one request at most, far below the service's limits: parsing the response is one task. That of
 * 360 series of 800 points took 270 ms, in which the page answered to nothing; 50,000 points take about 40 ms.
 */
const SERIES_MAX = 500;
const VALUES_MAX = 50_000;

/** Keys of a request whose parameters are in its address are at most as many as those of this number of writers. */
const BAND_WRITERS_MIN = 20;

/** Points of all lines of ranks in one panel: as many as the lines of 100 runs. */
const RANK_POINTS = 100_000;

/** Parts of a series that a smoothing weight refers to: a chart of the whole range has as many points. */
export const SMOOTHING_PARTS = 1_000;

/**
 * Return the cache key of a part's points.
 * @param {SeriesQuery} query
 * @param {Part} part
 */
export function cacheKey(query, part) {
  const runs = part.group === undefined ? [part.runs[0], part.ranks?.mode ?? ""].join(" ") : [groupSeriesId(part.group), ...part.runs].join();
  // Aggregates are over steps, and the service does not smooth them.
  const aggregated = part.group !== undefined || part.ranks?.mode === "band";
  const drawing = aggregated ? ["", query.points, ""] : [query.x, query.points, query.smoothing ?? ""];
  return [runs, (part.metric ?? query).folded, ...drawing, part.from ?? "", part.to ?? ""].join("\n");
}

/**
 * Return the number of points of each line, so that many lines of ranks have no more points than a chart can show.
 * @param {number} points
 * @param {number} lines
 */
export function pointsPerLine(points, lines) {
  return Math.max(2, Math.min(points, Math.floor(RANK_POINTS / Math.max(1, lines))));
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
      return { request: part, subscriptions: new Set([...subscriptions].filter(({ query }) => shows(query, metrics))) };
    }),
  );
}

/** @param {SeriesQuery} query @param {Set<string>} metrics folded keys */
function shows(query, metrics) {
  return query.parts.some(({ metric }) => metrics.has((metric ?? query).folded));
}

/** @param {SeriesQuery} query @param {Part[]} parts @returns {SeriesRequest[]} */
function requestsByRange(query, parts) {
  const { points, smoothing } = query;
  /** @type {Map<string, SeriesRequest>} */
  const requests = new Map();
  for (const { runs, group, ranks, metric, from, to } of parts) {
    const { key, folded } = metric ?? query;
    const range = JSON.stringify([group === undefined, ranks, folded, from, to]);
    let request = requests.get(range);
    if (!request) {
      request = { metrics: [{ key, folded }], points, from, to };
      if (group !== undefined) request = { groups: {}, ...request, filled: true };
      else if (ranks?.mode === "band") request = { runs: [], ranks, ...request };
      else request = { runs: [], ...(ranks ? { ranks } : {}), ...request, x: query.x || undefined, ...(smoothing ? { smoothing, smoothing_parts: SMOOTHING_PARTS } : {}) };
      requests.set(range, request);
    }
    if (request.groups && group !== undefined) request.groups[group] = runs;
    else request.runs?.push(runs[0]);
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
    const length = Math.max(1, Math.floor(series / Math.max(1, runs * writersOf(part))));
    return chunks(part.metrics, length).map((metrics) => ({ ...part, metrics }));
  });
}

/** @param {SeriesRequest} request */
function writersOf({ ranks }) {
  if (!ranks) return 1;
  return ranks.mode === "band" ? Math.max(BAND_WRITERS_MIN, ranks.writers) : ranks.writers;
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
