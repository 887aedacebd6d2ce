/** Series of a run by writer: a band across all of them, or one metric as each logged it. */

import { floats, path, query, request, toGroupPoints, toPoints } from "./service.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("../series/request_planner.js").SeriesRequest} SeriesRequest */
/** @typedef {import("./service.js").RunSeries} RunSeries */

/**
 * Return series of a run across its writers: `value` and `mean` are the mean over the writers, `min` and `max` the
 * extremes, `owners` the writers of these, and `counts` are numbers of writers.
 * @param {SeriesRequest} seriesRequest of one run
 * @param {AbortSignal} [signal]
 * @returns {Promise<RunSeries>}
 */
export async function bands({ runs = [], metrics, points, from, to }, signal) {
  const parameters = query({ key: metrics.map(({ key }) => key), across: "writers", points, from, to });
  const response = await request(`/runs/${path(...runs[0].split("/"))}/series${parameters}`, { signal });
  return { run: response.run, offset: response.complete_to.offset, series: response.series.map(toBandPoints) };
}

/** @param {any} series @returns {Points} */
function toBandPoints(series) {
  const names = (/** @type {number[]} */ indexes) => indexes.map((index) => series.writers[index] ?? "");
  return {
    ...toGroupPoints(series, series),
    min: floats(series.min),
    max: floats(series.max),
    owners: { low: names(series.min_writer), high: names(series.max_writer) },
  };
}

/**
 * @typedef {Points & {last: number, total: number}} WriterSeries `last`: the last step; `total`: number of rows
 */

/**
 * Return a metric of a run as each writer logged it, in few points over the time.
 * @param {Run} run
 * @param {string} key
 * @param {number} points
 * @returns {Promise<WriterSeries[]>}
 */
export async function writerSeries(run, key, points) {
  const parameters = query({ key, writer: "*", points, x: "_timestamp" });
  const response = await request(`/runs/${path(run.entity, run.project, run.run_id)}/series${parameters}`);
  return response.series.map((/** @type {any} */ one) => ({ ...toPoints(one), last: one.last_step, total: one.count }));
}
