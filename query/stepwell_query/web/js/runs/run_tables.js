/** Tables of a run's files and of its step conflicts, read by SQL. */

import { mediaUrl, sql } from "../api/service.js";
import { fill, h } from "../ui/dom.js";
import { bytes, count, time } from "../ui/format.js";
import { fileExtension, isFileName } from "../media/references.js";

/** @typedef {import("../types.js").Run} Run */

const ROWS_MAX = 1_000;
const OF_RUN = "entity = {entity:String} AND project = {project:String} AND run_id = {run_id:String}";

/** @param {Run} run @returns {import("../pages/run_page.js").Tab} */
export function filesTab(run) {
  const statement = `SELECT key, kind, step, value FROM media WHERE ${OF_RUN} ORDER BY key, step LIMIT ${ROWS_MAX}`;
  return renderList(run, statement, ["File", "Kind", "Step", "Size"], "No files were logged.", ([key, kind, step, value]) =>
    parseFiles(value).map((file) => [
      h("a", { href: mediaUrl(file.sha256), download: `${key.replaceAll("/", "-")}-${step}${ending(file)}` }, key),
      kind,
      count(step),
      bytes(Number(file.size ?? 0)),
    ]),
  );
}

/** Return the files that a stored reference names; none if the text is not a reference. @param {string} text @returns {any[]} */
export function parseFiles(text) {
  try {
    const reference = JSON.parse(text);
    const items = Array.isArray(reference.items) ? reference.items : [reference];
    return items.filter((/** @type {any} */ file) => isFileName(file?.sha256));
  } catch {
    return [];
  }
}

/** @param {any} file */
function ending(file) {
  const kinds = { "text/html": "html", "application/vnd.apache.parquet": "parquet", "application/vnd.plotly.v1+json": "json" };
  const type = String(file.content_type ?? "");
  return fileExtension(file.format, kinds[/** @type {keyof typeof kinds} */ (type)], type.split("/")[1]);
}

/** @param {Run} run @returns {import("../pages/run_page.js").Tab} */
export function conflictsTab(run) {
  const columns = "writer, asked_step, step, toString(timestamp) AS at";
  const statement = `SELECT ${columns} FROM step_conflicts WHERE ${OF_RUN} ORDER BY timestamp DESC LIMIT ${ROWS_MAX}`;
  const none = "None: each call had a step at or above the current one, or no step.";
  return renderList(run, statement, ["Writer", "Requested step", "Logged at step", "Time"], none, ([writer, requested, step, at]) => [
    [writer || "(the only one)", count(requested), count(step), time(`${at.replace(" ", "T")}Z`)],
  ]);
}

/**
 * @param {Run} run
 * @param {string} statement
 * @param {string[]} heads
 * @param {string} none the note of an empty table
 * @param {(row: any[]) => (string | HTMLElement)[][]} toRows
 * @returns {import("../pages/run_page.js").Tab}
 */
function renderList(run, statement, heads, none, toRows) {
  const body = h("tbody");
  const note = h("p", { class: "muted", role: "status" }, "Loading…");
  const element = h("div", { class: "list-tab" }, note, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), body));
  let shown = "";
  const update = async (/** @type {Run} */ now) => {
    const state = `${now.complete_to.offset}`;
    if (state === shown) return;
    shown = state;
    try {
      const { rows } = await sql(statement, { entity: run.entity, project: run.project, run_id: run.run_id });
      fill(body, rows.flatMap(toRows).map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))));
      note.textContent = rows.length === ROWS_MAX ? `The first ${count(ROWS_MAX)}; stepwell sql and the API return all.` : rows.length ? "" : none;
    } catch (error) {
      shown = "";
      fill(note, `${/** @type {Error} */ (error).message} `, h("button", { type: "button", onclick: () => update(now) }, "Try again"));
    }
  };
  void update(run);
  return { element, update };
}
