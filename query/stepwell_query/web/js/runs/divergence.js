/** Finds the runs that diverged: a metric ended as NaN or infinite, or far from where it ended in the other runs. */

import { badDirection, importance } from "../series/importance.js";
import { fieldKey, listValues } from "./run_columns.js";
import { natural } from "../ui/text_match.js";

/** @typedef {import("../types.js").Run} Run */

/**
 * @typedef {object} Divergence
 * @property {string} field of the summary
 * @property {number} value
 * @property {string} mark "NaN", "∞", or "far" from the other runs
 * @property {number} distance from the median of all runs, in multiples of what is far; infinite for NaN
 */

/** @typedef {{run: Run, value: number}[]} Column the values of a metric, by run */

/** Runs that a metric needs before one of them can be far from the others. */
const RUNS_MIN = 5;
/** A far value is this many standard deviations from the median, and this share of the median. */
const DEVIATIONS = 5;
const SHARE = 0.5;
/** The standard deviation of normally distributed values, in multiples of their median absolute deviation. */
const NORMAL = 1.4826;

/** The name of the order by which runs that diverged come first. */
export const DIVERGED = "diverged";

/**
 * Find the runs that diverged among some runs, by the last values of their metrics.
 * @param {Run[]} runs
 * @returns {Map<string, Divergence[]>} by run id, the most important metric first
 */
export function findDiverged(runs) {
  /** @type {Map<string, Column>} */
  const columns = new Map();
  for (const run of runs) {
    for (const { field, number } of listValues(run)) {
      if (number === undefined || !field.startsWith("summary.")) continue;
      const column = columns.get(field);
      if (column) column.push({ run, value: number });
      else columns.set(field, [{ run, value: number }]);
    }
  }
  const judged = [...columns.keys()].some((field) => badDirection(fieldKey(field)));
  const steps = median(runs.map((run) => run.last_step));
  /** @type {Map<string, Divergence[]>} */
  const found = new Map();
  for (const [field, column] of columns) {
    const direction = badDirection(fieldKey(field));
    const isFar = judged && !direction ? () => 0 : farFrom(column, direction);
    for (const { run, value } of column) {
      const distance = Number.isFinite(value) ? (isYoung(run, steps) ? 0 : isFar(value)) : isTelling(column, direction) ? Infinity : 0;
      if (distance <= 1) continue;
      const mark = Number.isNaN(value) ? "NaN" : Number.isFinite(value) ? "far" : "∞";
      found.set(run.run_id, [...(found.get(run.run_id) ?? []), { field, value, mark, distance }]);
    }
  }
  for (const list of found.values()) list.sort((a, b) => Number(a.mark === "far") - Number(b.mark === "far") || importance(fieldKey(a.field)) - importance(fieldKey(b.field)) || natural.compare(a.field, b.field));
  return found;
}

/** Return whether a value that is not finite says something: losses are finite, and so are the metrics of most runs. @param {Column} column @param {number} direction */
function isTelling(column, direction) {
  return direction > 0 || column.filter(({ value }) => Number.isFinite(value)).length * 2 >= column.length;
}

/** Return whether a run has just begun, so that its values are not those of the others yet. @param {Run} run @param {number} steps of most runs */
function isYoung(run, steps) {
  return run.state === "running" && run.last_step < steps / 2;
}

/**
 * Build the measure of how far a value is from those of all runs; above 1 it is far.
 * @param {Column} column
 * @param {number} direction in which values are bad; 0: either
 * @returns {(value: number) => number}
 */
function farFrom(column, direction) {
  const values = column.map(({ value }) => value).filter(Number.isFinite);
  if (values.length < RUNS_MIN) return () => 0;
  const middle = median(values);
  const deviation = NORMAL * median(values.map((value) => Math.abs(value - middle)));
  const limit = Math.max(DEVIATIONS * deviation, SHARE * Math.abs(middle));
  return (value) => {
    const by = direction ? (value - middle) * direction : Math.abs(value - middle);
    return by > 0 ? (limit ? by / limit : Infinity) : 0;
  };
}

/** @param {number[]} values */
function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * Describe why a run counts as diverged.
 * @param {Divergence[]} list
 * @param {(value: number) => string} format
 */
export function describeDivergence(list, format) {
  return list.map(({ field, value, mark }) => (mark === "far" ? `${fieldKey(field)} ended at ${format(value)}, far from the other runs` : `${fieldKey(field)} ended as ${mark}`)).join("; ");
}

/**
 * Order runs: those that diverged first, the furthest before the others.
 * @param {Run[]} runs
 * @param {Map<string, Divergence[]>} diverged
 */
export function divergedFirst(runs, diverged) {
  const distance = (/** @type {Run} */ run) => Math.max(0, ...(diverged.get(run.run_id) ?? []).map((one) => one.distance));
  return runs.map((run) => ({ run, distance: distance(run) })).sort((a, b) => (a.distance === b.distance ? 0 : b.distance - a.distance)).map(({ run }) => run);
}
