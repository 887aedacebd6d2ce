/** Builds the lines of a chart from sampled series. */

import { aggregateCurves } from "../series/groups.js";
import { groupSeriesId, SMOOTHING_PARTS } from "../series/request_planner.js";
import { ema, smoothCurve } from "../series/smoothing.js";
import { rankColor } from "../ui/palette.js";

/** @typedef {import("../types.js").Line} Line */
/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("../types.js").Smooth} Smooth */

/**
 * @typedef {object} Drawn A run, or a group of runs, with its name and colour.
 * @property {string} id
 * @property {string} [owner] the name of a rank, if the line is that of a rank
 * @property {string} name
 * @property {string} color
 * @property {string[]} runs paths; several: a group, drawn as mean ± standard deviation
 * @property {boolean} group
 * @property {"band" | "lines" | "line"} [ranks] a run as a band over its ranks or as a line for each, or the line of one rank
 */

/**
 * Build the lines of a panel. Averages that the service has computed over the whole series are drawn unchanged.
 * @param {Drawn[]} drawn
 * @param {Map<string, Points[]>} series by run
 * @param {Smooth} smooth
 * @returns {Line[]}
 */
export function buildLines(drawn, series, smooth) {
  const lines = drawn.flatMap((item) => {
    if (item.group) return groupLines(item, series);
    const logged = (series.get(item.runs[0]) ?? []).filter((points) => points.x.length);
    if (item.ranks === "band") return bandLines(item, logged);
    if (item.ranks === "lines") return logged.map((points, at) => rankLine({ ...nameRank(item, points), color: rankColor(at, logged.length) }, points));
    return logged.map((points) => (item.ranks ? rankLine(item, points) : runLine(item, points)));
  });
  if (smooth.kind === "none") return lines;
  return lines.map((line) => ({ ...line, raw: line.y, y: smooth.kind === "ema" ? movingAverage(line, smooth.amount) : smoothCurve(line.y, smooth) }));
}

/** @param {Line} line @param {number} weight */
function movingAverage(line, weight) {
  return line.smooth ?? ema(line.y, weight, line.band === "min–max" ? smoothingParts(line) : undefined);
}

/**
 * Return the number of parts of its series that each point represents, as the service counts them for its moving
 * average: a part is a thousandth of the rows, or a row if there are fewer. Thus smoothing does not depend on the width
 * of buckets.
 * @param {{counts: number[], nans: number[]}} points of the whole series
 */
export function smoothingParts({ counts, nans }) {
  const rows = counts.reduce((sum, count) => sum + count, 0);
  const share = Math.min(1, SMOOTHING_PARTS / rows);
  return counts.map((count, at) => (count - nans[at]) * share);
}

/** @param {Drawn} drawn @param {Points} unordered @returns {Line} */
function runLine(drawn, unordered) {
  const points = sortByX(unordered);
  const kind = points.kind === "bool" ? " (bool)" : "";
  return {
    id: drawn.id + kind,
    owner: drawn.owner ?? drawn.id,
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
    rawFrom: points.rawFrom,
    dash: points.kind === "bool",
    band: "min–max",
  };
}

/** @param {Drawn} drawn @param {Points} points @returns {Drawn} */
function nameRank(drawn, { writer }) {
  return { ...drawn, id: `${drawn.id} ${writer ?? ""}`, owner: writer || "(unnamed)", name: writer || "(unnamed)" };
}

/**
 * Build the line of one of many ranks, without its envelope: many of them would cover the lines.
 * @param {Drawn} drawn
 * @param {Points} points
 * @returns {Line}
 */
function rankLine(drawn, points) {
  return { ...runLine(drawn, points), low: null, high: null, rank: true };
}

/**
 * Build the mean over ranks with the band of their extremes. Over an axis other than the step, the service returns the
 * series of each rank, which are aggregated here.
 * @param {Drawn} drawn
 * @param {Points[]} logged
 * @returns {Line[]}
 */
function bandLines(drawn, logged) {
  const numbers = logged.filter((points) => points.kind !== "bool");
  const bands = numbers.filter((points) => points.owners).map((points) => buildBandLine(drawn, points));
  const apart = numbers.filter((points) => !points.owners).map((points) => sortByX(points));
  if (!apart.length) return bands;
  const curves = apart.map((points) => ({ x: points.x, y: points.sampled ? points.mean : points.value }));
  const { x, mean, min, max, lowest, highest, counts } = aggregateCurves(curves);
  const names = (/** @type {Int32Array} */ indexes) => Array.from(indexes, (index) => apart[index]?.writer ?? "");
  const owners = { low: names(lowest), high: names(highest) };
  return [...bands, buildBandLine(drawn, { x, step: x, mean, min, max, counts, owners, nans: new Array(x.length).fill(0) })];
}

/** @param {Drawn} drawn @param {Pick<Points, "x" | "step" | "mean" | "min" | "max" | "counts" | "nans" | "owners" | "rawFrom">} points @returns {Line} */
function buildBandLine(drawn, points) {
  const ranks = points.counts.reduce((most, count) => Math.max(most, count), 0);
  const line = buildGroupLine(drawn, points, ranks);
  return { ...line, name: `${drawn.name} (${ranks} ranks)`, band: "ranks", owners: points.owners, rawFrom: points.rawFrom };
}

