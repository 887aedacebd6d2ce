/** Lines as columns over a common x, the format of uPlot. */

import { union } from "../series/groups.js";

/** @typedef {import("../types.js").Line} Line */
/** @typedef {(number | null | undefined)[]} Column undefined: the line has no point at this x; null: a gap */

/**
 * Align lines: return x, and for each line its raw values, if it is smoothed, and its drawn values.
 * @param {Line[]} lines
 * @param {(line: Line) => boolean} isPositive whether values that a logarithmic axis cannot show are left out
 * @returns {{x: number[], columns: Column[]}}
 */
export function alignLines(lines, isPositive) {
  const x = union(lines.map((line) => line.x));
  const columns = lines.flatMap((line) => {
    const drawn = spread(line, line.y, x, isPositive(line));
    return line.raw ? [spread(line, line.raw, x, isPositive(line)), drawn] : [drawn];
  });
  return { x, columns };
}

/** Return the name of the scale of a line's values. @param {Line} line */
export function scaleOf(line) {
  return line.right ? "right" : "y";
}

/** @param {Line} line @param {number[]} values @param {number[]} x @param {boolean} positive @returns {Column} */
function spread(line, values, x, positive) {
  /** @param {number} value */
  const cell = (value) => (Number.isFinite(value) && !(positive && value <= 0) ? value : null);
  if (line.x === x) return values.map(cell);
  /** @type {Column} */
  const column = new Array(x.length).fill(undefined);
  let at = 0;
  for (let own = 0; own < line.x.length; own += 1) {
    while (x[at] < line.x[own]) at += 1;
    // The last of several points at one x is drawn; there are several after sorting by a metric.
    column[at] = cell(values[own]);
  }
  return column;
}

/**
 * Return the index of the point nearest to `at`; -1 without points.
 * @param {number[]} x ascending
 * @param {number} at
 */
export function nearest(x, at) {
  if (!x.length) return -1;
  let low = 0;
  let high = x.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - x[low - 1] <= x[low] - at ? low - 1 : low;
}
