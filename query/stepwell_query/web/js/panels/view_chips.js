/** The limits of what all charts show, as chips that can be closed: the zoomed range, the baseline, and the only drawn run. */

import { axisTitle } from "../charts/axes.js";
import { h, icon } from "../ui/dom.js";
import { duration, readable } from "../ui/format.js";

/** @typedef {import("../types.js").Zoom} Zoom */

/**
 * Build the chips of a view.
 * @param {import("../state/view_state.js").Store} store
 * @param {(owner: string) => string} nameOwner
 */
export function viewChips(store, nameOwner) {
  const { zoom, solo, base } = store.view;
  return [
    ...(zoom ? [chip(formatZoom(zoom), "Show the whole range", () => store.set({ zoom: null }, { step: true }))] : []),
    ...(base ? [chip(`baseline ${nameOwner(base)}`, "Unpin the baseline", () => store.set({ base: "" }, { step: true }))] : []),
    ...(solo ? [chip(`only ${nameOwner(solo)}`, "Show all lines", () => store.set({ solo: "" }, { step: true }))] : []),
  ];
}

/** @param {string} text @param {string} label @param {() => void} onclick */
function chip(text, label, onclick) {
  return h("button", { type: "button", class: "chip", title: label, "aria-label": `${text}. ${label}`, onclick }, h("span", {}, text), icon("close"));
}

/**
 * Format a range of an axis: `step 10k – 20k`.
 * @param {Zoom} zoom
 */
export function formatZoom({ axis, low, high }) {
  if (axis === "_timestamp") return [low, high].map((at) => new Date(at * 1000).toLocaleString()).join(" – ");
  const format = axis === "_runtime" ? duration : readable;
  const [first, last] = [round(low, high), round(high, low)].map((at) => format(axis === "_runtime" ? Math.max(0, at) : at));
  return `${axisTitle(axis)} ${first} – ${last}`;
}

/** Round an end of a range to a thousandth of its length. @param {number} value @param {number} other */
function round(value, other) {
  const unit = 10 ** Math.floor(Math.log10(Math.abs(other - value)) - 3);
  return Math.round(value / unit) * unit;
}