/** @param {Drawn} drawn @param {Map<string, Points[]>} series @returns {Line[]} */
function groupLines(drawn, series) {
  const aggregated = series.get(groupSeriesId(drawn.id));
  if (aggregated) {
    const numbers = aggregated.filter((points) => points.kind !== "bool" && points.x.length);
    return numbers.map((points) => ({ ...buildGroupLine(drawn, points, Math.max(...points.counts)), rawFrom: points.rawFrom }));
  }
  const curves = drawn.runs
    .flatMap((run) => series.get(run) ?? [])
    .filter((points) => points.kind !== "bool" && points.x.length)
    .map((points) => sortByX(points))
    .map((points) => ({ x: points.x, y: points.sampled ? points.mean : points.value }));
  if (!curves.length) return [];
  const { x, mean, low, high, counts } = aggregateCurves(curves);
  return [buildGroupLine(drawn, { x, step: x, mean, min: low, max: high, counts, nans: new Array(x.length).fill(0) }, curves.length)];
}

/**
 * @param {Drawn} drawn
 * @param {Pick<Points, "x" | "step" | "mean" | "min" | "max" | "counts" | "nans">} points
 * @param {number} runs number of runs that have the metric
 * @returns {Line}
 */
function buildGroupLine(drawn, { x, step, mean, min, max, counts, nans }, runs) {
  return {
    id: drawn.id,
    owner: drawn.id,
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
 * Sort points by x. A metric on the x axis may decrease, as the epoch does after a restart.
 * @param {Points} points
 * @returns {Points}
 */
export function sortByX(points) {
  const { x } = points;
  let sorted = true;
  for (let at = 1; at < x.length && sorted; at += 1) sorted = x[at] >= x[at - 1];
  if (sorted && !x.some(Number.isNaN)) return points;
  const order = x.map((_, at) => at).filter((at) => !Number.isNaN(x[at]));
  order.sort((a, b) => x[a] - x[b] || a - b);
  /** @param {number[]} values */
  const reorder = (values) => order.map((at) => values[at]);
  return {
    ...points,
    x: reorder(x),
    step: reorder(points.step),
    value: reorder(points.value),
    min: reorder(points.min),
    max: reorder(points.max),
    mean: reorder(points.mean),
    counts: reorder(points.counts),
    nans: reorder(points.nans),
    ...(points.smoothed ? { smoothed: reorder(points.smoothed) } : {}),
  };
}

/**
 * Return the range of steps that a range of the x axis contains, extended by a point on each side; null if there is none.
 * @param {Points[]} points of one run over its whole length
 * @param {[number, number]} zoom
 * @returns {[number, number] | null}
 */
export function stepsWithin(points, [low, high]) {
  let from = Infinity;
  let to = -Infinity;
  for (const { x: xs, step } of points) {
    xs.forEach((x, at) => {
      if (x < low || x > high) return;
      from = Math.min(from, at ? step[at - 1] : step[at]);
      to = Math.max(to, step[at + 1] ?? step[at]);
    });
    // A range between two points is part of the later point's bucket.
    if (from > to) {
      const after = xs.findIndex((x) => x > high);
      if (after > 0) [from, to] = [step[after - 1], step[after]];
    }
  }
  return from <= to ? [from, to] : null;
}

/**
 * Return whether any line has points within a range of x, or crosses it.
 * @param {Line[]} lines
 * @param {[number, number]} range
 */
export function haveValues(lines, [low, high]) {
  return lines.some(({ x }) => x.length > 0 && x[0] <= high && x[x.length - 1] >= low);
}

/**
 * Return the extent of y within a range of x.
 * @param {Line[]} lines
 * @param {number} low
 * @param {number} high
 * @param {{positive: boolean, outliers: boolean}} options `positive`: only positive values, for a logarithmic axis;
 *   `outliers`: exclude the highest and the lowest hundredth of the values, and the envelopes
 * @returns {[number, number] | null}
 */
export function extent(lines, low, high, { positive, outliers }) {
  let lowest = Infinity;
  let highest = -Infinity;
  /** @type {number[]} */
  const values = [];
  /** @param {number} value */
  const include = (value) => {
    // NaN and the infinities fail these comparisons.
    if (!(value > (positive ? 0 : -Infinity) && value < Infinity)) return;
    if (outliers) values.push(value);
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  };
  for (const line of lines) {
    for (let at = 0; at < line.x.length; at += 1) {
      if (line.x[at] < low || line.x[at] > high) continue;
      include(line.y[at]);
      if (outliers) continue;
      if (line.raw) include(line.raw[at]);
      if (line.low && line.high) {
        include(line.low[at]);
        include(line.high[at]);
      }
    }
  }
  if (outliers && values.length > 20) {
    values.sort((a, b) => a - b);
    const cut = Math.ceil(values.length / 100);
    return [values[cut], values[values.length - 1 - cut]];
  }
  return lowest <= highest ? [lowest, highest] : null;
}
