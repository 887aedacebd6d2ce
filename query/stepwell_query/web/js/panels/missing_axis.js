/** The note on runs that have a metric but not the x axis that was chosen for it. */

import { count } from "../ui/format.js";

/** @typedef {import("../types.js").Points} Points */

/** Axes that every run has. */
const ALWAYS = new Set(["", "_step", "_runtime", "_timestamp"]);
const NAMES_MAX = 20;

/**
 * Return the names of runs whose values have no position on an axis.
 * @param {{name: string, path: string}[]} runs
 * @param {Map<string, Points[]>} series by path
 * @param {string} x
 * @param {(path: string) => boolean} lacks whether the service has reported that a run has not logged the axis
 * @returns {string[]}
 */
export function runsWithoutAxis(runs, series, x, lacks) {
  if (ALWAYS.has(x)) return [];
  const isMissing = (/** @type {string} */ path) => lacks(path) || (series.get(path)?.length && series.get(path)?.every((points) => !points.x.length));
  return runs.filter(({ path }) => series.has(path) && isMissing(path)).map(({ name }) => name);
}

/**
 * Format the note and its list: `3 runs have no epoch`.
 * @param {string[]} names
 * @param {string} x
 * @returns {{note: string, list: string}}
 */
export function formatMissing(names, x) {
  if (!names.length) return { note: "", list: "" };
  const rest = names.length - NAMES_MAX;
  return {
    note: names.length === 1 ? `1 run has no ${x}` : `${count(names.length)} runs have no ${x}`,
    list: [...names.slice(0, NAMES_MAX), ...(rest > 0 ? [`and ${count(rest)} more`] : [])].join("\n"),
  };
}
