/** The parts of a run's row: its name, state and tags, and the cells of a table. */

import { runFields } from "../api/service_info.js";
import { isMedia } from "../media/references.js";
import { thumbnail } from "../media/thumbnail.js";
import { h, iconButton } from "../ui/dom.js";
import { ago, difference, duration, exact, shown, time } from "../ui/format.js";
import { href } from "../ui/header.js";
import { splitName } from "../ui/text_match.js";
import { fieldKey, tableNumber } from "./run_columns.js";
import { describeDivergence } from "./divergence.js";
import { readField, toNumber } from "./run_fields.js";

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

/**
 * Build the mark of a run that diverged; its title says why.
 * @param {import("./divergence.js").Divergence[] | undefined} diverged
 */
export function divergenceMark(diverged) {
  if (!diverged?.length) return null;
  const why = describeDivergence(diverged, tableNumber);
  return h("span", { class: "mark-diverged", title: why, role: "img", "aria-label": `Diverged: ${why}` }, diverged[0].mark);
}

/**
 * Build the button that makes a run the baseline.
 * @param {Run} run
 * @param {import("../state/view_state.js").Store} store
 */
export function pinButton(run, store) {
  const pinned = store.view.base === run.run_id;
  const label = pinned ? `${run.name} is the baseline: unpin it` : `Pin ${run.name} as the baseline`;
  const onclick = () => store.set({ base: pinned ? "" : run.run_id }, { step: true });
  return iconButton("pin", label, onclick, { class: "icon-button pin", "aria-pressed": String(pinned), "data-id": `pin ${run.run_id}` });
}

/**
 * Build the difference of a number from that of the baseline.
 * @param {unknown} value
 * @param {unknown} base undefined without a baseline, and for its own value
 */
export function differenceNote(value, base) {
  const text = typeof value === "number" && typeof base === "number" && value !== base ? difference(value, base) : "";
  return text ? h("span", { class: "difference" }, text) : null;
}

/** Return whether a value is shown as a number, which is aligned to the right. @param {unknown} value */
export function isNumeric(value) {
  return toNumber(value) !== undefined;
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
  const number = toNumber(value);
  if (number !== undefined) return h("span", { title: exact(number) }, Number.isFinite(number) ? tableNumber(number) : exact(number));
  return h("span", { title: typeof value === "object" ? JSON.stringify(value) : String(value ?? "") }, shown(value));
}
