/**
 * The mean ± standard deviation of several runs' curves, for x axes over which the service does not aggregate: all
 * except the step.
 *
 * The result has each x of any run. A run contributes at an x within its own range, with its value there or with linear
 * interpolation between its two nearest points. Beyond its end a run contributes nothing, so that it does not distort
 * the mean. NaN does not count.
 */

/** @typedef {{x: number[], y: number[]}} Curve */

/**
 * @typedef {object} GroupCurve
 * @property {number[]} x
 * @property {number[]} mean
 * @property {number[]} low mean minus one (sample) standard deviation; NaN if there is only one run
 * @property {number[]} high
 * @property {number[]} min
 * @property {number[]} max
 * @property {Int32Array} lowest index of the curve with the least value at each x; -1: none
 * @property {Int32Array} highest
 * @property {number[]} counts number of runs at each x
 */

/**
 * Aggregate curves.
 * @param {Curve[]} curves x ascends in each
 * @returns {GroupCurve}
 */
export function aggregateCurves(curves) {
  const x = union(curves.map((curve) => curve.x));
  const sums = new Float64Array(x.length);
  const squares = new Float64Array(x.length);
  const counts = new Array(x.length).fill(0);
  const firsts = new Float64Array(x.length);
  const min = new Array(x.length).fill(NaN);
  const max = new Array(x.length).fill(NaN);
  const lowest = new Int32Array(x.length).fill(-1);
  const highest = new Int32Array(x.length).fill(-1);
  curves.forEach((curve, number) => {
    let next = 0;
    for (let at = 0; at < x.length; at += 1) {
      while (next < curve.x.length && curve.x[next] < x[at]) next += 1;
      const value = interpolate(curve, next, x[at]);
      if (!Number.isFinite(value)) continue;
      // Sums of differences from the first value lose no digits where values are large.
      if (counts[at] === 0) firsts[at] = value;
      const difference = value - firsts[at];
      sums[at] += difference;
      squares[at] += difference * difference;
      counts[at] += 1;
      if (!(min[at] <= value)) [min[at], lowest[at]] = [value, number];
      if (!(max[at] >= value)) [max[at], highest[at]] = [value, number];
    }
  });
  const mean = x.map((_, at) => (counts[at] ? firsts[at] + sums[at] / counts[at] : NaN));
  const spread = x.map((_, at) => (counts[at] > 1 ? Math.sqrt(Math.max(0, squares[at] - sums[at] ** 2 / counts[at]) / (counts[at] - 1)) : NaN));
  return {
    x,
    mean,
    low: mean.map((value, at) => value - spread[at]),
    high: mean.map((value, at) => value + spread[at]),
    min,
    max,
    lowest,
    highest,
    counts,
  };
}

/**
 * @param {Curve} curve
 * @param {number} next index of the first point at or after `x`
 * @param {number} x
 */
function interpolate(curve, next, x) {
  if (next >= curve.x.length) return NaN;
  if (curve.x[next] === x) return curve.y[next];
  if (next === 0) return NaN;
  const share = (x - curve.x[next - 1]) / (curve.x[next] - curve.x[next - 1]);
  return curve.y[next - 1] + share * (curve.y[next] - curve.y[next - 1]);
}

/**
 * Merge ascending lists; each number occurs once.
 * @param {number[][]} lists
 * @returns {number[]}
 */
export function union(lists) {
  const filled = lists.filter((list) => list.length);
  if (!filled.length) return [];
  if (filled.every((list) => list === filled[0] || equal(list, filled[0]))) return filled[0];
  const all = Float64Array.from(filled.flat()).sort();
  return Array.from(all.filter((value, at) => at === 0 || value !== all[at - 1]));
}

/** @param {number[]} a @param {number[]} b */
function equal(a, b) {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}
