/** The rows of a comparison of runs: what they logged last, their config, and what else is known of them. */

import { importance } from "../series/importance.js";
import { fieldKey } from "./run_columns.js";
import { listFields, readField } from "./run_fields.js";
import { natural } from "../ui/text_match.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../api/service_info.js").RunField} RunField */

/**
 * @typedef {object} CompareRow
 * @property {string} field
 * @property {string} label
 * @property {unknown[]} values by run; undefined: the run has none
 * @property {boolean} differs whether the runs differ in it
 */

/** @typedef {{name: string, rows: CompareRow[]}} CompareSection */

/**
 * Build the sections of a comparison.
 * @param {Run[]} runs
 * @param {RunField[]} fields those of every run
 * @returns {CompareSection[]}
 */
export function compareRuns(runs, fields) {
  const values = runs.map((run) => new Map(listFields(run)));
  const keys = [...new Set(values.flatMap((map) => [...map.keys()]))];
  const row = (/** @type {string} */ field, /** @type {string} */ label, /** @type {unknown[]} */ list) => ({ field, label, values: list, differs: new Set(list.map(valueKey)).size > 1 });
  const rows = keys.map((field) => row(field, fieldKey(field), values.map((map) => map.get(field))));
  const config = rows.filter(({ field }) => field.startsWith("config.")).sort((a, b) => natural.compare(a.label, b.label));
  const summary = rows.filter(({ field }) => field.startsWith("summary."));
  summary.sort((a, b) => importance(a.label) - importance(b.label) || natural.compare(a.label, b.label));
  const about = fields
    .filter(({ name }) => name !== "name")
    .map(({ member, label }) => row(member, label.replace(/ \(s\)$/, ""), runs.map((run) => readOwn(run, member))))
    .filter((one) => one.values.some((value) => value !== undefined));
  const sections = [{ name: "Summary", rows: summary }, { name: "Config", rows: config }, { name: "Metadata", rows: about }];
  return sections.filter((section) => section.rows.length);
}

/** @param {Run} run @param {string} member */
function readOwn(run, member) {
  const value = readField(run, member) ?? undefined;
  return Array.isArray(value) && !value.length ? undefined : value;
}

/** Return a text that is equal for equal values. @param {unknown} value */
export function valueKey(value) {
  return value === undefined ? "" : JSON.stringify(value);
}

/**
 * Return the runs to compare: the shown ones, after the baseline.
 * @param {Run[]} shown
 * @param {Run | undefined} base
 */
export function comparedRuns(shown, base) {
  return base ? [base, ...shown.filter(({ run_id }) => run_id !== base.run_id)] : shown;
}
