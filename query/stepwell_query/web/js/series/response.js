/** Requests series, and assigns the points of the response to the parts of the request. */

import { ApiError, groups, series } from "../api/service.js";
import { bands } from "../api/writer_series.js";
import { cacheKey, groupSeriesId } from "./request_planner.js";

/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("./request_planner.js").SeriesRequest} SeriesRequest */

/**
 * @typedef {object} PartResponse
 * @property {string} cacheKey
 * @property {Points[]} points
 * @property {Map<string, number>} offsets -1 of a deleted run
 * @property {string} [lacking] the run, if it has not logged the x axis
 */

/**
 * Send a request; return the points of each of its parts.
 * @param {SeriesRequest} request
 * @param {AbortSignal} signal
 * @returns {Promise<PartResponse[]>}
 */
export async function readResponse(request, signal) {
  return request.groups ? readGroups(request, request.groups, signal) : readRuns(request, request.runs ?? [], signal);
}

/** @param {SeriesRequest} request @param {string[]} runs @param {AbortSignal} signal @returns {Promise<PartResponse[]>} */
async function readRuns(request, runs, signal) {
  /** @type {Map<string, import("../api/service.js").RunSeries>} */
  let byRun;
  let refused = false;
  try {
    const answers = request.ranks?.mode === "band" ? [await bands(request, signal)] : await series(request, signal);
    byRun = new Map(answers.map((answer) => [answer.run, answer]));
  } catch (error) {
    // Refused if none of the runs has logged the metric of the x axis.
    refused = error instanceof ApiError && error.status === 422 && error.errors.some(({ field }) => field === "x");
    // A band of a deleted run is refused, the series of it are left out.
    const deleted = error instanceof ApiError && error.status === 404;
    if (!refused && !deleted) throw error;
    if (deleted && runs.length > 1) return (await Promise.all(runs.map((run) => readRuns({ ...request, runs: [run] }, [run], signal)))).flat();
    byRun = new Map();
  }
  return runs.flatMap((run) => {
    const answer = byRun.get(run);
    const offsets = new Map([[run, answer?.offset ?? -1]]);
    return request.metrics.map((metric) => ({
      cacheKey: partKey(request, metric, { id: run, runs: [run], ranks: request.ranks }),
      points: answer ? selectMetric(answer.series, metric) : [],
      offsets,
      ...(refused ? { lacking: run } : {}),
    }));
  });
}

/** @param {SeriesRequest} request @param {Record<string, string[]>} named @param {AbortSignal} signal @returns {Promise<PartResponse[]>} */
async function readGroups(request, named, signal) {
  const answer = await groups(request, signal);
  return Object.entries(named).flatMap(([group, runs]) => {
    const offsets = new Map(runs.map((run) => [run, answer.offsets.get(run) ?? -1]));
    const points = answer.points.get(group) ?? [];
    return request.metrics.map((metric) => ({
      cacheKey: partKey(request, metric, { id: groupSeriesId(group), runs, group }),
      points: selectMetric(points, metric),
      offsets,
    }));
  });
}

/** @param {SeriesRequest} request @param {{key: string, folded: string}} metric @param {import("./request_planner.js").Part} part */
function partKey(request, metric, part) {
  const { x = "", points, smoothing, from, to } = request;
  return cacheKey({ ...metric, x, points, smoothing, parts: [] }, { ...part, from, to });
}

/**
 * Return the points of a metric. Runs may spell its key differently: the folded key is the same.
 * @param {Points[]} points
 * @param {{folded: string}} metric
 */
function selectMetric(points, { folded }) {
  return points.filter((series) => series.folded === folded);
}
