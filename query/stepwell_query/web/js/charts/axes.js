/** The axes of charts: units by key, ticks, ranges and titles. */

import { parseStreamKey } from "../series/ranks.js";
import { isBytes, logTickLabel, tickLabels } from "../ui/format.js";

/** @typedef {import("../ui/format.js").Unit} Unit */

/** @type {Record<string, Unit>} units of system metrics, by their key without the number of a GPU */
const UNITS = {
  cpu: "%",
  memory: "%",
  "memory.available": "B",
  disk: "%",
  "disk.read": "B/s",
  "disk.written": "B/s",
  "network.sent": "B/s",
  "network.received": "B/s",
  "process.cpu": "%",
  "process.memory": "B",
  "gpu.utilization": "%",
  "gpu.memory": "%",
  "gpu.memory.used": "B",
  "gpu.temperature": "°C",
  "gpu.power": "W",
};

const POWERS = Array.from({ length: 36 }, (_, at) => at - 18);
const BYTE_INCREMENTS = Array.from({ length: 51 }, (_, power) => 2 ** power);
const PERCENT_INCREMENTS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];
const TIMES = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
const TIME_INCREMENTS = [...[1, 2, 5, 10, 15, 30].flatMap((amount) => [amount, amount * 60]), ...[1, 2, 3, 6, 12].map((hours) => hours * 3_600), ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((days) => days * 86_400)].sort((a, b) => a - b);
const SHORT_INCREMENTS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/** Increments of whole numbers, such as steps. */
export const WHOLE_INCREMENTS = POWERS.filter((power) => power >= 0).flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

/**
 * Return the unit of a metric. Only system metrics have one: what scripts log has no known unit.
 * @param {string} key
 * @param {boolean} isSystem
 * @returns {Unit}
 */
export function metricUnit(key, isSystem) {
  if (!isSystem) return "";
  const { plain } = parseStreamKey(key);
  return UNITS[plain.slice(plain.indexOf("/") + 1).replace(/^gpu\.\d+\./, "gpu.")] ?? "";
}

/**
 * Return the increments between the ticks of a linear axis; undefined: those of uPlot.
 * @param {Unit} unit
 */
export function increments(unit) {
  if (isBytes(unit)) return BYTE_INCREMENTS;
  if (unit === "s") return [...SHORT_INCREMENTS, ...TIME_INCREMENTS];
  return unit === "%" ? PERCENT_INCREMENTS : undefined;
}

/**
 * Return the labels of a linear axis.
 * @param {number[]} ticks
 * @param {Unit} unit
 */
export function linearLabels(ticks, unit) {
  if (unit !== "s") return tickLabels(ticks, unit);
  const gap = ticks.length > 1 ? ticks[1] - ticks[0] : ticks[0];
  const [seconds, name] = TIMES.find(([size]) => gap >= Number(size)) ?? [1, "s"];
  return tickLabels(ticks.map((tick) => tick / Number(seconds))).map((label) => (label === "0" ? label : `${label} ${name}`));
}

/**
 * Return the ticks of a logarithmic axis: 1, 2 and 5 of each power of ten, only powers of ten where these are too many,
 * and even steps within a narrow range. Those of bytes are powers of two.
 * @param {number} low positive
 * @param {number} high
 * @param {number} most number of ticks that have room
 * @param {Unit} [unit]
 * @returns {number[]}
 */
export function logTicks(low, high, most, unit = "") {
  const fits = (/** @type {number[]} */ ticks) => ticks.filter((tick) => tick >= low * 0.999999 && tick <= high * 1.000001);
  if (isBytes(unit)) {
    const all = fits(BYTE_INCREMENTS);
    return all.length < 3 ? evenTicks(low, high, BYTE_INCREMENTS, most) : thin(all, most);
  }
  const detailed = fits(PLAIN_INCREMENTS);
  if (detailed.length < 3) return evenTicks(low, high, PLAIN_INCREMENTS, most);
  return detailed.length <= most ? detailed : thin(fits(POWERS.map((power) => Number(`1e${power}`))), most);
}

/** @param {number[]} ticks @param {number} most */
function thin(ticks, most) {
  const each = Math.ceil(ticks.length / Math.max(1, most));
  return ticks.filter((_, at) => at % each === 0);
}

/** Increments of a linear axis without a unit. */
export const PLAIN_INCREMENTS = POWERS.flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)));

/** Increments of a time axis, in seconds. */
export const CLOCK_INCREMENTS = TIME_INCREMENTS;

/** @param {number} low @param {number} high @param {number[]} steps ascending @param {number} most */
export function evenTicks(low, high, steps, most) {
  const step = steps.find((size) => (high - low) / size <= Math.max(2, most)) ?? high - low;
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => Number(((first + at) * step).toPrecision(12)));
}

/**
 * Return the labels of a logarithmic axis.
 * @param {number[]} ticks
 * @param {Unit} unit
 */
export function logLabels(ticks, unit) {
  const isEven = ticks.length > 2 && ticks[2] - ticks[1] <= (ticks[1] - ticks[0]) * 1.01;
  return isEven ? linearLabels(ticks, unit) : ticks.map((tick) => logTickLabel(tick, unit));
}

/**
 * Return the range of a y axis that shows values. Shares of 100 are shown from 0 to 100, amounts from 0.
 * @param {[number, number] | null} values
 * @param {{unit: Unit, log: boolean}} axis
 * @returns {[number, number]}
 */
export function valueRange(values, { unit, log }) {
  if (!values) return log ? [0.1, 1] : unit === "%" ? [0, 100] : [0, 1];
  const [low, high] = values;
  if (log) return [low / 1.15, high * 1.15];
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  if (unit === "%") return [Math.min(0, low), high > 100 ? high + pad : 100];
  if (isBytes(unit)) return [Math.min(0, low), high + (high || 1) * 0.06];
  return [low - pad, high + pad];
}

/**
 * Return the title of an x axis.
 * @param {string} axis
 */
export function axisTitle(axis) {
  return { _step: "step", _runtime: "time since the start", _timestamp: "wall time" }[axis] ?? axis;
}
