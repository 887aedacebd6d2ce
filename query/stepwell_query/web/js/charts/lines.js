/** What a line chart draws, made of sampled series. Pure. */

import { grouped } from "../series/groups.js";
import { groupSeriesId, SMOOTHING_PARTS } from "../series/request_planner.js";
import { ema, smoothCurve } from "../series/smoothing.js";

/** @typedef {import("../types.js").Line} Line */
/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("../types.js").Smooth} Smooth */

/**
 * @typedef {object} Drawn One run, or a group of them, as it is named and coloured.
 * @property {string} id
 * @property {string} name
 * @property {string} color
 * @property {string[]} runs paths; several: a group, drawn as mean ± standard deviation
 * @property {boolean} group
 */

/**
 * Return the lines of a panel. What the service has smoothed over the whole series is drawn as it is.
 * @param {Drawn[]} drawn
 * @param {Map<string, Points[]>} found by run
 * @param {Smooth} smooth
 * @returns {Line[]}
 */
export function buildLines(drawn, found, smooth) {
  const lines = drawn.flatMap((one) =>
    one.group ? groupLine(one, found) : (found.get(one.runs[0]) ?? []).filter((points) => points.x.length).map((points) => runLine(one, points)),
  );
  if (smooth.kind === "none") return lines;
  return lines.map((line) => ({ ...line, raw: line.y, y: smooth.kind === "ema" ? averaged(line, smooth.amount) : smoothCurve(line.y, smooth) }));
}

/** @param {Line} line @param {number} weight */
function averaged(line, weight) {
  return line.smooth ?? ema(line.y, weight, line.band === "min–max" ? smoothingParts(line) : undefined);
}

/**
 * Return how many parts of its series each point stands for, as the service counts them for its moving average: a
 * thousandth of the rows, or a row where there are fewer. So a curve is as smooth in whatever buckets it comes.
 * @param {{counts: number[], nans: number[]}} points of the whole series
 */
export function smoothingParts({ counts, nans }) {
  const rows = counts.reduce((sum, count) => sum + count, 0);
  const share = Math.min(1, SMOOTHING_PARTS / rows);
  return counts.map((count, at) => (count - nans[at]) * share);
}

/** @param {Drawn} drawn @param {Points} given @returns {Line} */
function runLine(drawn, given) {
  const points = ascending(given);
  const kind = points.kind === "bool" ? " (bool)" : "";
  return {
    id: drawn.id + kind,
    name: drawn.name + kind,
    color: drawn.color,
    x: points.x,
    y: points.sampled ? points.mean : points.value,
    raw: null,
    smooth: points.smoothed,
    low: points.sampled ? points.min : null,
    high: points.sampled ? points.max : null,
    step: points.step,
    counts: points.counts,
    nans: points.nans,
    last: points.value,
    sampled: points.sampled,
    dash: points.kind === "bool",
    band: "min–max",
  };
}

/** @param {Drawn} drawn @param {Map<string, Points[]>} found @returns {Line[]} */
function groupLine(drawn, found) {
  const summed = found.get(groupSeriesId(drawn.id));
  if (summed) return summed.filter((points) => points.kind !== "bool" && points.x.length).map((points) => buildGroupLine(drawn, points, Math.max(...points.counts)));
  const curves = drawn.runs
    .flatMap((run) => found.get(run) ?? [])
    .filter((points) => points.kind !== "bool" && points.x.length)
    .map((points) => ascending(points))
    .map((points) => ({ x: points.x, y: points.sampled ? points.mean : points.value }));
  if (!curves.length) return [];
  const { x, mean, low, high, counts } = grouped(curves);
  return [buildGroupLine(drawn, { x, step: x, mean, min: low, max: high, counts, nans: new Array(x.length).fill(0) }, curves.length)];
}

/**
 * @param {Drawn} drawn
 * @param {Pick<Points, "x" | "step" | "mean" | "min" | "max" | "counts" | "nans">} points
 * @param {number} runs that have the metric
 * @returns {Line}
 */
function buildGroupLine(drawn, { x, step, mean, min, max, counts, nans }, runs) {
  return {
    id: drawn.id,
    name: `${drawn.name} (${runs})`,
    color: drawn.color,
    x,
    y: mean,
    raw: null,
    low: min,
    high: max,
    step,
    counts,
    nans,
    last: mean,
    sampled: true,
    dash: false,
    band: "± std",
  };
}

/**
 * A metric on the x axis may go back, as an epoch does that is logged again: points are drawn from left to right.
 * @param {Points} points
 * @returns {Points}
 */
export function ascending(points) {
  const { x } = points;
  let sorted = true;
  for (let at = 1; at < x.length && sorted; at += 1) sorted = x[at] >= x[at - 1];
  if (sorted && !x.some(Number.isNaN)) return points;
  const order = x.map((_, at) => at).filter((at) => !Number.isNaN(x[at]));
  order.sort((a, b) => x[a] - x[b] || a - b);
  /** @param {number[]} values */
  const picked = (values) => order.map((at) => values[at]);
  return {
    ...points,
    x: picked(x),
    step: picked(points.step),
    value: picked(points.value),
    min: picked(points.min),
    max: picked(points.max),
    mean: picked(points.mean),
    counts: picked(points.counts),
    nans: picked(points.nans),
    ...(points.smoothed ? { smoothed: picked(points.smoothed) } : {}),
  };
}

/**
 * Return which steps a range of the x axis holds, one point more on each side; null when none.
 * @param {Points[]} points of one run over its whole length
 * @param {[number, number]} zoom
 * @returns {[number, number] | null}
 */
export function stepsWithin(points, [low, high]) {
  let from = Infinity;
  let to = -Infinity;
  for (const one of points) {
    one.x.forEach((x, at) => {
      if (x < low || x > high) return;
      from = Math.min(from, at ? one.step[at - 1] : one.step[at]);
      to = Math.max(to, one.step[at + 1] ?? one.step[at]);
    });
    // A range between two points lies in the later one's bucket.
    if (from > to) {
      const after = one.x.findIndex((x) => x > high);
      if (after > 0) [from, to] = [one.step[after - 1], one.step[after]];
    }
  }
  return from <= to ? [from, to] : null;
}

/**
 * Return the extent of y of what lies within a range of x.
 * @param {Line[]} lines
 * @param {number} low
 * @param {number} high
 * @param {{positive: boolean, outliers: boolean}} options `positive`: only what a logarithm has; `outliers`: leave out
 *   the highest and the lowest hundredth of the curve, and the envelope
 * @returns {[number, number] | null}
 */
export function extent(lines, low, high, { positive, outliers }) {
  let least = Infinity;
  let most = -Infinity;
  /** @type {number[]} */
  const drawn = [];
  /** @param {number} value */
  const take = (value) => {
    // NaN and the infinities fail both comparisons.
    if (!(value > (positive ? 0 : -Infinity) && value < Infinity)) return;
    if (outliers) drawn.push(value);
    if (value < least) least = value;
    if (value > most) most = value;
  };
  for (const line of lines) {
    for (let at = 0; at < line.x.length; at += 1) {
      if (line.x[at] < low || line.x[at] > high) continue;
      take(line.y[at]);
      if (outliers) continue;
      if (line.raw) take(line.raw[at]);
      if (line.low && line.high) {
        take(line.low[at]);
        take(line.high[at]);
      }
    }
  }
  if (outliers && drawn.length > 20) {
    drawn.sort((a, b) => a - b);
    const cut = Math.ceil(drawn.length / 100);
    return [drawn[cut], drawn[drawn.length - 1 - cut]];
  }
  return least <= most ? [least, most] : null;
}
