/** The fields of a run that a table can show, sort and group by: `config.lr`, `summary.loss`, `state`. */

import { isMedia } from "../media/references.js";
import { natural } from "../ui/text_match.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../api/service_info.js").RunField} RunField */

const DEPTH = 4;
const SUMMARY_DEPTH = 2;

/**
 * Return a run's value of a field; undefined if it has none.
 * @param {Run} run
 * @param {string} field
 * @returns {unknown}
 */
export function readField(run, field) {
  if (field.startsWith("config.")) return valueAtPath(run.config, field.slice(7)) ?? requestedValue(run, field);
  if (field.startsWith("summary.")) return valueAtPath(run.summary, field.slice(8)) ?? requestedValue(run, field);
  // Addresses from before the service described its fields name the duration `runtime`.
  if (field === "duration" || field === "runtime") return runDuration(run);
  const value = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (run))[field];
  return value === "" ? undefined : value;
}

/**
 * Return a run's duration in seconds, as the service computes it.
 * @param {Run} run
 */
export function runDuration(run) {
  return run.duration ?? undefined;
}

/**
 * Return a value that the list of runs left out and that was requested by name.
 * @param {Run} run
 * @param {string} field
 */
function requestedValue(run, field) {
  return run.values?.[field] ?? undefined;
}

/**
 * Return the value at a path. Keys may contain dots: a key that equals the whole path has precedence.
 * @param {unknown} value
 * @param {string} name
 * @returns {unknown}
 */
function valueAtPath(value, name) {
  if (typeof value !== "object" || value === null) return undefined;
  const object = /** @type {Record<string, unknown>} */ (value);
  if (Object.hasOwn(object, name)) return unwrap(object[name]);
  for (let cut = name.indexOf("."); cut > 0; cut = name.indexOf(".", cut + 1)) {
    const head = name.slice(0, cut);
    if (Object.hasOwn(object, head)) {
      const inner = valueAtPath(unwrap(object[head]), name.slice(cut + 1));
      if (inner !== undefined) return inner;
    }
  }
  return undefined;
}

/**
 * Return the value of an entry of config. wandb's scripts may pass `{"lr": {"value": 0.1}}` for `{"lr": 0.1}`.
 * @param {unknown} value
 */
function unwrap(value) {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const keys = Object.keys(value);
    if (keys.length <= 2 && keys.includes("value") && keys.every((key) => key === "value" || key === "desc")) {
      return /** @type {{value: unknown}} */ (value).value;
    }
  }
  return value;
}

/**
 * Return a value as a number; undefined if it is none. JSON lacks NaN and the infinities: they are texts.
 * @param {unknown} value
 */
export function toNumber(value) {
  if (typeof value === "number") return value;
  return value === "NaN" || value === "Infinity" || value === "-Infinity" ? Number(value) : undefined;
}

/** The fields that runs have: those of every run, then those of config and summary by name, nested ones with dots. */
export class FieldCatalog {
  /** @param {RunField[]} fields those of every run */
  constructor(fields) {
    this.own = fields.map((field) => field.member);
    /** @type {Set<string>} */
    this.config = new Set();
    /** @type {Set<string>} */
    this.summary = new Set();
    /** @type {Set<string>} fields of media, by which runs can't be ordered */
    this.media = new Set();
    /** @type {WeakSet<Run>} */
    this.seen = new WeakSet();
    this.all = [...this.own];
  }

  /**
   * Add the fields of runs; runs that were added before are skipped. Return whether there are new fields.
   * @param {Run[]} runs
   */
  add(runs) {
    const before = this.config.size + this.summary.size;
    for (const run of runs) {
      if (this.seen.has(run)) continue;
      this.seen.add(run);
      for (const [field] of listLeaves(run.config, "config.", DEPTH)) this.config.add(field);
      for (const [field, value] of listLeaves(run.summary, "summary.", SUMMARY_DEPTH)) {
        this.summary.add(field);
        if (isMedia(value)) this.media.add(field);
      }
    }
    if (this.config.size + this.summary.size === before) return false;
    this.all = [...this.own, ...[...this.config].sort(natural.compare), ...[...this.summary].sort(natural.compare)];
    return true;
  }
}

/**
 * Return the fields of a run's config and summary with their values.
 * @param {Run} run
 * @returns {[string, unknown][]}
 */
export function listFields(run) {
  return [...listLeaves(run.config, "config.", DEPTH), ...listLeaves(run.summary, "summary.", SUMMARY_DEPTH)];
}

/** @param {unknown} value @param {string} prefix @param {number} depth @returns {[string, unknown][]} */
function listLeaves(value, prefix, depth) {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, raw]) => {
    const item = unwrap(raw);
    const nested = typeof item === "object" && item !== null && !Array.isArray(item) && !isMedia(item);
    if (nested && depth > 1 && Object.keys(item).length) return listLeaves(item, `${prefix}${name}.`, depth - 1);
    return [/** @type {[string, unknown]} */ ([`${prefix}${name}`, item])];
  });
}

/**
 * Sort runs by a field, in descending order with a leading `-`. Runs without the field come last.
 * @param {Run[]} runs
 * @param {string} sort
 */
export function sortRuns(runs, sort) {
  const descending = sort.startsWith("-");
  const field = sort.replace(/^-/, "");
  const keyed = runs.map((run) => ({ run, value: sortValue(readField(run, field)) }));
  keyed.sort((a, b) => {
    const order = compare(a.value, b.value);
    const missing = a.value === null || b.value === null;
    return (descending && !missing ? -order : order) || natural.compare(a.run.run_id, b.run.run_id);
  });
  return keyed.map(({ run }) => run);
}

/** @param {unknown} value @returns {number | string | null} */
function sortValue(value) {
  if (value === undefined || value === null) return null;
  if (typeof value === "number") return Number.isNaN(value) ? null : value;
  if (typeof value === "boolean") return Number(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {number | string | null} a @param {number | string | null} b */
function compare(a, b) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return natural.compare(String(a), String(b));
}

/**
 * Return the name of a run's group.
 * @param {Run} run
 * @param {string} field
 */
export function groupName(run, field) {
  const value = readField(run, field);
  if (value === undefined || value === null) return "(none)";
  if (Array.isArray(value)) return value.length ? value.join(", ") : "(none)";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * Group runs, in the order in which the groups occur.
 * @param {Run[]} runs
 * @param {string} field
 */
export function groupRuns(runs, field) {
  /** @type {Map<string, Run[]>} */
  const groups = new Map();
  for (const run of runs) {
    const name = groupName(run, field);
    groups.set(name, [...(groups.get(name) ?? []), run]);
  }
  return [...groups].map(([name, members]) => ({ name, runs: members }));
}
