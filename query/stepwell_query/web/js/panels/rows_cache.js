/** What runs logged under one key that is no curve: media, texts, tables; by run, and read again when it has moved on. */

import { history } from "../api/service.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {{step: number, value: any}} Row */

const SAMPLES = 1_000;
const AGAIN_MS = 2_000;

export class RowsCache {
  /**
   * @param {string} key
   * @param {string} kind
   * @param {() => void} tell called whenever there is more
   */
  constructor(key, kind, tell) {
    this.key = key;
    this.kind = kind;
    this.tell = tell;
    /** @type {Map<string, Row[]>} by run */
    this.rows = new Map();
    /** @type {Map<string, AbortController>} */
    this.open = new Map();
    /** @type {Map<string, number>} */
    this.waiting = new Map();
    /** @type {Error | null} */
    this.error = null;
  }

  /** Ask for runs that are not here yet. @param {Run[]} runs */
  want(runs) {
    const wanted = new Set(runs.map((run) => run.path));
    for (const [run, controller] of this.open) if (!wanted.has(run)) controller.abort();
    for (const run of runs) if (!this.rows.has(run.path) && !this.open.has(run.path)) void this.read(run);
  }

  /** Ask again for a run that has moved on, now and then. @param {Run} run */
  again(run) {
    if (this.waiting.has(run.path) || !this.rows.has(run.path)) return;
    const timer = window.setTimeout(() => {
      this.waiting.delete(run.path);
      void this.read(run);
    }, AGAIN_MS);
    this.waiting.set(run.path, timer);
  }

  /** @param {Run} run */
  async read(run) {
    this.open.get(run.path)?.abort();
    const controller = new AbortController();
    this.open.set(run.path, controller);
    try {
      const answer = await history(run, { key: this.key, samples: SAMPLES }, controller.signal);
      const rows = answer.rows.map((row) => ({ step: row._step, value: readCell(row, this.key) }));
      this.rows.set(run.path, rows.filter(({ value }) => fits(value, this.kind)));
      this.error = null;
    } catch (error) {
      if (controller.signal.aborted) return;
      this.error = /** @type {Error} */ (error);
    } finally {
      if (this.open.get(run.path) === controller) this.open.delete(run.path);
    }
    this.tell();
  }

  destroy() {
    for (const timer of this.waiting.values()) clearTimeout(timer);
    for (const controller of this.open.values()) controller.abort();
  }
}

/**
 * Return a row's value of a key, which the run may spell in another case.
 * @param {Record<string, unknown>} row
 * @param {string} key
 */
export function readCell(row, key) {
  if (Object.hasOwn(row, key)) return row[key];
  const folded = key.toLowerCase();
  const own = Object.keys(row).find((name) => name.toLowerCase() === folded);
  return own === undefined ? undefined : row[own];
}

/**
 * One key may have values of several kinds; a panel shows one of them.
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
 * Return the steps at which any of the runs has something, ascending.
 * @param {Iterable<Row[]>} runs
 */
export function listSteps(runs) {
  return [...new Set([...runs].flatMap((rows) => rows.map((row) => row.step)))].sort((a, b) => a - b);
}

/**
 * Return what a run shows at a step: what it logged there, or last before it; null before its first.
 * @param {Row[]} rows ascending
 * @param {number} step
 * @returns {Row | null}
 */
export function rowAt(rows, step) {
  let found = null;
  for (const row of rows) {
    if (row.step > step) break;
    found = row;
  }
  return found;
}
