/** What the service answers to a question for series, as points of each part of it. */

import { ApiError, groups, series } from "../api/service.js";
import { groupSeriesId, cacheKey } from "./request_planner.js";

/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("./request_planner.js").SeriesRequest} SeriesRequest */
/** @typedef {{place: string, points: Points[], offsets: Map<string, number>}} Answer `offsets`: -1 of a run that is gone */

/**
 * @param {SeriesRequest} asked
 * @param {AbortSignal} signal
 * @returns {Promise<Answer[]>}
 */
export async function readResponse(asked, signal) {
  return asked.groups ? ofGroups(asked, asked.groups, signal) : ofRuns(asked, asked.runs ?? [], signal);
}

/** @param {SeriesRequest} asked @param {string[]} runs @param {AbortSignal} signal @returns {Promise<Answer[]>} */
async function ofRuns(asked, runs, signal) {
  /** @type {Map<string, import("../api/service.js").RunSeries>} */
  let found;
  try {
    found = new Map((await series(asked, signal)).map((one) => [one.run, one]));
  } catch (error) {
    const refused = error instanceof ApiError && error.status === 422 && error.errors.some((one) => one.field === "x");
    if (!refused) throw error;
    // A run that has not logged the metric of the x axis has no points on it; the others have.
    if (runs.length > 1) return (await Promise.all(runs.map((run) => ofRuns({ ...asked, runs: [run] }, [run], signal)))).flat();
    found = new Map();
  }
  return runs.flatMap((run) => {
    const one = found.get(run);
    const offsets = new Map([[run, one?.offset ?? -1]]);
    return asked.keys.map((key) => ({ place: place(asked, key, { of: run, runs: [run] }), points: one ? ofKey(one.series, key) : [], offsets }));
  });
}

/** @param {SeriesRequest} asked @param {Record<string, string[]>} named @param {AbortSignal} signal @returns {Promise<Answer[]>} */
async function ofGroups(asked, named, signal) {
  const answer = await groups(asked, signal);
  return Object.entries(named).flatMap(([group, runs]) => {
    const offsets = new Map(runs.map((run) => [run, answer.offsets.get(run) ?? -1]));
    const points = answer.points.get(group) ?? [];
    return asked.keys.map((key) => ({ place: place(asked, key, { of: groupSeriesId(group), runs, group }), points: ofKey(points, key), offsets }));
  });
}

/** @param {SeriesRequest} asked @param {string} key @param {import("./request_planner.js").Part} part */
function place(asked, key, part) {
  const { x = "", points, smoothing, from, to } = asked;
  return cacheKey({ key, x, points, smoothing, parts: [] }, { ...part, from, to });
}

/** @param {Points[]} points @param {string} key */
function ofKey(points, key) {
  const folded = key.toLowerCase();
  return points.filter((one) => one.key.toLowerCase() === folded);
}
