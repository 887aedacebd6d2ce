/** The note on rows that a project keeps no longer: the curve is there, in buckets. */

import { count } from "../ui/format.js";

/** Steps of the finest buckets. */
const BUCKET = 128;

/**
 * Format the note of a chart, and its explanation.
 * @param {{rawFrom?: number}[]} lines
 * @returns {{text: string, title: string, rawFrom: number}} empty and 0 if all rows are there
 */
export function formatRemoved(lines) {
  const rawFrom = lines.reduce((most, line) => Math.max(most, line.rawFrom ?? 0), 0);
  if (!rawFrom) return { text: "", title: "", rawFrom };
  return {
    text: `rows from step ${count(rawFrom)}`,
    title: `Rows before step ${count(rawFrom)} are removed: the project keeps them no longer. The curve has a point for ${BUCKET} steps or more there, also in a zoom.`,
    rawFrom,
  };
}
