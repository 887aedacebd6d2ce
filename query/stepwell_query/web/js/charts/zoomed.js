/** The finer points of a zoomed range, between points of the whole range. */

import { smoothingParts, stepsWithin } from "./lines.js";
import { ema } from "../series/smoothing.js";

/** @typedef {import("../types.js").Points} Points */
/** @typedef {import("../series/request_planner.js").Part} Part */

/** @param {Part} part @param {Points[]} points of its whole range @param {[number, number]} zoom @returns {Part[]} */
export function zoomedPart(part, points, zoom) {
  if (!points.some((series) => series.sampled)) return [];
  if (points.every((series) => series.axis === "_step")) {
    return [{ ...part, from: Math.max(0, Math.floor(zoom[0])), to: Math.max(0, Math.ceil(zoom[1])) }];
  }
  const steps = stepsWithin(points, zoom);
  return steps ? [{ ...part, from: steps[0], to: steps[1] }] : [];
}

/**
 * Return the zoomed points, with one point of the whole range on each side, so that lines extend to the edges of the
 * chart.
 * @param {Map<string, Points[]>} whole
 * @param {Map<string, Points[]>} zoomed
 * @param {number} smoothing weight of the moving average
 */
export function withEdges(whole, zoomed, smoothing) {
  return new Map(
    [...whole].map(([id, points]) => {
      const close = zoomed.get(id);
      const same = (/** @type {Points} */ series) => close?.find(({ kind, key, writer }) => kind === series.kind && key === series.key && writer === series.writer);
      return [id, close ? points.map((series) => addEdges(series, same(series), smoothing)) : points];
    }),
  );
}

/** @param {Points} whole @param {Points | undefined} part @param {number} smoothing @returns {Points} */
function addEdges(whole, part, smoothing) {
  if (!part || !part.step.length || !whole.sampled) return part?.step.length ? part : whole;
  const first = part.step[0] - (part.sampled ? part.width : 1);
  const last = part.step[part.step.length - 1];
  let before = -1;
  while (before + 1 < whole.step.length && whole.step[before + 1] <= first) before += 1;
  const after = whole.step.findIndex((step, at) => step > last && step - whole.width >= last && at > before);
  /** @param {"x" | "step" | "value" | "min" | "max" | "mean" | "counts" | "nans"} name */
  const joined = (name) => around(whole[name], part[name]);
  // Not by spreading, which takes ten times as long for thousands of points.
  /** @template T @param {T[]} wide @param {T[]} close */
  const around = (wide, close) => wide.slice(before, before + 1).concat(close, after >= 0 ? [wide[after]] : []);
  return {
    ...part,
    x: joined("x"),
    step: joined("step"),
    value: joined("value"),
    min: joined("min"),
    max: joined("max"),
    mean: joined("mean"),
    counts: joined("counts"),
    nans: joined("nans"),
    ...(part.owners && whole.owners ? { owners: { low: around(whole.owners.low, part.owners.low), high: around(whole.owners.high, part.owners.high) } } : {}),
    ...(part.smoothed ? { smoothed: around(ema(whole.mean, smoothing, smoothingParts(whole)), part.smoothed) } : {}),
  };
}
