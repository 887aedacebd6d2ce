/** The fields of a run that a table can show, sort, group and filter by: `config.lr`, `summary.loss`, `state`. Pure. */

/** @typedef {import("../types.js").Run} Run */

const OWN = ["name", "state", "tags", "created_at", "runtime", "last_step", "points", "group", "job_type", "host", "notes", "run_id"];
const DEPTH = 4;

/** The columns of a table on which nobody has chosen. */
const USUAL = ["state", "created_at", "runtime", "last_step", "tags"];
const USUAL_OF_EACH = 6;

/** Columns that a table offers at once; the search finds the rest. */
export const COLUMNS_MAX = 500;

/**
 * Return a run's value of a field, undefined where it has none.
 * @param {Run} run
 * @param {string} field
 * @returns {unknown}
 */
export function readField(run, field) {
  if (field.startsWith("config.")) return inside(run.config, field.slice(7)) ?? beyond(run, field);
  if (field.startsWith("summary.")) return inside(run.summary, field.slice(8)) ?? beyond(run, field);
  if (field === "runtime") {
    const seconds = (Date.parse(run.finished_at ?? run.heartbeat_at) - Date.parse(run.started_at)) / 1000;
    return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
  }
  const value = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (run))[field];
  return value === "" ? undefined : value;
}

/**
 * What a list of runs left out, and was asked for by its name since.
 * @param {Run} run
 * @param {string} field
 */
function beyond(run, field) {
  return run.values?.[field] ?? undefined;
}

/**
 * Keys may have dots themselves: the whole name goes before its parts.
 * @param {unknown} value
 * @param {string} name
 * @returns {unknown}
 */
function inside(value, name) {
  if (typeof value !== "object" || value === null) return undefined;
  const object = /** @type {Record<string, unknown>} */ (value);
  if (Object.hasOwn(object, name)) return unwrapped(object[name]);
  for (let cut = name.indexOf("."); cut > 0; cut = name.indexOf(".", cut + 1)) {
    const head = name.slice(0, cut);
    if (Object.hasOwn(object, head)) {
      const found = inside(unwrapped(object[head]), name.slice(cut + 1));
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/**
 * wandb's scripts may hand over config as `{"lr": {"value": 0.1}}`.
 * @param {unknown} value
 */
function unwrapped(value) {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const keys = Object.keys(value);
    if (keys.length <= 2 && keys.includes("value") && keys.every((key) => key === "value" || key === "desc")) {
      return /** @type {{value: unknown}} */ (value).value;
    }
  }
  return value;
}

/** The fields of runs: their own, then config's and summary's by name, nested ones with dots. */
export class Fields {
  constructor() {
    /** @type {Set<string>} */
    this.config = new Set();
    /** @type {Set<string>} */
    this.summary = new Set();
    /** @type {WeakSet<Run>} */
    this.seen = new WeakSet();
    this.all = [...OWN];
  }

  /**
   * Take in runs; those that were taken in before cost nothing. Return whether there are more fields now.
   * @param {Run[]} runs
   */
  add(runs) {
    const before = this.config.size + this.summary.size;
    for (const run of runs) {
      if (this.seen.has(run)) continue;
      this.seen.add(run);
      collect(run.config, "config.", this.config, DEPTH);
      collect(run.summary, "summary.", this.summary, 2);
    }
    if (this.config.size + this.summary.size === before) return false;
    const natural = new Intl.Collator("en", { numeric: true });
    this.all = [...OWN, ...[...this.config].sort(natural.compare), ...[...this.summary].sort(natural.compare)];
    return true;
  }
}

/** @param {unknown} value @param {string} prefix @param {Set<string>} into @param {number} depth */
function collect(value, prefix, into, depth) {
  if (typeof value !== "object" || value === null) return;
  for (const [name, raw] of Object.entries(value)) {
    const item = unwrapped(raw);
    const nested = typeof item === "object" && item !== null && !Array.isArray(item);
    if (nested && depth > 1 && Object.keys(item).length) collect(item, `${prefix}${name}.`, into, depth - 1);
    else into.add(`${prefix}${name}`);
  }
}

/**
 * Return the columns of a table on which nobody has chosen: a few of the run's own, of config and of summary.
 * @param {string[]} fields
 */
export function usualColumns(fields) {
  const of = (/** @type {string} */ prefix) => fields.filter((field) => field.startsWith(prefix)).slice(0, USUAL_OF_EACH);
  return [...USUAL, ...of("config."), ...of("summary.")];
}

/**
 * Return runs sorted by a field, `-` in front: from the greatest down; runs without it come last.
 * @param {Run[]} runs
 * @param {string} sort
 */
export function sorted(runs, sort) {
  const down = sort.startsWith("-");
  const field = sort.replace(/^-/, "");
  const natural = new Intl.Collator("en", { numeric: true });
  const keyed = runs.map((run) => ({ run, value: comparable(readField(run, field)) }));
  keyed.sort((a, b) => {
    const order = compare(a.value, b.value, natural);
    const missing = a.value === null || b.value === null;
    return (down && !missing ? -order : order) || natural.compare(a.run.run_id, b.run.run_id);
  });
  return keyed.map(({ run }) => run);
}

/** @param {unknown} value @returns {number | string | null} */
function comparable(value) {
  if (value === undefined || value === null) return null;
  if (typeof value === "number") return Number.isNaN(value) ? null : value;
  if (typeof value === "boolean") return Number(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** @param {number | string | null} a @param {number | string | null} b @param {Intl.Collator} natural */
function compare(a, b, natural) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return natural.compare(String(a), String(b));
}

/**
 * Return the name of the group that a run is in.
 * @param {Run} run
 * @param {string} field
 */
export function groupName(run, field) {
  const value = readField(run, field);
  if (value === undefined || value === null) return "(none)";
  if (Array.isArray(value)) return value.length ? value.join(", ") : "(none)";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
