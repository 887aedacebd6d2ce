/** Runs with more columns of config and summary than a list of runs holds: what the view needs of the others, by name. */

import * as api from "../api/service.js";
import { COLUMNS_MAX } from "./run_fields.js";
import { filterFields } from "./run_filter.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").ViewState} ViewState */

const PAGE = 500;

/** Runs that are asked for one by one; of more, all pages of the list are. */
const FEW = 100;

/**
 * Return the fields of config and summary that a view shows, orders, groups or searches by. Pure.
 * @param {ViewState} view
 */
export function neededFields(view) {
  const named = [...((view.table && view.columns) || []), view.sort.replace(/^-/, ""), view.group, ...filterFields(view.rq)];
  return [...new Set(named)].filter((field) => /^(config|summary)\../s.test(field)).slice(0, COLUMNS_MAX);
}

/**
 * Return those runs whose values of some fields have not been read as far as the runs themselves. Pure.
 * @param {Run[]} runs
 * @param {string[]} fields
 */
export function lacking(runs, fields) {
  return runs.filter((run) => {
    const { values } = run;
    return run.partial && fields.length > 0 && (!values || (run.values_offset ?? -1) < run.complete_to.offset || fields.some((field) => !Object.hasOwn(values, field)));
  });
}

/**
 * Read the values of some fields; return them by run. A run that is gone has none.
 * @param {string} entity
 * @param {string} project
 * @param {Run[]} runs whose values are wanted; those of others may come too
 * @param {string[]} fields
 * @returns {Promise<Map<string, {values: Record<string, unknown>, offset: number}>>}
 */
export async function readValues(entity, project, runs, fields) {
  const filter = runs.length <= FEW ? `run_id in (${runs.map((run) => JSON.stringify(run.run_id)).join(",")})` : undefined;
  const columns = fields.map(reference);
  const none = Object.fromEntries(fields.map((field) => [field, undefined]));
  /** @type {Map<string, {values: Record<string, unknown>, offset: number}>} */
  const found = new Map(runs.map((run) => [run.run_id, { values: none, offset: run.complete_to.offset }]));
  const wanted = new Set(runs.map((run) => run.run_id));
  /** @type {string | undefined} */
  let cursor;
  do {
    const page = await api.runs(entity, project, { limit: PAGE, cursor, filter, columns });
    for (const run of page.runs) {
      const values = Object.fromEntries(fields.map((field, at) => [field, run.values?.[page.columns.shown[at]]]));
      found.set(run.run_id, { values, offset: run.complete_to.offset });
      wanted.delete(run.run_id);
    }
    cursor = page.next ?? undefined;
  } while (cursor && wanted.size);
  return found;
}

/**
 * Return a field's name as the service reads it: keys may have any characters.
 * @param {string} field
 */
function reference(field) {
  const cut = field.indexOf(".");
  return `${field.slice(0, cut)}.${JSON.stringify(field.slice(cut + 1))}`;
}

/**
 * Return words that every name has which an expression finds, for a service that knows words alone; "" when the
 * expression has parts that may be left out. Pure.
 * @param {string} expression
 */
export function literalWords(expression) {
  if (/[|()?*{}[\]\\]/.test(expression)) return "";
  return expression.split(/[\^$.+]+/).filter(Boolean).join(" ");
}
