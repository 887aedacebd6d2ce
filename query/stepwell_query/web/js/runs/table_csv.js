/** The table of runs as CSV: its columns, its order, and all runs that pass its search, also those that are not loaded. */

import * as api from "../api/service.js";
import { limits } from "../api/service_info.js";
import { toCsv } from "../ui/csv.js";
import { download, fileName } from "../ui/download.js";
import { DIVERGED } from "./divergence.js";
import { columnReference } from "./extra_columns.js";
import { groupRuns, readField, sortRuns } from "./run_fields.js";

/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").ViewState} ViewState */
/** @typedef {import("./runs_model.js").RunsModel} RunsModel */

/**
 * Download the table.
 * @param {RunsModel} model
 * @param {ViewState} view
 * @param {string[]} columns
 */
export async function downloadTable(model, view, columns) {
  const runs = orderRuns(await readRuns(model, view, columns), model, view);
  const name = fileName([model.project, "runs", ...(model.runSearch.filter ? ["filtered"] : [])], "csv");
  download(name, new Blob([toCsv(tableRows(runs, columns, view.group))], { type: "text/csv;charset=utf-8" }));
}

/**
 * Read all runs that pass the search, with the values of the columns.
 * @param {RunsModel} model
 * @param {ViewState} view
 * @param {string[]} columns
 * @returns {Promise<Run[]>}
 */
async function readRuns(model, view, columns) {
  const named = [...columns, view.sort.replace(/^-/, ""), view.group];
  const fields = [...new Set(named)].filter((field) => /^(config|summary)\../s.test(field)).slice(0, limits().columns);
  /** @type {Run[]} */
  const runs = [];
  /** @type {string | undefined} */
  let cursor;
  do {
    const page = await api.runs(model.entity, model.project, { filter: model.runSearch.filter, columns: fields.map(columnReference), limit: limits().runs, cursor });
    for (const run of page.runs) {
      const values = Object.fromEntries(fields.map((field, at) => [field, run.values?.[page.columns.shown[at]]]));
      runs.push({ ...run, config: {}, summary: {}, values });
    }
    cursor = page.next ?? undefined;
  } while (cursor);
  return runs;
}

/** @param {Run[]} runs @param {RunsModel} model @param {ViewState} view */
function orderRuns(runs, model, view) {
  if (view.sort.replace(/^-/, "") !== DIVERGED) return sortRuns(runs, view.sort);
  const places = new Map(model.matching(view).map((run, at) => [run.run_id, at]));
  return [...runs].sort((a, b) => (places.get(a.run_id) ?? Infinity) - (places.get(b.run_id) ?? Infinity) || 0);
}

/**
 * Return the rows of the table after a row of names; the groups are a column, and their runs stand together.
 * @param {Run[]} runs in order
 * @param {string[]} columns
 * @param {string} group the field by which runs are grouped; "": none
 */
export function tableRows(runs, columns, group) {
  const fields = [...new Set(["name", "run_id", ...(group ? [group] : []), ...columns])];
  const ordered = group ? groupRuns(runs, group).flatMap((one) => one.runs) : runs;
  return [fields, ...ordered.map((run) => fields.map((field) => cellValue(readField(run, field))))];
}

/** @param {unknown} value */
function cellValue(value) {
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "string") return value;
  if (value === null || value === undefined) return undefined;
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? value.join(", ") : JSON.stringify(value);
}
