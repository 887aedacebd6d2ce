/** Smoothing of sampled curves. NaN and the infinities stay, and do not affect other points. */

/** @typedef {import("../types.js").Smooth} Smooth */

/**
 * Smooth a curve.
 * @param {number[]} values
 * @param {Smooth} smooth `amount`: the weight of the past, 0 to below 1 (ema); the width of the window in points (average);
 *   the standard deviation in points (gaussian)
 * @returns {number[]}
 */
export function smoothCurve(values, smooth) {
  switch (smooth.kind) {
    case "ema":
      return ema(values, smooth.amount);
    case "average":
      return runningAverage(values, smooth.amount);
    case "gaussian":
      return gaussian(values, smooth.amount);
    default:
      return values;
  }
}

/**
 * Compute the exponential moving average, with bias correction: the first point equals the first value.
 * @param {number[]} values
 * @param {number} weight of the past
 * @param {number[]} [parts] how often each value counts; default: once
 */
export function ema(values, weight, parts) {
  if (weight <= 0) return values;
  const once = Math.min(weight, 0.9999);
  let sum = 0;
  let share = 1;
  return values.map((value, at) => {
    if (!Number.isFinite(value)) return value;
    const kept = parts ? once ** parts[at] : once;
    sum = sum * kept + (1 - kept) * value;
    share *= kept;
    return share < 1 ? sum / (1 - share) : value;
  });
}

/**
 * Compute the mean over a window around each point; at the ends, the window is shorter.
 * @param {number[]} values
 * @param {number} width
 */
export function runningAverage(values, width) {
  const half = Math.floor(width / 2);
  if (half < 1) return values;
  const sums = new Float64Array(values.length + 1);
  const counts = new Uint32Array(values.length + 1);
  values.forEach((value, at) => {
    const finite = Number.isFinite(value);
    sums[at + 1] = sums[at] + (finite ? value : 0);
    counts[at + 1] = counts[at] + (finite ? 1 : 0);
  });
  return values.map((value, at) => {
    if (!Number.isFinite(value)) return value;
    const from = Math.max(0, at - half);
    const to = Math.min(values.length, at + half + 1);
    return (sums[to] - sums[from]) / (counts[to] - counts[from]);
  });
}

/**
 * Compute the mean with Gaussian weights around each point, up to three standard deviations; at the ends, the window is
 * shorter.
 * @param {number[]} values
 * @param {number} deviation
 */
export function gaussian(values, deviation) {
  if (deviation <= 0) return values;
  const reach = Math.max(1, Math.ceil(deviation * 3));
  const weights = Array.from({ length: reach + 1 }, (_, distance) => Math.exp(-(distance * distance) / (2 * deviation * deviation)));
  return values.map((value, at) => {
    if (!Number.isFinite(value)) return value;
    let sum = 0;
    let weight = 0;
    const to = Math.min(values.length - 1, at + reach);
    for (let near = Math.max(0, at - reach); near <= to; near += 1) {
      if (!Number.isFinite(values[near])) continue;
      const share = weights[Math.abs(near - at)];
      sum += values[near] * share;
      weight += share;
    }
    return sum / weight;
  });
}
