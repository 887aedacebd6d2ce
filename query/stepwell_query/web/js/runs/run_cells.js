/** The parts of a run's row: its name, state and tags, and the cells of a table. */

import { runFields } from "../api/service_info.js";
import { isMedia } from "../media/references.js";
import { thumbnail } from "../media/thumbnail.js";
import { h } from "../ui/dom.js";
import { ago, duration, exact, shown, time } from "../ui/format.js";
import { href } from "../ui/header.js";
import { splitName } from "../ui/text_match.js";
import { fieldKey, tableNumber } from "./run_columns.js";
import { readField } from "./run_fields.js";

/** @typedef {import("../types.js").Run} Run */

/** Tags of a list entry; of the others, the number is shown. */
const TAGS_MAX = 1;
const TAGS_WIDE_MAX = 3;

/** @param {string} state */
export function stateDot(state) {
  return h("span", { class: `state ${state}`, title: state, role: "img", "aria-label": state });
}

/** Build a name that is cut in its middle if there is no room. @param {string} name */
export function cutName(name) {
  const [start, end] = splitName(name);
  return [h("span", { class: "name-start" }, start), end ? h("span", { class: "name-end" }, end) : null];
}

/** Build the link to a run. @param {Run} run */
export function runLink(run) {
  return h("a", { class: "cut-name", href: href(run.entity, run.project, run.run_id), "data-id": `name ${run.run_id}`, title: `${run.name} (${run.run_id})` }, cutName(run.name));
}

/**
 * Build the first tags, and the number of the others.
 * @param {string[]} tags
 * @param {number} [limit]
 */
export function tagList(tags, limit = TAGS_MAX) {
  if (!tags.length) return null;
  const rest = tags.length - limit;
  return h(
    "span",
    { class: "tags", title: tags.join(", ") },
    tags.slice(0, limit).map((tag) => h("span", { class: "tag" }, tag)),
    rest > 0 ? h("span", { class: "tag more", "aria-label": `and ${rest} more: ${tags.slice(limit).join(", ")}` }, `+${rest}`) : null,
  );
}

/** Return whether a value is shown as a number, which is aligned to the right. @param {unknown} value */
export function isNumeric(value) {
  return typeof value === "number";
}

/**
 * Build the content of a cell.
 * @param {Run} run
 * @param {string} field
 * @param {number} now milliseconds since the epoch
 */
export function cell(run, field, now) {
  const value = readField(run, field);
  if (field === "state") return h("span", { class: "state-cell" }, stateDot(run.state), run.state);
  if (field === "tags") return tagList(run.tags, TAGS_WIDE_MAX);
  if (typeof value === "string" && runFields().some((own) => own.member === field && own.type === "time")) return h("time", { datetime: value, title: time(value) }, ago(value, now));
  if (field === "duration" || field === "runtime") return typeof value === "number" ? duration(value) : "";
  if (isMedia(value)) return thumbnail(value, fieldKey(field), { words: false });
  if (typeof value === "number") return h("span", { title: exact(value) }, tableNumber(value));
  return h("span", { title: typeof value === "object" ? JSON.stringify(value) : String(value ?? "") }, shown(value));
}
