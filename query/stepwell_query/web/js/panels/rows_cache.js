/** The rows of a metric that is not drawn as a curve (media, texts, tables), by run. */

import { history } from "../api/service.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {{step: number, value: any}} Row */

const SAMPLES = 1_000;
const REFRESH_MS = 2_000;

export class RowsCache {
  /**
   * @param {string} key
   * @param {string} kind
   * @param {() => void} onChange called after each response
   */
  constructor(key, kind, onChange) {
    this.key = key;
    this.kind = kind;
    this.onChange = onChange;
    /** @type {Map<string, Row[]>} by run */
    this.rows = new Map();
    /** @type {Map<string, AbortController>} */
    this.pending = new Map();
    /** @type {Map<string, number>} */
    this.timers = new Map();
    /** @type {Error | null} */
    this.error = null;
  }

  /** Read the runs that are not loaded; cancel requests for others. @param {Run[]} runs */
  load(runs) {
    const shown = new Set(runs.map((run) => run.path));
    for (const [run, controller] of this.pending) if (!shown.has(run)) controller.abort();
    for (const run of runs) if (!this.rows.has(run.path) && !this.pending.has(run.path)) void this.read(run);
  }

  /** Read a run with new data again, at a limited rate. @param {Run} run */
  refresh(run) {
    if (this.timers.has(run.path) || !this.rows.has(run.path)) return;
    const timer = window.setTimeout(() => {
      this.timers.delete(run.path);
      void this.read(run);
    }, REFRESH_MS);
    this.timers.set(run.path, timer);
  }

  /** @param {Run} run */
  async read(run) {
    this.pending.get(run.path)?.abort();
    const controller = new AbortController();
    this.pending.set(run.path, controller);
    try {
      const answer = await history(run, { key: this.key, samples: SAMPLES }, controller.signal);
      const rows = answer.rows.map((row) => ({ step: row._step, value: readCell(row, this.key) }));
      this.rows.set(run.path, rows.filter(({ value }) => fits(value, this.kind)));
      this.error = null;
    } catch (error) {
      if (controller.signal.aborted) return;
      this.error = /** @type {Error} */ (error);
    } finally {
      if (this.pending.get(run.path) === controller) this.pending.delete(run.path);
    }
    this.onChange();
  }

  destroy() {
    for (const timer of this.timers.values()) clearTimeout(timer);
    for (const controller of this.pending.values()) controller.abort();
  }
}

/** Columns of every row besides the requested key. */
const ROW_COLUMNS = new Set(["_step", "_timestamp", "_runtime"]);

/**
 * Return a row's value of the requested key. A run may spell the key differently: it is then the row's only other
 * column.
 * @param {Record<string, unknown>} row
 * @param {string} key
 */
export function readCell(row, key) {
  if (Object.hasOwn(row, key)) return row[key];
  const spelling = Object.keys(row).find((name) => !ROW_COLUMNS.has(name));
  return spelling === undefined ? undefined : row[spelling];
}

/**
 * Return whether a value is of a panel's kind: a key may have values of several kinds.
 * @param {unknown} value
 * @param {string} kind
 */
function fits(value, kind) {
  if (value === undefined) return false;
  if (kind === "string") return typeof value === "string";
  if (kind === "other") return typeof value !== "string";
  return typeof value === "object" && value !== null && ("sha256" in value || "items" in value || "bins" in value);
}

/**
 * Return the steps of all rows, ascending.
 * @param {Iterable<Row[]>} runs
 */
export function listSteps(runs) {
  return [...new Set([...runs].flatMap((rows) => rows.map((row) => row.step)))].sort((a, b) => a - b);
}

/**
 * Return the row at a step, or the last row before it; null before the first row.
 * @param {Row[]} rows ascending
 * @param {number} step
 * @returns {Row | null}
 */
export function rowAt(rows, step) {
  let last = null;
  for (const row of rows) {
    if (row.step > step) break;
    last = row;
  }
  return last;
}
