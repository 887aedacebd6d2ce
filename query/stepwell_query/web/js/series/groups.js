/**
 * Curves of several runs as one: mean ± standard deviation, over what the service sums nothing up by: another axis than
 * the step. Pure.
 *
 * At each x that any of the runs has, the runs whose own range holds it count: with their value there, or with the one
 * on the straight line between their two nearest points. A run that ended counts no further, so that it bends nothing
 * behind its end; NaN does not count.
 */

/** @typedef {{x: number[], y: number[]}} Curve */

/**
 * @typedef {object} Grouped
 * @property {number[]} x
 * @property {number[]} mean
 * @property {number[]} low mean less one standard deviation (of a sample); NaN where there is but one run
 * @property {number[]} high
 * @property {number[]} counts runs at each x
 */

/**
 * @param {Curve[]} curves x ascends in each
 * @returns {Grouped}
 */
export function grouped(curves) {
  const x = union(curves.map((curve) => curve.x));
  const sums = new Float64Array(x.length);
  const squares = new Float64Array(x.length);
  const counts = new Array(x.length).fill(0);
  const firsts = new Float64Array(x.length);
  for (const curve of curves) {
    let next = 0;
    for (let at = 0; at < x.length; at += 1) {
      while (next < curve.x.length && curve.x[next] < x[at]) next += 1;
      const value = between(curve, next, x[at]);
      if (!Number.isFinite(value)) continue;
      // Sums of differences from the first value keep the digits that large values would take.
      if (counts[at] === 0) firsts[at] = value;
      const off = value - firsts[at];
      sums[at] += off;
      squares[at] += off * off;
      counts[at] += 1;
    }
  }
  const mean = x.map((_, at) => (counts[at] ? firsts[at] + sums[at] / counts[at] : NaN));
  const spread = x.map((_, at) => (counts[at] > 1 ? Math.sqrt(Math.max(0, squares[at] - sums[at] ** 2 / counts[at]) / (counts[at] - 1)) : NaN));
  return {
    x,
    mean,
    low: mean.map((value, at) => value - spread[at]),
    high: mean.map((value, at) => value + spread[at]),
    counts,
  };
}

/**
 * @param {Curve} curve
 * @param {number} next the first point at or behind `x`
 * @param {number} x
 */
function between(curve, next, x) {
  if (next >= curve.x.length) return NaN;
  if (curve.x[next] === x) return curve.y[next];
  if (next === 0) return NaN;
  const share = (x - curve.x[next - 1]) / (curve.x[next] - curve.x[next - 1]);
  return curve.y[next - 1] + share * (curve.y[next] - curve.y[next - 1]);
}

/**
 * Return all numbers of some ascending lists, each once, ascending.
 * @param {number[][]} lists
 * @returns {number[]}
 */
export function union(lists) {
  const there = lists.filter((list) => list.length);
  if (!there.length) return [];
  if (there.every((list) => list === there[0] || same(list, there[0]))) return there[0];
  const all = Float64Array.from(there.flat()).sort();
  return Array.from(all.filter((value, at) => at === 0 || value !== all[at - 1]));
}

/** @param {number[]} a @param {number[]} b */
function same(a, b) {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}
