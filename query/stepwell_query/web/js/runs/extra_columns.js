/** Columns of config and summary that lists of runs leave out: those that the view needs are requested by name. */

import * as api from "../api/service.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").ViewState} ViewState */

const PAGE = 500;

/** Runs that are requested by their ids; for more, all pages of the list are read. */
const BY_ID_MAX = 100;

/**
 * Return the fields of config and summary that a view shows, sorts or groups by.
 * @param {ViewState} view
 * @param {number} limit of columns in one request
 */
export function neededFields(view, limit) {
  const named = [...((view.table && view.columns) || []), view.sort.replace(/^-/, ""), view.group];
  return [...new Set(named)].filter((field) => /^(config|summary)\../s.test(field)).slice(0, limit);
}

/**
 * Return the runs with missing or outdated values of some fields.
 * @param {Run[]} runs
 * @param {string[]} fields
 */
export function findIncomplete(runs, fields) {
  return runs.filter((run) => {
    const { values } = run;
    return run.partial && fields.length > 0 && (!values || (run.values_offset ?? -1) < run.complete_to.offset || fields.some((field) => !Object.hasOwn(values, field)));
  });
}

/**
 * Read the values of some fields; return them by run. A deleted run has none.
 * @param {string} entity
 * @param {string} project
 * @param {Run[]} runs to read; the result may contain others
 * @param {string[]} fields
 * @returns {Promise<Map<string, {values: Record<string, unknown>, offset: number}>>}
 */
export async function readValues(entity, project, runs, fields) {
  const filter = runs.length <= BY_ID_MAX ? `run_id in (${runs.map((run) => JSON.stringify(run.run_id)).join(",")})` : undefined;
  const columns = fields.map(columnReference);
  const none = Object.fromEntries(fields.map((field) => [field, undefined]));
  /** @type {Map<string, {values: Record<string, unknown>, offset: number}>} */
  const byRun = new Map(runs.map((run) => [run.run_id, { values: none, offset: run.complete_to.offset }]));
  const remaining = new Set(runs.map((run) => run.run_id));
  /** @type {string | undefined} */
  let cursor;
  do {
    const page = await api.runs(entity, project, { limit: PAGE, cursor, filter, columns });
    for (const run of page.runs) {
      const values = Object.fromEntries(fields.map((field, at) => [field, run.values?.[page.columns.shown[at]]]));
      byRun.set(run.run_id, { values, offset: run.complete_to.offset });
      remaining.delete(run.run_id);
    }
    cursor = page.next ?? undefined;
  } while (cursor && remaining.size);
  return byRun;
}

/**
 * Return a field's name in the service's language, which quotes keys.
 * @param {string} field
 */
export function columnReference(field) {
  const cut = field.indexOf(".");
  return `${field.slice(0, cut)}.${JSON.stringify(field.slice(cut + 1))}`;
}

/**
 * Return the words that every match of a regular expression contains, since the service searches for words only; "" if
 * the expression has optional parts.
 * @param {string} expression
 */
export function literalWords(expression) {
  if (/[|()?*{}[\]\\]/.test(expression)) return "";
  return expression.split(/[\^$.+]+/).filter(Boolean).join(" ");
}
