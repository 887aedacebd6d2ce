/** The columns of the table of runs: the default ones, their heads, and the menus of fields to sort and group by. */

import { isMedia } from "../media/references.js";
import { importance } from "../series/importance.js";
import { count, short } from "../ui/format.js";
import { listFields, toNumber } from "./run_fields.js";
import { natural } from "../ui/text_match.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../api/service_info.js").RunField} RunField */
/** @typedef {{value: string, label: string}} Option */

const FIRST = ["state", "created_at", "duration"];
const METRICS = 6;
const CONFIGS = 6;
/** Runs that the default columns are chosen by: the newest. */
const RUNS_MAX = 100;
/** From here on, digits of integers are grouped. */
const GROUPED = 10_000;

/** Fields that hardly two runs share. */
const UNIQUE = new Set(["name", "run_id", "notes"]);

/** Return the part of a field that people know: the key, without config or summary. @param {string} field */
export function fieldKey(field) {
  return field.replace(/^(config|summary)\./s, "");
}

/** @typedef {{runs: number, values: Set<string>, numbers: number}} FieldUse of some runs */

/** @typedef {{field: string, number: number | undefined, text: string}} FieldValue `text` of config: equal for equal values */

/** @type {WeakMap<Run, FieldValue[]>} */
const listed = new WeakMap();

/** Return the values of a run's config and summary, without media. @param {Run} run */
export function listValues(run) {
  const known = listed.get(run);
  if (known) return known;
  const values = listFields(run)
    .filter(([, value]) => value !== null && !isMedia(value))
    .map(([field, value]) => ({ field, number: toNumber(value), text: field.startsWith("config.") ? JSON.stringify(value) : "" }));
  listed.set(run, values);
  return values;
}

/**
 * Count the values of config and summary of runs.
 * @param {Run[]} runs
 * @returns {Map<string, FieldUse>} by field
 */
function countValues(runs) {
  /** @type {Map<string, FieldUse>} */
  const fields = new Map();
  for (const { field, number, text } of runs.flatMap(listValues)) {
    const use = fields.get(field) ?? { runs: 0, values: new Set(), numbers: 0 };
    use.runs += 1;
    use.numbers += Number(number !== undefined);
    if (text) use.values.add(text);
    fields.set(field, use);
  }
  return fields;
}

/**
 * Return whether runs differ in a field; a single run differs from none, and any field tells something about it.
 * @param {FieldUse} use
 * @param {number} runs
 */
function differs(use, runs) {
  return runs < 2 || use.values.size > 1 || use.runs < runs;
}

/**
 * Return the default columns of a table: the metrics that most runs logged, and what of the config differs between runs.
 * @param {Run[]} runs newest first
 * @returns {string[]}
 */
export function defaultColumns(runs) {
  const newest = runs.slice(0, RUNS_MAX);
  const uses = [...countValues(newest)];
  const metrics = uses
    .filter(([field, { numbers }]) => field.startsWith("summary.") && numbers > 0)
    .sort(([a, x], [b, y]) => y.numbers - x.numbers || importance(fieldKey(a)) - importance(fieldKey(b)) || natural.compare(a, b));
  const configs = uses
    .filter(([field, use]) => field.startsWith("config.") && differs(use, newest.length))
    .sort(([a, x], [b, y]) => y.runs - x.runs || natural.compare(a, b));
  const tags = newest.some((run) => run.tags.length) ? ["tags"] : [];
  return [...FIRST, ...metrics.slice(0, METRICS).map(([field]) => field), ...configs.slice(0, CONFIGS).map(([field]) => field), ...tags];
}

/**
 * Return the head of a column: a field's label, or the key of a value; the whole field if another column has this key.
 * @param {string} field
 * @param {string[]} shown all shown fields
 * @param {RunField[]} runFields
 */
export function columnHead(field, shown, runFields) {
  const own = runFields.find((one) => one.member === field);
  // Cells of durations have their units.
  if (own) return own.label.replace(/ \(s\)$/, "");
  const key = fieldKey(field);
  return shown.filter((other) => fieldKey(other) === key).length > 1 ? field : key;
}

/**
 * Format a number of a table with at most four significant digits; integers have all their digits.
 * @param {number} value
 */
export function tableNumber(value) {
  if (!Number.isInteger(value)) return short(value);
  return Math.abs(value) < GROUPED ? String(value) : count(value);
}

const ORDERS = [
  { value: "-created_at", label: "Newest first" },
  { value: "created_at", label: "Oldest first" },
  { value: "name", label: "Name" },
  { value: "-last_step", label: "Most steps" },
  { value: "-duration", label: "Longest" },
  { value: "state", label: "State" },
  { value: "diverged", label: "Diverged first" },
];

/**
 * Return the orders of runs to choose from. Values that are the same in all runs, and media, order nothing.
 * @param {Run[]} runs
 * @returns {Option[]} sorted: common orders, metrics, config
 */
export function orderOptions(runs) {
  const newest = runs.slice(0, RUNS_MAX);
  const fields = [...countValues(newest)].filter(([field, use]) => (field.startsWith("summary.") ? use.numbers > 0 : differs(use, newest.length)));
  const group = (/** @type {string} */ field) => Number(field.startsWith("config."));
  fields.sort(([a], [b]) => group(a) - group(b) || importance(fieldKey(a)) - importance(fieldKey(b)) || natural.compare(a, b));
  const keys = fields.map(([field]) => fieldKey(field));
  const repeated = new Set(keys.filter((key, at) => keys.indexOf(key) !== at));
  return [...ORDERS, ...fields.map(([field]) => ({ value: field, label: repeated.has(fieldKey(field)) ? field : fieldKey(field) }))];
}

/**
 * Return the fields to group runs by: those that runs may share, and config that differs.
 * @param {Run[]} runs
 * @param {RunField[]} runFields
 * @returns {Option[]}
 */
export function groupOptions(runs, runFields) {
  const newest = runs.slice(0, RUNS_MAX);
  const own = runFields.filter((field) => field.groupable && !UNIQUE.has(field.name)).map(({ name, label }) => ({ value: name, label }));
  const config = [...countValues(newest)].filter(([field, use]) => field.startsWith("config.") && differs(use, newest.length)).map(([field]) => ({ value: field, label: fieldKey(field) }));
  config.sort((a, b) => natural.compare(a.label, b.label));
  return [...own, ...config].map(({ value, label }) => ({ value, label: `Group by ${label}` }));
}

/**
 * Return the option that stands for an order: the order itself, or its reverse.
 * @param {string} sort
 * @param {Option[]} options
 */
export function orderOption(sort, options) {
  const values = new Set(options.map(({ value }) => value));
  return values.has(sort) || !values.has(reverseOrder(sort)) ? sort : reverseOrder(sort);
}

/** Return the reverse of an order. @param {string} sort */
export function reverseOrder(sort) {
  return sort.startsWith("-") ? sort.slice(1) : `-${sort}`;
}
